"""Commands take photos: with --detector each gives what it gives of the crops that `limen data align` writes."""

import json

import cv2
import numpy as np
import pytest
import torch

from limen.align import SIZE, TEMPLATE, similarity
from limen.cli import main
from limen.data.synthetic import SyntheticFaces
from limen.models.bundle import Architecture, Bundle, save_bundle
from squares import points_in

DETECTOR = ["--detector", "squares:Squares"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos of three people, four each, whose faces are squares, white above grey; and one without a face."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for person in range(3):
        (root / f"person{person}").mkdir()
        for number in range(4):
            photo = rng.integers(0, 60, (200, 260, 3), np.uint8)
            left, top, side = 20 + 9 * number, 15 + 20 * person, 96 + 8 * person
            photo[top : top + side // 2, left : left + side] = 255
            photo[top + side // 2 : top + side, left : left + side] = 128
            cv2.imwrite(str(root / f"person{person}" / f"{number}.png"), photo)
    cv2.imwrite(str(root / "person0" / "none.png"), rng.integers(0, 60, (200, 260, 3), np.uint8))
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    tensors = {f"backbone.{name}": tensor for name, tensor in Architecture("tiny", 32).build().state_dict().items()}
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_bundle(path, Bundle(Architecture("tiny", 32), tensors))
    return path


@pytest.fixture(scope="module")
def crops(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("aligned") / "faces"
    assert main(["data", "align", str(photos), "--out", str(out), *DETECTOR]) == 0
    return out


def run(capsys, *words):
    status = main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    return status, json.loads(captured.out) if status == 0 else captured.err


def test_embed(model, photos, crops, tmp_path, capsys):
    status, found = run(capsys, "embed", model, photos, "--out", tmp_path / "a.npz", *DETECTOR)
    assert (status, found["embedded"]) == (0, 12)
    assert [line.endswith("none.png: no face found in it") for line in found["failures"]] == [True]
    assert found["alignment"] == {"detector": "squares", "side": 640, "faces": "largest"}
    run(capsys, "embed", model, crops, "--out", tmp_path / "b.npz")
    one, other = np.load(tmp_path / "a.npz"), np.load(tmp_path / "b.npz")
    np.testing.assert_array_equal(one["vectors"], other["vectors"])
    assert json.loads(str(one["made_by"]))["alignment"]["detector"] == "squares"


def test_compare(model, photos, crops, capsys):
    names = ("person0/0.png", "person1/3.png")
    _, of_photos = run(capsys, "compare", model, *(photos / name for name in names), *DETECTOR)
    _, of_crops = run(capsys, "compare", model, *(crops / name for name in names))
    assert of_photos["similarity"] == of_crops["similarity"]
    status, error = run(capsys, "compare", model, photos / names[0], photos / "person0" / "none.png", *DETECTOR)
    assert (status, error.count("\n")) == (1, 1)
    assert "none.png: no face found" in error


def test_quality(model, photos, crops, capsys):
    _, of_photos = run(capsys, "quality", model, photos, "--measure", "sharpness", *DETECTOR)
    _, of_crops = run(capsys, "quality", model, crops, "--measure", "sharpness")
    assert [row["quality"] for row in of_photos["images"]] == [row["quality"] for row in of_crops["images"]]
    assert len(of_photos["failures"]) == 1


def test_evaluate(model, photos, crops, tmp_path, capsys):
    pairs = tmp_path / "pairs.txt"
    mated = [f"person{p}\t{a}.jpg\t{b}.png" for p in range(3) for a in range(4) for b in range(a)]
    other = [f"person{p}\t{a}.png\tperson{(p + 1) % 3}\t{a}.png" for p in range(3) for a in range(4)]
    pairs.write_text("\n".join([*mated, *other, "person0\tnone.png\tperson1\t0.png"]))
    words = ("--replicates", "50", "--pairs", pairs)
    _, of_photos = run(capsys, "evaluate", model, *words, "--images", photos, "--out", tmp_path / "a", *DETECTOR)
    result = json.loads((tmp_path / "a" / "result.json").read_text())
    text = json.dumps(result)
    assert '"failures_to_acquire": 1' in text
    assert '"detector": "squares"' in text
    assert of_photos
    status = main(["evaluate", *map(str, (model, *words, "--images", crops, "--out", tmp_path / "b"))])
    assert status == 0
    assert "1 of the images gave no face when they were aligned" in capsys.readouterr().err
    metrics = [
        [result["metrics"] for result in json.loads((tmp_path / name / "result.json").read_text())["results"]] for name in ("a", "b")
    ]
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--faces", "central"], "--faces: it chooses among the faces of a photo; add --detector"),
        ([*DETECTOR, "--resize"], "--resize: a photo's face is aligned"),
        (["--detector", "none.onnx"], "none.onnx: no such file"),
    ],
)
def test_words_that_do_not_fit(model, photos, tmp_path, capsys, words, message):
    status, error = run(capsys, "embed", model, photos, "--out", tmp_path / "x.npz", *words)
    assert status == 1
    assert message in error
    assert not list(tmp_path.iterdir())


def test_align_takes_landmarks(tmp_path, capsys):
    """Points around which a generated face was pasted give the face back."""
    face = SyntheticFaces(1, 1).image(0)
    photo = np.zeros((224, 224, 3), np.uint8)
    points = points_in(30, 50, 112)
    photo[50:162, 30:142] = face
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "1.png"), photo[..., ::-1])
    text = " ".join(f"{value:.4f}" for value in points.ravel())
    (tmp_path / "name_5pts_score.txt").write_text(f"1.png {text} 0.99\n")
    landmarks = ("--landmarks", tmp_path / "name_5pts_score.txt")
    status, found = run(capsys, "data", "align", tmp_path / "photos", "--out", tmp_path / "faces", *landmarks)
    assert (status, found["faces"]) == (0, 1)
    np.testing.assert_allclose(similarity(points, TEMPLATE), [[1, 0, -30], [0, 1, -50]], atol=1e-9)
    crop = cv2.imread(str(tmp_path / "faces" / "1.png"))[..., ::-1]
    assert crop.shape == (SIZE, SIZE, 3)
    assert np.abs(crop.astype(int) - face).max() <= 1
    status, error = run(capsys, "data", "align", tmp_path / "photos", "--out", tmp_path / "x", *landmarks, *DETECTOR)
    assert (status, "leave the other out" in error) == (1, True)
