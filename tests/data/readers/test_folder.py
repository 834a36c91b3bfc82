import os
import pickle
import sys
import warnings
import zipfile

import cv2
import numpy as np
import pytest

from limen.data import FaceSource, FileSource, FolderSource, list_images
from limen.data.readers import each_person
from limen.errors import LimenError, LimenWarning, UnreadableImage


def write_faces(root, people):
    """`people`: name -> gray levels, one PNG each, written in reverse so that the order on disk is not the order of names."""
    for person, levels in reversed(people.items()):
        (root / person).mkdir(parents=True)
        for number, level in reversed(list(enumerate(levels))):
            encoded = cv2.imencode(".png", np.full((112, 112, 3), level, np.uint8))[1]
            (root / person / f"{number}.png").write_bytes(encoded.tobytes())
    return root


@pytest.fixture
def faces(tmp_path):
    return write_faces(tmp_path / "faces", {"Ann": [10, 20], "Bo": [30], "Çelik": [40, 50, 60]})


def test_people_and_images_come_in_the_order_of_their_names(faces):
    (faces / ".hidden").mkdir()
    (faces / "notes.txt").write_text("not a person")
    (faces / "Ann" / "Thumbs.db").write_text("not an image")
    source = FolderSource(faces)
    assert isinstance(source, FaceSource)
    assert source.class_names == ["Ann", "Bo", "Çelik"]
    assert source.labels.tolist() == [0, 0, 1, 2, 2, 2]
    assert source.labels.dtype == np.int64
    assert [int(source.image(index)[0, 0, 0]) for index in range(len(source))] == [10, 20, 30, 40, 50, 60]
    assert source.locate(4) == str(faces / "Çelik" / "1.png")


def test_a_pickled_source_reads_the_same(faces):
    source = pickle.loads(pickle.dumps(FolderSource(faces)))
    assert np.array_equal(source.image(5), np.full((112, 112, 3), 60))


def test_min_images_leaves_people_out_and_a_person_without_images_is_an_error(faces):
    (faces / "Nobody").mkdir()
    with pytest.raises(LimenError, match=r"Nobody: no images.*min_images 1"):
        FolderSource(faces)
    assert FolderSource(faces, min_images=1).class_names == ["Ann", "Bo", "Çelik"]
    assert FolderSource(faces, min_images=2).class_names == ["Ann", "Çelik"]
    with pytest.raises(LimenError, match="lower min_images"):
        FolderSource(faces, min_images=9)


def test_wrong_folders_and_options_are_refused_with_a_remedy(tmp_path, faces):
    with pytest.raises(LimenError, match="missing: no such folder"):
        FolderSource(tmp_path / "missing")
    with pytest.raises(LimenError, match="Ann: holds 2 images and no folders; put the images of each person in a folder"):
        FolderSource(faces / "Ann")
    with pytest.raises(LimenError, match="use refuse or resize"):
        FolderSource(faces, on_other_size="rezise")


def test_a_bad_file_is_named_when_it_is_read(faces):
    (faces / "Bo" / "0.png").write_bytes(b"")
    source = FolderSource(faces)
    with pytest.raises(UnreadableImage, match=r"Bo/0\.png: is empty"):
        source.image(2)


def test_list_images_takes_files_and_folders(faces):
    listed = list_images([faces / "Bo" / "0.png", faces])
    assert listed[0] == faces / "Bo" / "0.png"
    assert listed[1:] == sorted(faces.rglob("*.png"))
    assert int(FileSource(listed).image(0)[0, 0, 0]) == 30
    with pytest.raises(LimenError, match="no such file"):
        list_images([faces / "Dora"])
    (faces / "Nobody").mkdir()
    with pytest.raises(LimenError, match="no images in this folder"):
        list_images([faces / "Nobody"])


def test_a_folder_of_folders_of_people_says_so(tmp_path):
    write_faces(tmp_path / "sets" / "setA", {"Ann": [10], "Bo": [20]})
    write_faces(tmp_path / "sets" / "setB", {"Cy": [30]})
    for arguments in ({}, {"min_images": 1}):
        with pytest.raises(LimenError, match=r"sets: this folder holds folders of people; name one, .*setA say"):
            FolderSource(tmp_path / "sets", **arguments)
    with pytest.raises(LimenError, match=r"0\.png: is a file, not a folder"):
        FolderSource(tmp_path / "sets" / "setA" / "Ann" / "0.png")


@pytest.mark.skipif(sys.platform == "win32", reason="names of bytes are POSIX")
def test_names_are_bytes(tmp_path):
    """A folder and a file whose names are not UTF-8 are read as any other."""
    odd = os.fsdecode(b"Jos\xe9")
    write_faces(tmp_path / "faces", {odd: [10, 20], "Ann\n\x1b[31m": [30]})
    os.rename(tmp_path / "faces" / odd / "1.png", tmp_path / "faces" / odd / os.fsdecode(b"\xff1.png"))
    source = FolderSource(tmp_path / "faces")
    assert source.class_names == ["Ann\n\x1b[31m", odd]
    assert [int(source.image(index)[0, 0, 0]) for index in range(3)] == [30, 10, 20]


@pytest.mark.realdata
def test_real_faces(real_data, tmp_path):
    with zipfile.ZipFile(real_data / "folders_celeb18.zip") as archive:
        archive.extractall(tmp_path)
    (root,) = {path.parent.parent for path in tmp_path.rglob("*.jpg")}
    source = FolderSource(root)
    assert len(source) == 1042
    assert len(source.class_names) == 18
    assert {source.image(index).shape for index in range(0, 1042, 50)} == {(112, 112, 3)}


def test_images_beside_the_folders_of_people_are_told(tmp_path):
    (tmp_path / "ann").mkdir()
    for place in (tmp_path / "ann" / "1.png", tmp_path / "2.png"):
        place.touch()
    with pytest.warns(LimenWarning, match="1 pictures are passed over .1 beside the folders of people"):
        assert len(FolderSource(tmp_path)) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dict(each_person(tmp_path, loose=True)) == {"ann": ["1.png"]}
