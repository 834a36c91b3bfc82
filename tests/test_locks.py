"""The folder of a run belongs to one process at a time."""

import pytest

from limen.locks import sole_use


def test_a_start_that_fails_leaves_no_folder_behind(tmp_path):
    with pytest.raises(ValueError), sole_use(tmp_path / "out", "training"):
        raise ValueError
    assert not (tmp_path / "out").exists()
    with sole_use(tmp_path / "out", "training"):
        (tmp_path / "out" / "log.jsonl").write_text("")
    assert (tmp_path / "out" / "log.jsonl").exists()
