"""AdaFace's memory files of packed pairs: the same pairs and pixels as the .bin, and what does not fit is named."""

import json
import warnings

import numpy as np
import pytest

import trees
from limen.errors import LimenError, LimenWarning, UnreadableImage
from limen.protocols.layouts import open_benchmark


def opened(spec):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LimenWarning)  # the counts are not those of the published sets
        return open_benchmark(spec)


def write_memory(root, **changed):
    """As AdaFace makes it: float32 BGR from -1 to 1, in a memory file within bcolz's folder, the flags beside."""
    trees.pack(root, "agedb_30")
    pairs, array = packed_pairs(root)
    (root / "agedb_30.bin").unlink()
    folder = root / "agedb_30" / "memfile"
    folder.mkdir(parents=True)
    normalised = (array[:, ::-1] / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    changed.get("array", normalised.astype(np.float32)).tofile(folder / "mem_file.dat")
    (folder / "mem_file.conf").write_text(json.dumps({"shape": list(normalised.shape), "dtype": "float32"} | changed.get("said", {})))
    np.save(root / "agedb_30_list.npy", changed.get("same", pairs.same))
    return pairs


def packed_pairs(root):
    pairs = opened(f"agedb-30:{root}")
    order = np.stack([pairs.first, pairs.second], axis=1).ravel()
    return pairs, np.stack([pairs.source.image(int(k)).transpose(2, 0, 1) for k in order])


def test_a_memory_file_holds_the_same_pairs(tmp_path):
    pairs = write_memory(tmp_path)
    found = opened(f"agedb-30:{tmp_path}")
    np.testing.assert_array_equal([found.first, found.second], [pairs.first, pairs.second])
    np.testing.assert_array_equal(found.same, pairs.same)
    for number in range(len(pairs.source)):
        np.testing.assert_array_equal(found.source.image(number), pairs.source.image(number))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"said": {"dtype": "float64"}}, r"mem_file.dat: mem_file.conf says \[32, 3, 112, 112\] float64 .* makes it float32 \(32, 3"),
        ({"same": np.ones(15, bool)}, "makes it float32 .30, 3"),
        ({"same": np.full(16, 0.5)}, r"agedb_30_list.npy: holds float64 \(16,\) where a flag"),
        ({"array": np.zeros(5, np.float32)}, "it has 20 bytes"),
    ],
)
def test_a_memory_file_that_does_not_fit_is_named(tmp_path, changed, message):
    write_memory(tmp_path, **changed)
    with pytest.raises(LimenError, match=message):
        opened(f"agedb-30:{tmp_path}")


def test_values_of_no_picture_are_failures_and_bcolz_alone_is_refused(tmp_path):
    write_memory(tmp_path, array=np.full((32, 3, 112, 112), np.nan, np.float32))
    with pytest.raises(UnreadableImage, match=r"mem_file.dat image 0: holds values that are not from -1 to 1"):
        opened(f"agedb-30:{tmp_path}").source.image(0)
    (tmp_path / "agedb_30" / "memfile" / "mem_file.dat").unlink()
    with pytest.raises(LimenError, match=r"agedb_30: is packed by bcolz, .* circulate as agedb_30.bin"):
        opened(f"agedb-30:{tmp_path}")
