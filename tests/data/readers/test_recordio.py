import os
import pickle
import shutil
import struct

import cv2
import numpy as np
import pytest

from limen.data import FaceSource, RecordIOSource, write_recordio
from limen.errors import LimenError, UnreadableImage

MAGIC = struct.pack("<I", 0xCED7230A)
PICTURES = [cv2.imencode(".png", np.full((112, 112, 3), 40 * k, np.uint8))[1].tobytes() for k in range(6)]
LABELS = [0, 0, 1, 2, 2, 2]


def record(image, label=0.0, labels=(), part=0):
    payload = struct.pack("<IfQQ", len(labels), label, 0, 0) + struct.pack(f"<{len(labels)}f", *labels) + image
    return framed(payload, part)


def framed(payload, part=0):
    return MAGIC + struct.pack("<I", part << 29 | len(payload)) + payload + bytes(-len(payload) % 4)


def write_records(path, records, index=True):
    """im2rec's layout: no header record."""
    offsets = np.cumsum([0] + [len(one) for one in records])
    path.write_bytes(b"".join(records))
    if index:
        path.with_suffix(".idx").write_text("".join(f"{key}\t{offset}\n" for key, offset in enumerate(offsets[:-1])))
    return path


@pytest.fixture
def faces(tmp_path):
    write_recordio(tmp_path / "faces", PICTURES, LABELS)
    return tmp_path / "faces"


def levels(source):
    return [int(source.image(index)[0, 0, 0]) for index in range(len(source))]


def test_what_is_written_is_read_back(faces):
    source = RecordIOSource(faces)
    assert isinstance(source, FaceSource)
    assert source.labels.tolist() == LABELS
    assert source.labels.dtype == np.int64
    assert source.class_names == ["0", "1", "2"]
    assert levels(source) == [0, 40, 80, 120, 160, 200]
    assert source.encoded(3) == PICTURES[3]
    assert source.locate(2).endswith("train.rec record 3")
    assert (faces / "property").read_text() == "3,112,112\n"


def test_the_layout_is_insightfaces(faces):
    """Record 0: first identity record and end; then images; then per person first image and end."""
    data = (faces / "train.rec").read_bytes()
    offsets = np.loadtxt(faces / "train.idx", dtype=int)[:, 1]
    two_floats = [struct.unpack_from("<2f", data, offsets[key] + 32) for key in (0, 7, 8, 9)]
    assert two_floats == [(7, 10), (1, 3), (3, 4), (4, 7)]
    assert struct.unpack_from("<IfQQ", data, offsets[4] + 8) == (0, 2.0, 4, 0)


def test_without_an_index_the_records_are_found(faces):
    (faces / "train.idx").unlink()
    source = RecordIOSource(faces / "train.rec")
    assert source.labels.tolist() == LABELS
    assert levels(source) == [0, 40, 80, 120, 160, 200]


def test_a_pickled_source_maps_the_file_again(faces):
    pickled = pickle.dumps(RecordIOSource(faces))
    assert len(pickled) < 2000
    assert levels(pickle.loads(pickled)) == [0, 40, 80, 120, 160, 200]


def test_im2rec_layout_with_gaps_in_scalar_and_vector_labels(tmp_path):
    records = [record(PICTURES[0], 7), record(PICTURES[1], labels=(3, 9)), record(PICTURES[2], 7), record(PICTURES[3], 5)]
    source = RecordIOSource(write_records(tmp_path / "own.rec", records))
    assert source.labels.tolist() == [2, 0, 2, 1]
    assert source.class_names == ["3", "5", "7"]
    assert levels(source) == [0, 40, 80, 120]


def test_keys_not_in_the_order_of_the_file(tmp_path):
    path = write_records(tmp_path / "own.rec", [record(PICTURES[k], label=k) for k in (2, 0, 1)])
    offsets = np.loadtxt(path.with_suffix(".idx"), dtype=int)[:, 1]
    path.with_suffix(".idx").write_text(f"2\t{offsets[0]}\n0\t{offsets[1]}\n1\t{offsets[2]}\n")
    assert levels(RecordIOSource(path)) == [0, 40, 80]


@pytest.mark.parametrize("index", [True, False])
def test_a_record_in_parts_is_joined(tmp_path, index):
    """The magic at a multiple of 4 inside a payload is cut out by the writer and put back by the reader."""
    image = PICTURES[1] + b"abc"[: -len(PICTURES[1]) % 4] + MAGIC + b"1234" + MAGIC + MAGIC + b"5"
    write_recordio(tmp_path, [image, PICTURES[2]], [0, 1])
    data = (tmp_path / "train.rec").read_bytes()
    assert data.count(MAGIC) == 8
    if not index:
        (tmp_path / "train.idx").unlink()
    source = RecordIOSource(tmp_path)
    assert source.encoded(0) == image
    assert levels(source) == [40, 80]


def test_parts_of_a_record_with_several_labels(tmp_path):
    head = struct.pack("<IfQQ", 2, 0, 0, 0) + struct.pack("<2f", 4, 1)
    path = write_records(tmp_path / "own.rec", [framed(head, 1) + framed(b"1234", 2) + framed(b"5", 3), record(PICTURES[0], 6)])
    source = RecordIOSource(path)
    assert source.encoded(0) == MAGIC + b"1234" + MAGIC + b"5"
    assert source.class_names == ["4", "6"]


def test_an_image_without_bytes_is_unreadable_not_left_out(tmp_path):
    write_recordio(tmp_path, [PICTURES[0], b""], [0, 1])
    source = RecordIOSource(tmp_path)
    assert len(source) == 2
    with pytest.raises(UnreadableImage, match=r"train\.rec record 2: is empty"):
        source.image(1)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("missing", [1, 500, 1030])
def test_a_file_cut_short_is_refused(tmp_path, index, missing):
    path = write_records(tmp_path / "own.rec", [record(bytes(1000), label=k) for k in range(8)], index)
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(LimenError, match=r"own\.rec: record 7 at byte 7224 reaches beyond the end"):
        RecordIOSource(path)


@pytest.mark.parametrize("index", [True, False])
def test_a_broken_magic_is_refused(tmp_path, index):
    path = write_records(tmp_path / "own.rec", [record(bytes(1000), label=k) for k in range(3)], index)
    path.write_bytes(path.read_bytes()[:1032] + b"oops" + path.read_bytes()[1036:])
    with pytest.raises(LimenError, match=r"own\.rec: record 1 at byte 1032 is not the start of a record"):
        RecordIOSource(path)


@pytest.mark.parametrize("label", [0.5, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("several", [True, False])
def test_labels_that_name_nobody_are_refused(tmp_path, label, several):
    odd = record(bytes(1000), labels=(label, 0)) if several else record(bytes(1000), label)
    path = write_records(tmp_path / "own.rec", [record(bytes(1000), 1), odd])
    with pytest.raises(LimenError, match=r"own\.rec: record 1 at byte 1032 has a label"):
        RecordIOSource(path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("0\t0\n1\t999999\n", "record 1 at byte 999999 reaches beyond"),
        ("0\t0\n1\t-4\n", "record 1 at byte -4 reaches beyond"),
        ("0\t0\n1\t2\n", "record 1 at byte 2 is not the start"),
        ("0\t0\n1\tx\n", "is not an index"),
        ("0\n1\n", "two columns"),
    ],
)
def test_a_wrong_index_is_refused(tmp_path, index, message):
    path = write_records(tmp_path / "own.rec", [record(bytes(1000), label=k) for k in range(2)])
    path.with_suffix(".idx").write_text(index)
    with pytest.raises(LimenError, match=message):
        RecordIOSource(path)


def test_other_wrong_files_are_refused(tmp_path):
    with pytest.raises(LimenError, match=r"train\.rec: no such file"):
        RecordIOSource(tmp_path)
    (tmp_path / "train.rec").write_bytes(b"")
    with pytest.raises(LimenError, match="is empty"):
        RecordIOSource(tmp_path)
    path = write_records(tmp_path / "short.rec", [framed(bytes(20))])
    with pytest.raises(LimenError, match="record 0 at byte 0 is too short"):
        RecordIOSource(path)
    path = write_records(tmp_path / "bare.rec", [record(b"", labels=(1, 1))])
    with pytest.raises(LimenError, match="holds no images"):
        RecordIOSource(path)


@pytest.mark.parametrize("labels", [[0, 2], [1, 2], [0, 1, 0], []])
def test_the_writer_refuses_labels_out_of_order(tmp_path, labels):
    with pytest.raises(LimenError, match="sort them"):
        write_recordio(tmp_path, PICTURES[: len(labels)], labels)


@pytest.mark.parametrize("count", [5, 7])
def test_the_writer_refuses_another_number_of_images(tmp_path, count):
    with pytest.raises(LimenError, match="one image for each of the 6 labels"):
        write_recordio(tmp_path, (PICTURES * 2)[:count], LABELS)


@pytest.mark.realdata
def test_a_genuine_insightface_file(real_data):
    source = RecordIOSource(real_data / "recordio" / "lfw60")
    assert len(source) == 384
    assert len(source.class_names) == 60
    lines = (real_data / "recordio" / "lfw60" / "train.lst").read_text().splitlines()
    assert [int(line.split("\t")[-1]) for line in lines] == source.labels.tolist()
    assert {source.image(index).shape for index in range(384)} == {(112, 112, 3)}


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "count"), [("mkm/validation", 229), ("popkorn_train", 8)])
def test_genuine_im2rec_files(real_data, tmp_path, name, count):
    path = real_data / "recordio" / f"{name}.rec"
    source = RecordIOSource(path, on_other_size="resize")
    labels = {int(key): float(label) for key, label, _ in map(str.split, path.with_suffix(".lst").read_text().splitlines())}
    if name.startswith("mkm"):
        assert [float(source.class_names[label]) for label in source.labels] == [labels[key] for key in sorted(labels)]
    assert len(source) == count
    assert source.image(count - 1).shape == (112, 112, 3)
    shutil.copy(path, tmp_path / "own.rec")
    walked = RecordIOSource(tmp_path / "own.rec")
    assert sorted(walked.labels) == sorted(source.labels)


@pytest.mark.parametrize("with_header", [True, False])
def test_an_index_cut_at_the_end_of_a_line_is_refused(faces, tmp_path, with_header):
    source = RecordIOSource(faces)
    index = faces / "train.idx"
    lines = index.read_text().splitlines(keepends=True)
    kept = lines[: len(lines) // 2] if with_header else lines[1:3]
    copy = tmp_path / "train.rec"
    copy.write_bytes(source.path.read_bytes())
    copy.with_suffix(".idx").write_text("".join(kept))
    with pytest.raises(LimenError, match="was cut short"):
        RecordIOSource(copy)


# ---- data dropped, doubled or exchanged without a word ----


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("part", [2, 3])
def test_a_part_without_its_start_is_refused(tmp_path, part, index):
    records = [record(PICTURES[0], 1), record(PICTURES[1], 2, part=part), record(PICTURES[2], 3)]
    path = write_records(tmp_path / "own.rec", records)
    if not index:
        path.with_suffix(".idx").unlink()
    with pytest.raises(LimenError, match=r"own\.rec: record 1 at byte \d+ is not the start of a record"):
        RecordIOSource(path)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("rest", [[], [record(PICTURES[1], 2)]])
def test_a_start_without_its_other_parts_is_refused(tmp_path, rest, index):
    path = write_records(tmp_path / "own.rec", [record(PICTURES[0], 1), record(PICTURES[1], 2, part=1), *rest])
    if not index:
        path.with_suffix(".idx").unlink()
    with pytest.raises(LimenError, match=r"record 1 at byte .*(one is missing|beyond the end)"):
        RecordIOSource(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([0, 2, 3], "leaves out what stands at byte .*, before record 2"),
        ([1, 2, 3], "leaves out what stands at byte 0, before record 1"),
        ([0, 1, 2], "the file goes on after it"),
        ([0, 1, 1, 2, 3], "the key 1 stands there twice"),
    ],
)
def test_dropped_and_doubled_lines_of_an_index_are_refused(tmp_path, lines, message):
    path = write_records(tmp_path / "own.rec", [record(PICTURES[k], k) for k in range(4)])
    listed = path.with_suffix(".idx").read_text().splitlines(keepends=True)
    path.with_suffix(".idx").write_text("".join(listed[line] for line in lines))
    with pytest.raises(LimenError, match=message):
        RecordIOSource(path)
    path.with_suffix(".idx").write_text("".join(listed) + f"9\t{listed[2].split()[1]}\n")
    with pytest.raises(LimenError, match=r"the offset .* stands there twice"):
        RecordIOSource(path)


def test_a_file_cut_short_while_it_is_open_is_an_unreadable_image_and_no_signal(tmp_path):
    path = write_records(tmp_path / "own.rec", [record(PICTURES[k] + bytes(100_000), k) for k in range(3)])
    source = RecordIOSource(path)
    os.truncate(path, 50_000)
    with pytest.raises(UnreadableImage, match=r"record 2 at byte .* cut short"):
        source.image(2)


@pytest.mark.parametrize(("label", "refused"), [((1 << 24) - 1, False), (1 << 24, True), (1e20, True)])
def test_labels_that_float32_merges_are_refused(tmp_path, label, refused):
    path = write_records(tmp_path / "own.rec", [record(PICTURES[0], 1), record(PICTURES[1], label)])
    if refused:
        with pytest.raises(LimenError, match=r"record 1 at byte .* float32 merges people"):
            RecordIOSource(path)
    else:
        assert RecordIOSource(path).class_names == ["1", str(label)]
