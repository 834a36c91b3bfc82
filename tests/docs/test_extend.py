"""The examples of docs/extend do what they say, from outside the package."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from limen import Embedder, MarginHead
from limen.cli import main
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.heads import ClassCenters

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


def test_own_sampler_trains_and_gives_every_class_its_turn(tmp_path):
    import own_sampler

    recipe = Embedder.load(own_sampler.main(tmp_path / "run")).bundle.recipe
    assert recipe["head"]["sampler"] == {"name": "own_sampler:TakingTurns", "options": {"turns": 3}}
    sampler, centers = own_sampler.TakingTurns(3), ClassCenters(8, 4)
    chosen = [sampler.select(torch.tensor([1, 5, 1]), centers).tolist() for _ in range(4)]
    assert all(rows == sorted(set(rows) | {1, 5}) for rows in chosen)
    assert set().union(*chosen[:3]) == set(range(8))
    assert chosen[3] == chosen[0]


def test_own_measure_scores_and_is_judged(model, faces, tmp_path, capsys):
    import own_measure

    grey = np.full((2, 4, 4, 3), 100, np.uint8)
    grey[1, :2] = 110
    assert own_measure.Contrast().score(grey).tolist() == [0, 5]
    assert main(["quality", str(model), str(faces), "--measure", "own_measure:Contrast", "--csv", str(tmp_path / "scores.csv")]) == 0
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 49
    assert main(["data", "pairs", str(faces), "--count", "200", "--out", str(tmp_path / "pairs.txt")]) == 0
    words = ["--quality", "own_measure:Contrast", "random", "--fmr", ".1", "--replicates", "10", "--out", str(tmp_path / "edc")]
    assert main(["evaluate", str(model), "--pairs", str(tmp_path / "pairs.txt"), "--images", str(faces), *words]) == 0
    assert "contrast" in capsys.readouterr().out


def test_own_reader_trains_in_a_worker_process(faces, tmp_path):
    import own_reader

    archive = Path(shutil.make_archive(str(tmp_path / "faces"), "zip", faces))
    assert len(own_reader.ZipFaces(str(archive))) == 48
    assert Embedder.load(own_reader.main(archive, tmp_path / "run")).bundle.training["classes"] == 6


def test_own_protocol_judges_and_reports(model, faces, tmp_path):
    import own_protocol

    result = own_protocol.main(model, faces, tmp_path)
    assert result.counts == {"people": 6, "probes": 42, "failures_to_acquire": 0}
    assert 1 / 6 < result.value("rank_1") <= 1
    assert "Rank-1 identification" in (tmp_path / "report.html").read_text()


def test_own_detector_reads_the_maps_of_scrfd(tmp_path):
    """A network that answers one face: at the second anchor of the cell of the second map whose corner is (32, 16)."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    import own_detector

    from limen.align import open_detector

    sides, points = np.array([1, 0.5, 2, 3]), np.arange(10) / 10
    nodes, outputs = [], []
    for size, value in ((1, 0.9), (4, sides), (10, points)):
        for stride in own_detector.STRIDES:
            rows = (64 // stride) * (96 // stride) * own_detector.ANCHORS  # of a photo of 90 x 60 pixels
            content = np.zeros((rows, size), np.float32)
            if stride == 16:
                content[2 * (1 * 6 + 2) + 1] = value
            nodes.append(helper.make_node("Constant", [], [f"o{size}_{stride}"], value=onnx.numpy_helper.from_array(content)))
            outputs.append(helper.make_tensor_value_info(f"o{size}_{stride}", onnx.TensorProto.FLOAT, content.shape))
    given = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, None, None])
    model = helper.make_model(helper.make_graph(nodes, "scrfd", [given], outputs), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "scrfd.onnx")
    detector = open_detector(f"own_detector:Scrfd:{tmp_path / 'scrfd.onnx'}")
    (face,) = detector.detect(np.zeros((60, 90, 3), np.uint8))
    np.testing.assert_allclose(face.box, [32 - 16, 16 - 8, 48, 56])
    np.testing.assert_allclose(face.points, np.array([32, 16]) + 16 * points.reshape(5, 2), rtol=1e-6)
    assert face.score == pytest.approx(0.9)
