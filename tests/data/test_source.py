import sys
import tarfile

import cv2
import numpy as np
import pytest

from limen.data import FaceSource, open_source, write_recordio
from limen.data.source import READERS
from limen.errors import LimenError


class GrayFaces:
    """A source as a user would write it: no limen class in sight."""

    def __init__(self, count=4):
        self.labels = np.arange(count) // 2
        self.class_names = [str(label) for label in range(count // 2)]

    def __len__(self):
        return len(self.labels)

    def image(self, index):
        return np.full((112, 112, 3), index, np.uint8)

    def locate(self, index):
        return f"gray {index}"


@pytest.fixture
def own_module(monkeypatch):
    module = type(sys)("own_faces")
    module.GrayFaces = GrayFaces
    monkeypatch.setitem(sys.modules, "own_faces", module)


@pytest.mark.usefixtures("own_module")
def test_a_class_of_ones_own_is_opened_by_its_dotted_path():
    source = open_source("own_faces:GrayFaces", count=6)
    assert isinstance(source, FaceSource)
    assert len(source) == 6


def test_every_known_reader_opens_a_source(tmp_path):
    generated = open_source("synthetic", identities=2, images_per_identity=1)
    encoded = [cv2.imencode(".png", generated.image(index))[1].tobytes() for index in range(2)]
    write_recordio(tmp_path / "records", encoded, generated.labels)
    for index, image in enumerate(encoded):
        (tmp_path / "folders" / str(index)).mkdir(parents=True)
        (tmp_path / "folders" / str(index) / "0.png").write_bytes(image)
    (tmp_path / "list.csv").write_text("file,person\nfolders/0/0.png,0\nfolders/1/0.png,1\n")
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        archive.add(tmp_path / "folders", "faces")
    paths = {"folder": tmp_path / "folders", "recordio": tmp_path / "records", "synthetic": None}
    paths |= {"list": tmp_path / "list.csv", "archive": tmp_path / "faces.tar"}
    options = {"synthetic": {"identities": 2, "images_per_identity": 1}}
    assert set(paths) == set(READERS) - {"lmdb", "arrow", "parquet", "raw"}  # see readers/test_tables.py and test_raw.py
    for reader, path in paths.items():
        source = open_source(reader, path, **options.get(reader, {}))
        assert isinstance(source, FaceSource)
        assert source.labels.tolist() == [0, 1]
        assert len(source) == len(source.class_names) == 2
        assert (source.image(1).shape, source.image(1).dtype) == ((112, 112, 3), np.uint8)


@pytest.mark.usefixtures("own_module")
@pytest.mark.parametrize(
    ("reader", "options", "message"),
    [
        ("foldr", {}, "did you mean 'folder'"),
        ("webcam", {}, "known: folder, recordio, list, archive, lmdb, arrow, parquet, raw, synthetic"),
        ("own_faces:GreyFaces", {}, "cannot be imported"),
        ("no_such_package:Faces", {}, "cannot be imported"),
        ("own_faces:GrayFaces", {"cuont": 6}, "'cuont' .*did you mean 'count'"),
        ("folder", {"path": "faces", "min_image": 2}, "did you mean 'min_images'"),
        ("folder", {}, "reader folder: it needs 'path'"),
        ("synthetic", {"identites": 2}, "did you mean 'identities'"),
    ],
)
def test_a_wrong_name_or_option_is_refused_with_the_nearest_known(reader, options, message):
    with pytest.raises(LimenError, match=message):
        open_source(reader, **options)
