"""Synthetic faces are the same bytes for ever, stand where the template says, and their stated figures are true."""

import csv
import hashlib
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from limen.data.synthetic import Occlusion, SyntheticFaces, degrade, render, save_folder, sitter
from limen.data.synthetic.conditions import draw_conditions
from limen.data.synthetic.head import RADIUS, Shell, head_shell
from limen.data.synthetic.identity import draw_identity
from limen.errors import LimenError


@pytest.fixture(scope="module")
def faces() -> SyntheticFaces:
    return SyntheticFaces(identities=8, images_per_identity=5, seed=3)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return SyntheticFaces(1, 1, difficulty=0).image(0)


def digest(source: SyntheticFaces, order) -> dict[int, str]:
    return {index: hashlib.sha256(source.image(index).tobytes()).hexdigest() for index in order}


def test_source_has_labels_names_and_images_of_the_stated_form(faces):
    assert len(faces) == 40
    np.testing.assert_array_equal(faces.labels, np.repeat(np.arange(8), 5))
    assert faces.labels.dtype == np.int64
    assert len(set(faces.class_names)) == 8
    assert faces.image(7).shape == (112, 112, 3)
    assert faces.image(7).dtype == np.uint8
    assert faces.locate(7) == "synthetic identity 1 image 2 (seed 3)"


def test_same_bytes_in_any_order_range_and_process(faces):
    forward = digest(faces, [0, 7, 12, 39])
    sitter.sitter.cache_clear()
    assert digest(faces, [39, 12, 7, 0]) == forward
    assert digest(SyntheticFaces(4, 5, seed=3, first_identity=1), [2])[2] == forward[7]
    program = (
        "import hashlib; from limen.data.synthetic import SyntheticFaces; "
        "print(hashlib.sha256(SyntheticFaces(8, 5, seed=3).image(12).tobytes()).hexdigest())"
    )
    elsewhere = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == forward[12]


def test_people_seeds_and_images_differ(faces):
    pictures = {faces.image(index).tobytes() for index in range(len(faces))}
    pictures |= {SyntheticFaces(8, 5, seed=4).image(index).tobytes() for index in range(5)}
    assert len(pictures) == 45


def test_a_person_resembles_themself_more_than_others():
    source = SyntheticFaces(12, 4, seed=1, difficulty=0.3)
    middle = np.stack([source.image(index)[30:105, 25:88].ravel() for index in range(len(source))]).astype(float)
    vectors = middle - middle.mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = vectors @ vectors.T
    same = source.labels[:, None] == source.labels
    assert similarity[same & ~np.eye(len(source), dtype=bool)].mean() > similarity[~same].mean() + 0.3


def test_truths_are_those_of_each_image_and_need_no_drawing(faces, monkeypatch):
    monkeypatch.setattr("limen.data.synthetic.source.photograph", None)
    truths = faces.truths()
    for index in (0, 17, 39):
        assert {name: values[index] for name, values in truths.items()} == faces.truth(index)


def test_difficulty_zero_is_clean_and_more_difficulty_is_worse():
    clean, easy, hard = (SyntheticFaces(20, 10, difficulty=difficulty).truths() for difficulty in (0, 0.5, 1.5))
    for name in ("yaw", "pitch", "roll", "shift_x", "smile", "mouth_open", "eye_close", "occlusion", "severity", "blur", "noise"):
        assert not clean[name].any()
        assert np.abs(hard[name]).mean() > np.abs(easy[name]).mean() > 0
    assert set(clean["resolution"]) == {112}
    assert set(clean["compression"]) == {100}
    assert set(clean["exposure"]) == {1}
    assert set(hard["occlusion"]) == {float(kind) for kind in Occlusion}
    assert (hard["resolution"] >= 8).all()
    assert (hard["compression"] >= 1).all()


def test_most_images_are_good_and_some_are_bad():
    severity = SyntheticFaces(100, 10).truths()["severity"]
    assert np.mean(severity < 0.1) > 0.5
    assert 0.05 < np.mean(severity > 0.5) < 0.25


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (0.5, 0), (0.2, -0.25), (-0.6, 0.2)])
def test_trace_inverts_projection(yaw, pitch):
    shell = head_shell(draw_identity(0, 5))
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(-20, 20, 9), np.linspace(-25, 40, 9)))
    for surface, tolerance in ((Shell(shell.width, shell.width), 0.3), (shell, 1.5)):
        seen = surface.project(x, y, yaw, pitch).reshape(9, 9)
        phi, height, cover = surface.trace(seen.real.astype(np.float32), seen.imag.astype(np.float32), yaw, pitch)
        assert (cover == 1).all()
        assert np.median(np.abs(phi.ravel() * RADIUS - x)) < tolerance
        assert np.median(np.abs(height.ravel() - y)) < tolerance


def test_landmarks_are_aligned_to_the_template_by_least_squares():
    for person in range(30):
        subject, frontal, turned = draw_identity(0, person), draw_conditions(0, person, 0, 0.0), draw_conditions(0, person, 0, 1.0)
        posed = replace(frontal, yaw=turned.yaw, pitch=turned.pitch)
        for taken in (frontal, posed):
            points = render.landmarks(subject, head_shell(subject), taken)
            best = np.linalg.lstsq(np.stack([points, np.ones(5)], axis=1), render.TEMPLATE, rcond=None)[0]
            np.testing.assert_allclose(render.alignment(points, taken), best)
            assert np.abs(best[0] * points + best[1] - render.TEMPLATE).mean() < (3 if taken is frontal else 10)


def test_eyes_are_drawn_on_the_template():
    for person in range(10):
        drawn = SyntheticFaces(1, 1, first_identity=person, difficulty=0).image(0)
        contrast = cv2.GaussianBlur(cv2.Laplacian(cv2.cvtColor(drawn, cv2.COLOR_RGB2GRAY), cv2.CV_32F) ** 2, (0, 0), 3)
        for x, y in ((38, 52), (74, 52)):
            assert contrast[y - 3 : y + 4, x - 3 : x + 4].mean() > 4 * contrast[62:72, [34, 78]].mean()


def test_degrade_by_default_is_a_copy(portrait):
    same = degrade(portrait)
    np.testing.assert_array_equal(same, portrait)
    assert not np.shares_memory(same, portrait)


def test_degrade_does_what_it_says(portrait):
    sharpness = [cv2.Laplacian(degrade(portrait, blur=sigma), cv2.CV_64F).var() for sigma in (0, 0.5, 1, 2, 4)]
    assert sharpness == sorted(sharpness, reverse=True)
    errors = [np.abs(degrade(portrait, compression=q).astype(float) - portrait).mean() for q in (95, 60, 25, 5)]
    assert errors == sorted(errors)
    np.testing.assert_allclose(degrade(portrait, exposure=0.6), portrait * 0.6, atol=0.5001)
    grey = np.full((112, 112, 3), 128, np.uint8)
    for sigma in (2, 10, 25):
        noisy = degrade(grey, noise=sigma, rng=np.random.default_rng(0)).astype(float)
        assert noisy.std() == pytest.approx(sigma, rel=0.03)
    stripes = np.repeat(np.where(np.arange(112) % 2, 255, 0).astype(np.uint8)[None, :, None], 112, 0).repeat(3, 2)
    assert degrade(stripes, resolution=56).std() < 2
    assert degrade(portrait[:80], resolution=40).shape == (80, 112, 3)


@pytest.mark.parametrize("amount", [{"blur": -1}, {"noise": 5}, {"resolution": 0}, {"compression": 101}, {"exposure": 0}])
def test_degrade_refuses_what_cannot_be(portrait, amount):
    with pytest.raises(LimenError, match="degrade"):
        degrade(portrait, **amount)


def test_source_refuses_what_cannot_be(faces):
    with pytest.raises(LimenError, match="identities=0"):
        SyntheticFaces(identities=0)
    for index in (-1, 40):
        with pytest.raises(IndexError):
            faces.image(index)


def test_save_folder_holds_the_images_and_their_truth(tmp_path):
    source, seen = SyntheticFaces(2, 2, seed=9), []
    root = save_folder(source, tmp_path / "deep" / "faces", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with open(root / "truth.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for index, row in enumerate(rows):
        np.testing.assert_array_equal(cv2.imread(str(root / row["file"]))[..., ::-1], source.image(index))
        assert {name: float(row[name]) for name in source.truth(index)} == source.truth(index)
    assert sorted(path.name for path in root.parent.iterdir()) == ["faces"]
    with pytest.raises(LimenError, match="new folder"):
        save_folder(source, root)
