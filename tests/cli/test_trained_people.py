"""`limen evaluate` says whom of those judged the model was trained on, by name; a published model says it no more."""

import json
from dataclasses import replace

from limen.cli import main
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.models.bundle import load_bundle, save_bundle
from limen.models.name_hashes import trained_hashes
from made_up import tiny_model


def test_people_who_were_trained_on_are_named_unless_the_model_was_published(tmp_path, capsys):
    save_folder(SyntheticFaces(3, 2), tmp_path / "faces")
    for folder, name in zip(sorted((tmp_path / "faces").glob("synthetic-*")), ("Ann", "Bo", "7"), strict=True):
        folder.rename(tmp_path / "faces" / name)
    bundle, model = load_bundle(tiny_model(tmp_path)), tmp_path / "model.safetensors"
    save_bundle(model, replace(bundle, class_names_sha256="0" * 64, people_sha256=trained_hashes(["ANN@web", "Zoe", "7"], "0" * 64)))
    assert main(["publish", str(model), "--out", str(tmp_path / "out")]) == 0
    assert "left out: the hashes of people's names" in capsys.readouterr().out
    for path, told in ((model, "1 of 3 people who are judged, by name (Ann)"), (tmp_path / "out" / "model.safetensors", None)):
        words = ["--folders", str(tmp_path / "faces"), "--replicates", "2", "--out", str(tmp_path / f"report-{told is None}")]
        assert main(["evaluate", str(path), *words]) == 0
        warned = capsys.readouterr().err
        assert ("the model was trained on" in warned) == (told is not None)
        assert told is None or told in warned
        (result,) = json.loads((tmp_path / f"report-{told is None}" / "result.json").read_text())["results"]
        assert result["switches"].get("trained on") == told
