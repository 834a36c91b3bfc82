"""Faces in archives: what is read equals the folder that was packed; what leads out of an archive, or is damaged, is refused by name."""

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from limen.data import FolderSource, open_source
from limen.data.readers.archive import ArchiveSource
from limen.data.source import reader_of
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.errors import LimenError, UnreadableImage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("archives") / "faces"
    save_folder(SyntheticFaces(3, 3), root)
    return root


def pack_tar(path, files):
    """files: (name, bytes), or a TarInfo of what is no file."""
    with tarfile.open(path, "w") as archive:
        for name, data in files:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def packed(folder, path, method, inside=""):
    files = [(inside + str(file.relative_to(folder)), file.read_bytes()) for file in sorted(folder.rglob("*")) if file.is_file()]
    if path.suffix == ".tar":
        return pack_tar(path, files)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["a.tar", "a.zip", "deflated.zip", "nested.tar"])
def test_an_archive_of_a_folder_reads_as_the_folder(folder, tmp_path, name):
    method = zipfile.ZIP_DEFLATED if name.startswith("deflated") else zipfile.ZIP_STORED
    path = packed(folder, tmp_path / name, method, "./release/faces/" if name.startswith("nested") else "")
    source, whole = open_source(reader_of(path), path), FolderSource(folder)
    assert source.class_names == whole.class_names
    assert np.array_equal(source.labels, whole.labels)
    copy = pickle.loads(pickle.dumps(source))  # as a worker gets it
    for index in range(len(whole)):
        assert np.array_equal(source.image(index), whole.image(index))
        assert np.array_equal(copy.image(index), whole.image(index))
    assert source.locate(0).startswith(str(path))


def test_shards_pair_by_neighbours_for_keys_come_again(folder, tmp_path):
    """Two people have images of the same keys; the members of a sample stand next to each other, in either order."""
    source = FolderSource(folder)
    data = [Path(source.locate(k)).read_bytes() for k in range(9)]
    (tmp_path / "shards").mkdir()
    samples = [(f"{k % 3:04d}", data[k], source.labels[k] * 5 + 7) for k in range(9)]  # people 7, 12, 17
    for shard in range(2):
        files = []
        for key, image, label in samples[shard::2]:
            pair = [(f"{key}.png", image), (f"{key}.cls", f"{label}\n".encode())]
            files += [*(pair if label != 12 else pair[::-1]), (f"{key}.json", b"{}")]
        pack_tar(tmp_path / "shards" / f"faces-{shard:04d}.tar", files)
    found = open_source("archive", tmp_path / "shards")
    assert reader_of(tmp_path / "shards") == "archive"
    assert found.class_names == ["7", "12", "17"]
    order = [*range(0, 9, 2), *range(1, 9, 2)]
    assert found.labels.tolist() == [source.labels[k] for k in order]
    assert all(np.array_equal(found.image(place), source.image(k)) for place, k in enumerate(order))


def link(kind):
    info = tarfile.TarInfo("Ann/1.png")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([("/Ann/1.png", b"x")], "leads out"),
        ([("Ann/../../1.png", b"x")], "leads out"),
        ([("C:/Ann/1.png", b"x")], "leads out"),
        ([(link(tarfile.SYMTYPE), b"")], "a link or sparse file"),
        ([(link(tarfile.LNKTYPE), b"")], "a link or sparse file"),
        ([("1.png", b"x")], "lies in no folder of a person"),
        ([("Ann/1.png", b"x"), ("Ann/1.png", b"y")], "holds Ann/1.png twice"),
        ([("Ann/note.txt", b"x")], "holds no images"),
        ([("1.png", b"x"), ("1.cls", b"0"), ("2.png", b"x")], "2 lacks its .cls"),
        ([("1.cls", b"0"), ("2.png", b"x"), ("2.cls", b"1")], "1 lacks its image"),
        ([("1.png", b"x"), ("1.cls", b"Ann")], "holds no number"),
    ],
)
def test_what_is_no_archive_of_faces_is_refused(tmp_path, files, said):
    with pytest.raises(LimenError, match=rf"bad\.tar: .*{said}"):
        ArchiveSource(pack_tar(tmp_path / "bad.tar", files))


def test_a_damaged_archive_is_refused_and_a_damaged_member_named(folder, tmp_path):
    tar = packed(folder, tmp_path / "a.tar", None)
    cut = tmp_path / "cut.tar"
    cut.write_bytes(tar.read_bytes()[:5000])
    with pytest.raises(LimenError, match=r"cut\.tar: is (no archive|cut short)"):
        ArchiveSource(cut)
    (tmp_path / "none.zip").write_bytes(b"none")
    with pytest.raises(LimenError, match="no archive that can be read"):
        ArchiveSource(tmp_path / "none.zip")
    deflated = packed(folder, tmp_path / "d.zip", zipfile.ZIP_DEFLATED)
    source = ArchiveSource(deflated)
    data = bytearray(deflated.read_bytes())
    offset = int(source._rows[4, 1])
    data[offset : offset + 40] = b"\xff" * 40
    deflated.write_bytes(data)
    with pytest.raises(UnreadableImage, match=r"d\.zip/.*cannot be unpacked"):
        ArchiveSource(deflated).image(4)
    assert ArchiveSource(deflated).image(0).shape == (112, 112, 3)


def test_a_compressed_tar_says_what_to_do(folder, tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(folder, "faces")
    with pytest.raises(LimenError, match="gunzip first"):
        ArchiveSource(tmp_path / "a.tar.gz")
