"""Face size comes from a list of boxes or from the crops before alignment, and from nothing else."""

import numpy as np
import pytest

from limen.errors import LimenError
from limen.quality import FaceSize

ALIGNED = np.zeros((2, 112, 112, 3), np.uint8)


@pytest.fixture
def boxes(tmp_path):
    (tmp_path / "boxes.csv").write_text("file,width,height,camera\na.jpg,30,120,1\nsub/b.jpg,8,8,2\n")
    return tmp_path / "boxes.csv"


def test_boxes_are_found_as_written_and_by_their_path(boxes, tmp_path):
    measure = FaceSize(boxes)
    assert measure.score(ALIGNED, ["a.jpg", "sub/b.jpg"]).tolist() == [60, 8]
    assert measure.score(ALIGNED, [str(tmp_path / "sub" / ".." / "a.jpg"), str(tmp_path / "sub" / "b.jpg")]).tolist() == [60, 8]


def test_crops_before_alignment_are_measured_themselves():
    assert FaceSize().score(np.zeros((3, 20, 45, 3), np.uint8)).tolist() == [30, 30, 30]


def test_what_cannot_be_known_is_refused(boxes):
    with pytest.raises(LimenError, match=r"aligned ones.*file, width, height"):
        FaceSize().score(ALIGNED)
    with pytest.raises(LimenError, match="pass files"):
        FaceSize(boxes).score(ALIGNED)
    with pytest.raises(LimenError, match=r"no row for c\.jpg"):
        FaceSize(boxes).score(ALIGNED, ["a.jpg", "c.jpg"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,width\na.jpg,3\n", "lacks the column height"),
        ("", "lacks the column"),
        ("file,width,height\na.jpg,3,4\nb.jpg,three,4\n", "line 3 is no file, width, height"),
        ("file,width,height\na.jpg,3\n", "line 2 is no file, width, height"),
        ("file,width,height\na.jpg,0,4\n", "line 2 .*box of 0 x 4"),
        ("file,width,height\na.jpg,-3,4\n", "line 2"),
        ("file,width,height\na.jpg,nan,4\n", "line 2"),
        (None, "no such file"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(tmp_path, text, said):
    if text is not None:
        (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(LimenError, match=said) as caught:
        FaceSize(tmp_path / "boxes.csv")
    assert str(caught.value).startswith(str(tmp_path / "boxes.csv"))
