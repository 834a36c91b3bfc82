"""Faces in LMDB, Arrow and Parquet files: what is read equals the folder that they were made of; what is of another layout is refused."""

import json
import pickle
from pathlib import Path

import msgspec
import numpy as np
import pytest

from limen.data import FolderSource, open_source
from limen.data.readers.lmdb import LMDBSource
from limen.data.source import reader_of
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.errors import LimenError, UnreadableImage

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
PEOPLE = ["Cy", "Ann", "Bo"]  # 0, 1, 2 of the metadata


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("tables") / "faces"
    save_folder(SyntheticFaces(3, 4), root)
    return FolderSource(root)


def rows_of(source):
    return [Path(source.locate(k)).read_bytes() for k in range(len(source))], source.labels.tolist()


def write_lmdb(path, values, about=None, subdir=False):
    lmdb = pytest.importorskip("lmdb")
    pack = msgspec.msgpack.encode
    with lmdb.open(str(path), subdir=subdir, map_size=1 << 26) as env, env.begin(write=True) as txn:
        for key, value in enumerate(values):
            txn.put(str(key).encode(), value if isinstance(value, bytes) else pack(value))
        for key, value in ({"__len__": len(values), "__keys__": [str(k) for k in range(len(values))]} if about is None else about).items():
            txn.put(key.encode(), value if isinstance(value, bytes) else pack(value))
    return path


def write_arrow(path, columns, metadata=None, options=None, rows=5):
    table = arrow.table(columns).replace_schema_metadata(metadata)
    new = arrow.ipc.new_stream if path.name.startswith("stream") else arrow.ipc.new_file
    with new(str(path), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


def named(names):
    return {"huggingface": json.dumps({"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}})}


def struct(images):
    return arrow.array([{"bytes": one, "path": None} for one in images], arrow.struct({"bytes": arrow.binary(), "path": arrow.string()}))


def same(source, folder, order=None):
    copy = pickle.loads(pickle.dumps(source))  # as a worker gets it
    for place, k in enumerate(range(len(folder)) if order is None else order):
        assert np.array_equal(source.image(place), folder.image(k))
        assert np.array_equal(copy.image(place), folder.image(k))
    assert source.encoded(0) == Path(folder.locate(0 if order is None else order[0])).read_bytes()


@pytest.mark.parametrize("form", ["pair", "feature", "folder"])
def test_an_lmdb_reads_as_what_it_was_made_of(folder, tmp_path, form):
    """Values of a few bytes stand in a leaf, images on pages of their own; 1,000 entries need branches."""
    images, labels = rows_of(folder)
    images, labels = images * 100, [3 * label + 1 for label in labels] * 100
    feature = [b"\x93NUMPY" + bytes(40)] if form == "feature" else []
    values = [(image, *feature, label) for image, label in zip(images, labels, strict=True)]
    path = write_lmdb(tmp_path / "faces.lmdb", values, subdir=form == "folder")
    source = open_source(reader_of(path), path)
    assert source.class_names == ["1", "4", "7"]
    assert source.labels.tolist() == folder.labels.tolist() * 100
    same(source, folder, [*range(12)] * 2)
    assert [source.encoded(k) for k in (0, 1199)] == [images[0], images[-1]]
    assert source.locate(17).endswith("key 17")


@pytest.mark.parametrize(
    ("values", "about", "said"),
    [
        ([(b"x", 0)], {}, "has no key __len__"),
        ([(b"x", 0)], {"__len__": 2}, "1 of 2 images, and no key 1"),
        ([(b"x", 0)], {"__len__": pickle.dumps(1)}, "no msgpack of a whole number"),
        ([], {"__len__": 0}, "0 of 0 images"),
        ([pickle.dumps((b"x", 0))], None, "no msgpack of an image"),
        ([b"\xff\xd8 a bare JPEG"], None, "no msgpack of an image"),
        ([(b"x", 0), (b"x", "Ann")], None, "key 1 ends in no msgpack"),
        ([(b"x", -3)], None, "has the label -3"),
        ([(1, 2)], None, "no bytes of an image"),
        ([b"\x92\xc6\xff\xff\xff\xff0"], None, "no msgpack of a whole number"),
        ([(b"x", 5)], {"__len__": 1, "__classnum__": 5}, "label 5 of 5 people"),
        ([(b"x", 5)], {"__len__": 1, "Ann/1.jpg": 5}, "not a number"),
    ],
)
def test_an_lmdb_of_another_layout_is_refused(tmp_path, values, about, said):
    with pytest.raises(LimenError, match=said):
        LMDBSource(write_lmdb(tmp_path / "a.lmdb", values, about))


def test_a_damaged_lmdb_is_refused(folder, tmp_path):
    path = write_lmdb(tmp_path / "a.lmdb", list(zip(*rows_of(folder), strict=True)))
    whole = path.read_bytes()
    page = 4096
    used = -(-len(whole.rstrip(b"\0")) // page) * page
    for name, data in {"short": whole[: used - 8 * page], "text": b"no LMDB at all " * 99, "empty": b""}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(LimenError, match=r"LMDB|entries"):
            LMDBSource(tmp_path / name)
    source = LMDBSource(path)
    path.write_bytes(b"")
    with pytest.raises(UnreadableImage, match="become shorter"):
        source.image(0)


@pytest.mark.parametrize("name", ["stream.arrow", "index.arrow", "folder", "faces.parquet"])
@pytest.mark.parametrize("people", ["numbers", "named numbers", "names"])
def test_a_table_reads_as_what_it_was_made_of(folder, tmp_path, name, people):
    images, labels = rows_of(folder)
    columns = {"image": struct(images) if people == "names" else arrow.array(images, arrow.binary())}
    columns["label"] = [PEOPLE[label] for label in labels] if people == "names" else labels
    metadata = named(PEOPLE) if people == "named numbers" else None
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
        for k, part in enumerate((slice(0, 7), slice(7, 12))):
            write_arrow(path / f"stream-{k}.arrow", {key: column[part] for key, column in columns.items()}, metadata)
    elif name == "faces.parquet":
        parquet.write_table(arrow.table(columns).replace_schema_metadata(metadata), path, row_group_size=5)
    else:
        write_arrow(path, columns, metadata)
    source = open_source(reader_of(path), path)
    expected = {"numbers": ["0", "1", "2"], "named numbers": PEOPLE, "names": sorted(PEOPLE)}[people]
    assert source.class_names == expected
    assert [source.class_names[label] for label in source.labels] == [(expected if people == "numbers" else PEOPLE)[k] for k in labels]
    same(source, folder)
    assert source.locate(8).endswith("stream-1.arrow row 1" if name == "folder" else f"{name} row 8")


IMAGES = {"image": [b"x", b"y"], "label": [0, 1]}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image": ["a.jpg", "b.jpg"], "label": [0, 1]}, "column 'image' holds string"),
        ({"image": [0.5, 1.5], "label": [0, 1]}, "column 'image' holds double"),
        ({"picture": [b"x", b"y"], "label": [0, 1]}, "no columns 'image'"),
        ({"image": [b"x", b"y"], "label": [0.5, 1]}, "column 'label' holds double"),
        ({"image": [b"x", b"y"], "label": [0, None]}, "label is empty"),
        ({"image": [b"x", b"y"], "label": ["", "Ann"]}, "label is empty"),
        ({"image": [b"x", b"y"], "label": [0, -1]}, "label -1"),
        ({"image": [b"x", None], "label": [0, 1]}, "without the bytes"),
        ({"image": arrow.array([], arrow.binary()), "label": arrow.array([], arrow.int64())}, "holds no rows"),
    ],
)
def test_a_table_of_another_layout_is_refused(tmp_path, columns, said):
    path = write_arrow(tmp_path / "a.arrow", columns)
    with pytest.raises(LimenError, match=said):
        open_source("arrow", path)
    if "without" not in said:
        parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
        with pytest.raises(LimenError, match=said):
            open_source("parquet", tmp_path / "a.parquet")


def test_an_image_outside_of_the_table_is_refused(tmp_path):
    columns = {"image": struct([b"x", None]), "label": [0, 1]}
    with pytest.raises(LimenError, match="without the bytes"):
        open_source("arrow", write_arrow(tmp_path / "a.arrow", columns))
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
    with pytest.raises(UnreadableImage, match="row 1: has no bytes"):
        open_source("parquet", tmp_path / "a.parquet").image(1)


@pytest.mark.parametrize("name", ["stream.arrow", "index.arrow"])
def test_a_damaged_or_compressed_arrow_file_is_refused(folder, tmp_path, name):
    images, labels = rows_of(folder)
    path = write_arrow(tmp_path / name, {"image": arrow.array(images, arrow.binary()), "label": labels})
    source, data = open_source("arrow", path), path.read_bytes()
    for part in (data[: len(data) // 2], data[:-8], b"", b"ARROW1\0\0" * 4):
        path.write_bytes(part)
        with pytest.raises(LimenError, match="no whole Arrow file"):
            open_source("arrow", path)
    with pytest.raises(UnreadableImage, match="become shorter"):
        source.image(11)
    packed = write_arrow(tmp_path / f"{name}-lz4", IMAGES, options=arrow.ipc.IpcWriteOptions(compression="lz4"))
    with pytest.raises(LimenError, match="is compressed"):
        open_source("arrow", packed)


def test_a_folder_whose_files_name_people_differently_is_refused(tmp_path):
    write_arrow(tmp_path / "a.arrow", IMAGES, named(["Ann", "Bo"]))
    write_arrow(tmp_path / "b.arrow", IMAGES, named(["Bo", "Ann"]))
    with pytest.raises(LimenError, match="differently"):
        open_source("arrow", tmp_path)
