"""`limen evaluate --quality`: every way to name a quality, and its numbers in JSON, CSV and the page."""

import csv
import json
import shutil

import pytest
import torch

from limen.cli import main
from limen.data import FolderSource
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.files import file_sha256
from limen.metrics import error_vs_discard
from limen.models.bundle import Architecture, Bundle, save_bundle
from limen.models.embedder import Embedder
from limen.protocols import Result, Verification, load_results, read_quality_csv
from limen.quality import QualityHead

PEOPLE, EACH = 10, 4
AREA = "pauc(0.3)@fmr=0.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """faces/, pairs.txt over them, and an untrained judge.safetensors that has a quality head."""
    folder = tmp_path_factory.mktemp("edc")
    save_folder(SyntheticFaces(PEOPLE, EACH, difficulty=0.5), folder / "faces")
    names = FolderSource(folder / "faces").class_names
    mated = [f"{name}\t{i}\t{j}" for name in names for i in range(1, EACH + 1) for j in range(i + 1, EACH + 1)]
    other = [f"{a}\t{k}\t{b}\t{k}" for i, a in enumerate(names) for b in names[i + 1 :] for k in (1, 2, 3)]
    (folder / "pairs.txt").write_text("\n".join([*mated, *other]))
    torch.manual_seed(1)
    backbone = Architecture("tiny", 16).build()
    backbone(torch.randn(16, 3, 112, 112))  # gives the batch norms statistics
    tensors = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    tensors |= {f"quality.{name}": tensor for name, tensor in QualityHead(16).state_dict().items()}
    save_bundle(folder / "judge.safetensors", Bundle(Architecture("tiny", 16), tensors))
    return folder


def evaluating(folder, out, *more):
    words = ["evaluate", str(folder / "judge.safetensors"), "--pairs", str(folder / "pairs.txt"), "--images", str(folder / "faces")]
    return [*words, "--out", str(out), "--fmr", "0.1", "0.01", "--replicates", "20", *more]


def answer(capsys, words):
    """The JSON that the command prints."""
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def failure(capsys, words):
    """The one line of an error."""
    assert main(words) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


def test_qualities_side_by_side_in_json_csv_and_page(capsys, folder, tmp_path):
    words = evaluating(folder, tmp_path / "out", "--quality", "sharpness", str(folder / "judge.safetensors"), "random")
    found = answer(capsys, words)
    results = load_results(tmp_path / "out" / "result.json")
    assert [result.model for result in results] == ["judge"] * 3
    assert results[0].discarding.quality == "sharpness"
    assert results[2].discarding.quality == "random order"
    for result in results[1:]:
        assert result.value(f"{AREA}_minus_sharpness") == pytest.approx(result.value(AREA) - results[0].value(AREA))
        assert result.metric(f"{AREA}_minus_sharpness").interval
    for told, result in zip(found["results"], results, strict=True):
        counts = {name: count for name, count in told["counts"].items() if name not in result.counts}
        assert told["metrics"] | counts == {metric.key: metric.value for metric in result.metrics}

    with open(found["curves"], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for result in results:
        for curve, error, left in (("edc", "fnmr", "mated_left"), ("fm-edc", "fmr", "non_mated_left")):
            stored = result.curve(curve, {"fmr": 0.1}).points
            mine = [row for row in rows if (row["quality"], row["curve"], row["fmr"]) == (result.discarding.quality, curve, "0.1")]
            assert [float(row["discard"]) for row in mine] == stored["discard"]
            assert [float(row["error"]) for row in mine] == stored[error]
            assert [float(row["pairs_left"]) for row in mine] == stored[left]
    page = (tmp_path / "out" / "report.html").read_text()
    for text in ("Error versus discard", "FMR 0.1", "FMR 0.01", "mated pairs left", "random order", "pAUC(0.3)@FMR=0.1 minus sharpness"):
        assert text in page
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "mated pairs left at a discard of: 0.2 48," in shown
    assert "1 is random, lower is better" in shown
    for result in results:
        area, less = (result.metric(f"{AREA}_normalised{end}") for end in ("", "_minus_sharpness"))
        (row,) = [row for row in shown.partition("FMR=0.01")[0].splitlines() if row.startswith(f"  {result.discarding.quality} ")]
        assert f" {area.value:.3g} [" in row
        assert less is None or f" {less.value:.3g} [" in row
    assert f"  {results[0].value(f'{AREA}_normalised_best'):.3g}" in shown
    assert [result.switches["quality_sha256"] for result in results] == ["no file", file_sha256(folder / "judge.safetensors"), "no file"]
    assert {result.switches["pairs_sha256"] for result in results} == {file_sha256(folder / "pairs.txt")}


def test_the_scores_that_limen_quality_writes_are_the_models_own(capsys, folder, tmp_path):
    model, scores = str(folder / "judge.safetensors"), str(tmp_path / "scores.csv")
    answer(capsys, ["quality", model, str(folder / "faces"), "--csv", scores])
    found = answer(capsys, evaluating(folder, tmp_path / "out", "--quality", model, scores))["results"]
    for name, value in found[0]["metrics"].items():
        assert found[1]["metrics"][name] == pytest.approx(value, abs=1e-9)
    assert found[1]["metrics"][f"{AREA}_minus_quality of judge"] == pytest.approx(0, abs=1e-9)
    pairs = Verification(folder / "pairs.txt", folder / "faces").pair_set
    quality = read_quality_csv(scores, pairs.source)
    cosine = 1 - Verification(pairs).score(Embedder.load(model)).distance / 2
    curve = error_vs_discard(cosine, pairs.same, quality[[pairs.first, pairs.second]].min(0), 0.1)
    assert found[0]["metrics"][AREA] == pytest.approx(curve.partial_auc(0.3), abs=1e-9)


def test_an_image_that_cannot_be_used_is_a_failure_to_acquire_of_the_scores_too(capsys, folder, tmp_path):
    """Scored while the file is damaged, judged when it is whole again, and then while it is still damaged: one failure either way."""
    faces, scores = shutil.copytree(folder / "faces", tmp_path / "faces"), tmp_path / "scores.csv"
    bad = next(faces.rglob("0002.png"))
    whole = bad.read_bytes()
    bad.write_bytes(b"no image")
    answer(capsys, ["quality", str(folder / "judge.safetensors"), str(faces), "--csv", str(scores)])
    words = evaluating(folder, tmp_path / "out", "--quality", str(scores))
    words[words.index("--images") + 1] = str(faces)
    for content, reason in ((b"no image", "is not an image, or a damaged one"), (whole, "has no scores")):
        bad.write_bytes(content)
        answer(capsys, words)
        (result,) = json.loads((tmp_path / "out" / "result.json").read_text())["results"]
        assert result["failures"] == [f"{bad}: {reason}"]
        assert (result["counts"]["failures_to_acquire"], result["counts"]["mated"]) == (1, 57)
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "  without 12 pairs of images without a quality or unreadable: scores 1\n" in shown


def test_a_threshold_for_every_step_is_labelled(capsys, folder, tmp_path):
    words = evaluating(folder, tmp_path, "--quality", "sharpness", "--edc-threshold", "per_step")
    assert main(words) == 0
    assert "threshold per_step" in capsys.readouterr().out
    result = Result.load(tmp_path / "result.json")
    assert result.discarding.threshold == "per_step"
    assert {metric.interval for metric in result.metrics} == {None}
    assert len(result.curve("edc", {"fmr": 0.1}).points["discard"]) == 20
    page = (tmp_path / "report.html").read_text()
    assert "share of all pairs discarded" in page
    assert "error versus discard, threshold per_step" in page
    with open(tmp_path / "edc.csv", newline="") as file:
        assert {row["threshold"] for row in csv.DictReader(file)} == {"per_step"}


def test_the_text_says_what_the_numbers_rest_on(capsys, folder, tmp_path):
    assert main(evaluating(folder, tmp_path, "--quality", "sharpness", "--fmr", "0.1", "1e-3", "1e-4")) == 0
    shown = capsys.readouterr().out
    (fnmr,) = [line for line in shown.splitlines() if line.startswith("FNMR ")]
    assert fnmr.endswith(" at FMR=0.1: 13 impostors accepted, 35 mated pairs refused")
    assert "unresolved: FNMR at FMR=0.001 needs 1,000 non-mated pairs, and there are 135\n" in shown
    assert "unresolved: FNMR at FMR=0.0001 needs 10,000 non-mated pairs, and there are 135\n" in shown


def test_mistakes_are_one_line_that_names_them(capsys, folder, tmp_path):
    (tmp_path / "few.csv").write_text("file,quality\nnobody.png,1\n")
    for quality, message in (
        (["sharpnes"], "did you mean 'sharpness'"),
        ([str(tmp_path / "few.csv")], "few.csv: has no row for"),
        ([str(tmp_path / "gone.csv")], "gone.csv: no such file"),
        (["sharpness", "sharpness"], "second one called 'sharpness'"),
        (["os:path"], "'os:path' is not a class"),
        (["limen:Embedder"], "'limen:Embedder' has no method score"),
        (["random", "--replicates", "1"], "--replicates: 1 give no interval"),
    ):
        assert message in failure(capsys, evaluating(folder, tmp_path, "--quality", *quality))
    assert "add --quality, or leave it out" in failure(capsys, evaluating(folder, tmp_path, "--edc-threshold", "fixed"))
    assert "give --fmr" in failure(capsys, evaluating(folder, tmp_path, "--quality", "sharpness", "--far", "0.1"))
    assert "give rates between 0 and 1" in failure(capsys, evaluating(folder, tmp_path, "--quality", "sharpness", "--fmr", "2"))


def test_models_of_one_name_stay_two(capsys, folder, tmp_path):
    other = tmp_path / "other" / "judge.safetensors"
    other.parent.mkdir()
    shutil.copy(folder / "judge.safetensors", other)
    words = evaluating(folder, tmp_path / "out", "--quality", "sharpness", "random")
    words.insert(2, str(other))
    assert main(words) == 0
    shown = capsys.readouterr().out
    names = [f"{path.parent.name}/judge.safetensors" for path in (folder / "judge.safetensors", other)]
    assert [shown.count(f"pairs · {name}: ") for name in names] == [1, 1]
    assert [result.model for result in load_results(tmp_path / "out" / "result.json")] == [names[0]] * 2 + [names[1]] * 2


def test_a_report_of_other_models_or_pairs_is_not_overwritten(capsys, folder, tmp_path):
    words = evaluating(folder, tmp_path / "out", "--quality", "sharpness")
    answer(capsys, words)
    before = (tmp_path / "out" / "result.json").read_bytes()
    shutil.copy(folder / "judge.safetensors", tmp_path / "second.safetensors")
    words[1] = str(tmp_path / "second.safetensors")
    assert "holds the report of judge on pairs; choose another --out" in failure(capsys, words)
    assert (tmp_path / "out" / "result.json").read_bytes() == before
    words[1] = str(folder / "judge.safetensors")
    assert main(words) == 0
    assert "the earlier report of the same models and pairs is replaced" in capsys.readouterr().err
