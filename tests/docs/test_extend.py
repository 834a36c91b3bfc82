"""The examples of docs/extend do what they say, from outside the package."""

import shutil
import sys
from pathlib import Path

import pytest

from limen import Embedder, MarginHead
from limen.data.synthetic import SyntheticFaces, save_folder

EXTEND = Path(__file__).parents[2] / "docs" / "extend"


@pytest.fixture(scope="module", autouse=True)
def _on_the_path():
    sys.path.insert(0, str(EXTEND))
    yield
    sys.path.remove(str(EXTEND))


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return save_folder(SyntheticFaces(6, 8, difficulty=0.3), tmp_path_factory.mktemp("extend") / "faces")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import own_margin

    return own_margin.main(tmp_path_factory.mktemp("extend") / "run")


def test_own_margin_trains(model):
    import own_margin

    assert Embedder.load(model).bundle.recipe["margin"] == {"name": "own_margin:LinearMargin", "options": {"m": 0.3}}
    assert isinstance(MarginHead(4, 8, own_margin.LinearMargin()).margin, own_margin.LinearMargin)


def test_own_reader_trains_in_a_worker_process(faces, tmp_path):
    import own_reader

    archive = Path(shutil.make_archive(str(tmp_path / "faces"), "zip", faces))
    assert len(own_reader.ZipFaces(str(archive))) == 48
    assert Embedder.load(own_reader.main(archive, tmp_path / "run")).bundle.training["classes"] == 6


def test_own_protocol_judges_and_reports(model, faces, tmp_path):
    import own_protocol

    result = own_protocol.main(model, faces, tmp_path)
    assert result.counts == {"people": 6, "probes": 42, "failures_to_acquire": 0}
    assert 1 / 6 < result.metrics["rank_1"] <= 1
    assert "Rank-1 identification" in (tmp_path / "report.html").read_text()
