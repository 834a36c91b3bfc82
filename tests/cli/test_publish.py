"""A bundle and its card go out and come back the same: through a folder, and through a small server that speaks as the Hub does."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import yaml

from limen.cli import main
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.errors import LimenError
from limen.models.bundle import Architecture, Bundle, save_bundle
from limen.models.hub import repository
from limen.models.model import open_model
from limen.models.operating_point import OperatingPoint, people_hashes


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "own.safetensors"
    tensors = {f"backbone.{name}": tensor for name, tensor in Architecture("tiny", 8).build().state_dict().items()}
    save_bundle(path, Bundle(Architecture("tiny", 8), tensors, licence="CC0-1.0", training={"images_seen": 1234}))
    return path


IN_TURN = """
import contextlib, io, json, sys
from limen.cli import main
for line in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(json.loads(line))
    print(json.dumps({"returncode": code, "stdout": out.getvalue(), "stderr": err.getvalue()}), flush=True)
"""


class Hub(BaseHTTPRequestHandler):
    """One repository, owner/name, in `files`; main is its only revision."""

    files: dict[str, bytes]

    def do_HEAD(self):
        self._file(self.files.get(self.path.rpartition("/")[2]) if "/resolve/main/" in self.path else None)

    do_GET = do_HEAD

    def _file(self, content):
        if not self.path.startswith("/owner/name/"):
            return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        if content is None:
            code = "EntryNotFound" if "/resolve/main/" in self.path else "RevisionNotFound"
            return self._answer(404, b"", {"X-Error-Code": code})
        self._answer(200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": "0" * 40})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/repos/create"):
            return self._json({"url": "http://127.0.0.1/owner/name"})
        if "/preupload/" in self.path:
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            return self._json({"files": files})
        if "/commit/" not in self.path:  # the YAML of the card, to be checked
            return self._json({"errors": [], "warnings": []})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        self._json({"commitUrl": "http://127.0.0.1/owner/name/commit/" + "0" * 40, "commitOid": "0" * 40})

    def _json(self, value):
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status, content, headers):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A process that runs commands of limen in turn, with a server as its Hub; the server's files; and the process's cache of the Hub."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed (pip install 'limen[hub]')")
    cache, handler = tmp_path_factory.mktemp("hub") / "cache", type("Handler", (Hub,), {"files": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    own = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(cache), "HF_TOKEN": "hf_none"}
    own |= {
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", IN_TURN], env=os.environ | own, **pipes) as process:
        yield process, handler.files, cache
        process.stdin.close()
    server.shutdown()


@pytest.fixture
def hub(served):
    """A function that runs commands of limen, one after the other; and the files of the Hub, which is empty at first, as is the cache."""
    process, files, cache = served
    files.clear()
    shutil.rmtree(cache, ignore_errors=True)

    def run(*commands):
        answers = []
        for words in commands:
            print(json.dumps(words), file=process.stdin, flush=True)
            answers.append(SimpleNamespace(**json.loads(process.stdout.readline())))
        return answers

    return run, files


def test_a_folder_holds_the_bundle_and_a_card_made_from_it_and_its_results(model, tmp_path, capsys):
    faces = save_folder(SyntheticFaces(6, 4), tmp_path / "faces")
    assert main(["data", "pairs", str(faces), "--count", "60", "--out", str(tmp_path / "pairs.txt")]) == 0
    words = ["--pairs", str(tmp_path / "pairs.txt"), "--images", str(faces), "--replicates", "20", "--out", str(tmp_path / "report")]
    assert main(["evaluate", str(model), *words]) == 0
    results = ["--results", str(tmp_path / "report" / "result.json")]
    assert main(["publish", str(model), *results, "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == model.read_bytes()
    card = (tmp_path / "out" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert (head["library_name"], head["license_name"]) == ("limen", "CC0-1.0")
    facts = open_model(model).facts
    (result,) = json.loads((tmp_path / "report" / "result.json").read_text())["results"]
    accuracy = next(metric for metric in result["metrics"] if metric["quantity"] == "accuracy")
    assert f"| Accuracy | {100 * accuracy['value']:.2f} % | {100 * accuracy['interval']['low']:.2f} to" in card
    for said in (facts["sha256"], facts["weights_sha256"], "images seen: 1234", "Intended use", "tiny, 8 numbers a face"):
        assert said in card
    other = tmp_path / "other.safetensors"
    tensors = {f"backbone.{name}": tensor for name, tensor in Architecture("tiny", 8).build().state_dict().items()}
    save_bundle(other, Bundle(Architecture("tiny", 8), tensors))
    capsys.readouterr()
    assert main(["publish", str(other), *results, "--out", str(tmp_path / "second")]) == 1
    assert "is of another model file than this one" in capsys.readouterr().err
    assert not (tmp_path / "second").exists()


def test_the_hashes_of_people_s_names_stay_at_home(model, tmp_path, capsys):
    hashes = people_hashes(["Ada", "Grace"])
    point = OperatingPoint(0.1, 0.5, 0.4, 0.6, 0.95, 100, 1, 10, 0, 0.0, 0.3, True, "own", "0" * 64, 2, hashes)
    own, out = tmp_path / "own" / "model.safetensors", tmp_path / "out"
    own.parent.mkdir()
    open_model(model).save_calibration(None, own, (point,))
    assert main(["publish", str(own), "--out", str(out)]) == 0
    assert "left out: the hashes of people's names" in capsys.readouterr().out
    (published,) = open_model(out / "model.safetensors").operating_points
    assert published == replace(point, people_sha256=())
    assert hashes[0].encode() not in (out / "model.safetensors").read_bytes()
    assert hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest() in (out / "README.md").read_text()
    assert main(["publish", str(own), "--out", str(own.parent)]) == 1
    assert "holds the model itself" in capsys.readouterr().err
    assert open_model(own).operating_points == (point,)


def test_a_bundle_goes_to_the_hub_and_comes_back(model, hub):
    run, files = hub
    addresses = ("hf://owner/name", "hf://owner/name@main")
    done, *infos = run(["publish", str(model), "--to", "hf://owner/name"], *(["info", address, "--json"] for address in addresses))
    assert done.returncode == 0, done.stderr
    assert sorted(files) == ["README.md", "model.safetensors"]
    assert files["model.safetensors"] == model.read_bytes()
    assert b'Embedder.load("hf://owner/name")' in files["README.md"]
    for found in infos:
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout)["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()


def test_a_bundle_on_the_hub_is_published_again_but_not_written_to(model, hub, tmp_path):
    run, _ = hub
    first, folder, calibrated = run(
        ["publish", str(model), "--to", "hf://owner/name"],
        ["publish", "hf://owner/name", "--out", str(tmp_path / "copy")],
        ["calibrate", "hf://owner/name", "--pairs", "none.bin"],
    )
    assert first.returncode == 0
    assert folder.returncode == 0, folder.stderr
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == model.read_bytes()
    assert calibrated.returncode == 1
    assert "has no file of its own; name one to keep its calibration in (--out FILE)" in calibrated.stderr


def test_what_the_hub_has_not_is_said_in_one_line(hub):
    run, _ = hub
    reasons = {
        "hf://owner/other": "hf://owner/other: no such repository, or it is not open to you",
        "hf://owner/name@v9": "hf://owner/name@v9: it has no revision of that name",
        "hf://owner/name": "it has no model.safetensors; name a repository that `limen publish` wrote",
    }
    for found, reason in zip(run(*(["info", address] for address in reasons)), reasons.values(), strict=True):
        assert found.returncode == 1
        assert reason in found.stderr
        assert found.stderr.count("\n") == 1


def test_without_the_extra_and_without_the_net_one_line_says_so(monkeypatch, capsys):
    constants = pytest.importorskip("huggingface_hub.constants", reason="huggingface_hub is not installed")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # HF_HUB_OFFLINE=1 before its import
    assert main(["info", "hf://owner/name"]) == 1
    said = capsys.readouterr().err
    assert "the Hub cannot be reached" in said
    assert said.count("\n") == 1
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(LimenError, match=r"pip install 'limen\[hub\]'"):
        open_model("hf://owner/name")


@pytest.mark.parametrize("address", ["hf://name", "hf://a/b/c", "hf://owner/name@", "hf://../x y", "hf://"])
def test_an_address_that_names_nothing_is_refused(address):
    with pytest.raises(LimenError, match="an address on the Hub is hf://owner/name"):
        open_model(address)
    assert repository("model.safetensors") is None


def test_publish_says_what_is_missing(model, tmp_path, capsys):
    for words, reason in [
        ([], "give one of --out DIR and --to"),
        (["--to", "owner/name"], "it is no address on the Hub; write hf://owner/name"),
        (["--out", str(tmp_path), "--to", "hf://a/b"], "give one of"),
    ]:
        assert main(["publish", str(model), *words]) == 1
        assert reason in capsys.readouterr().err
