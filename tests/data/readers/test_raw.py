"""Raw shards: the same pixels without a decoder, and everything that may be wrong with them."""

import json
import pickle

import numpy as np
import pytest

from limen import LimenError
from limen.cli import main
from limen.data import SyntheticFaces, open_source
from limen.data.readers.raw import RawSource, pack_raw
from limen.data.source import FaceSource, reader_of
from limen.data.synthetic import save_folder
from limen.errors import UnreadableImage


@pytest.fixture(scope="module")
def faces():
    return SyntheticFaces(3, 3)


@pytest.fixture
def packed(faces, tmp_path):
    assert pack_raw(faces, tmp_path / "raw", a_shard=4) == []
    return tmp_path / "raw"


def test_packed_faces_are_the_same_faces(faces, packed):
    source = RawSource(packed)
    assert isinstance(source, FaceSource)
    assert reader_of(packed) == "raw"
    assert sorted(path.name for path in packed.iterdir()) == [*(f"images-0000{k}.npy" for k in range(3)), "labels.npy", "people.json"]
    assert len(source) == 9
    assert list(source.class_names) == list(faces.class_names)
    np.testing.assert_array_equal(source.labels, faces.labels)
    for one in (source, pickle.loads(pickle.dumps(source))):  # as a reading process has it
        for index in range(9):
            np.testing.assert_array_equal(one.image(index), faces.image(index))
    assert source.locate(5) == f"{packed / 'images-00001.npy'} image 1"
    np.testing.assert_array_equal(np.load(packed / "images-00001.npy")[1], faces.image(5))  # any tool reads it


def test_the_command_packs_a_folder_and_says_what_it_left_out(faces, tmp_path, capsys):
    folder = save_folder(faces, tmp_path / "faces")
    broken = next(folder.glob("*/*.png"))
    broken.write_bytes(b"no image")
    assert main(["data", "pack", str(folder), "--raw", "--out", str(tmp_path / "raw"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["images"], said["people"], said["left_out"]) == (8, 3, 1)
    assert str(broken) in said["unreadable_images"][0]
    assert len(open_source("raw", tmp_path / "raw")) == 8
    assert main(["data", "inspect", str(tmp_path / "raw"), "--check"]) == 0
    assert main(["data", "pack", str(folder), "--raw", "--out", str(tmp_path / "raw")]) == 1
    assert f"--out {tmp_path / 'raw'}: is there already; name a new folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("people.json", b"{}", "people.json: is not a list of names"),
        ("people.json", b'["one"]', "labels.npy: holds a label without a name"),
        ("labels.npy", b"labels", "labels.npy: is no array of numpy"),
        ("images-00001.npy", b"", "images-00001.npy: is no array of numpy"),
        ("images-00002.npy", None, "hold 8 images for 9 labels"),
        ("people.json", None, "holds no people.json, so it was not packed to its end"),
    ],
)
def test_damaged_shards_are_refused_in_one_line(packed, file, content, said):
    if content is None:
        (packed / file).unlink()
    else:
        (packed / file).write_bytes(content)
    with pytest.raises(LimenError, match=said) as refused:
        RawSource(packed)
    assert "\n" not in str(refused.value)


def test_a_shard_cut_short_is_refused_at_the_start_and_later_on(packed):
    source, shard = RawSource(packed), packed / "images-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UnreadableImage, match=r"images-00000.npy image 3: the shard is cut short"):
        source.image(3)
    with pytest.raises(LimenError, match=r"images-00000.npy: is 150,655 bytes, not the 150,656 of its head"):
        RawSource(packed)


def test_an_array_of_another_kind_is_refused(packed):
    np.save(packed / "images-00000.npy", np.zeros((4, 8, 8, 3), np.uint8))
    with pytest.raises(LimenError, match=r"holds uint8 of shape \(4, 8, 8, 3\), not uint8 of shape \(n, 112, 112, 3\)"):
        RawSource(packed)
