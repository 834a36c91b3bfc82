"""One's own folders: who is in the gallery is found there, others make an open set, and mistakes are named."""

import shutil

import numpy as np
import pytest

from limen.errors import LimenError, LimenWarning
from limen.protocols.layouts import open_benchmark
from limen.protocols.layouts.own_people import FPIR
from limen.protocols.task import task_counts
from made_up import NAMES, write_face, write_image


def write_folders(root, gallery=NAMES[:3], probe=NAMES[:3], distractors=()):
    for side, people, numbers in (("gallery", gallery, (1, 2)), ("probe", probe, (3, 4, 5))):
        for name in people:
            for number in numbers:
                write_face(root / side / name / f"{number}.jpg", NAMES.index(name), number)
    for place, name in enumerate(distractors):
        write_face(root / "distractors" / f"{place}.jpg", NAMES.index(name), 1)


def mates(task):
    """Per probe, by name: the names of the entries of its person."""
    (found,), person, names = task.galleries, task.templates.person, task.templates.names
    return {
        names[probe]: [names[entry] for entry in found.gallery if person[entry] == person[probe] and person[entry] >= 0]
        for probe in found.probe
    }


def test_each_probe_has_the_template_of_its_person_as_mate(tmp_path):
    write_folders(tmp_path)
    task = open_benchmark(f"folders:{tmp_path}")
    assert mates(task) == {f"probe/{name}/{probe}.jpg": [f"gallery/{name}"] for name in NAMES[:3] for probe in (3, 4, 5)}
    assert (task.fpir, task.strangers, task.name) == (FPIR, "everyone", "folders")
    images = [task.source.locate(row).removeprefix(f"{tmp_path}/") for row in range(15)]
    assert images[6:] == list(task.templates.names)[3:]
    assert images[:6] == [f"{task.templates.names[row // 2]}/{1 + row % 2}.jpg" for row in range(6)]
    assert task.templates.template[:6].tolist() == [0, 0, 1, 1, 2, 2]


def test_strangers_among_the_probes_make_an_open_set_and_distractors_are_somebody_else_each(tmp_path):
    write_folders(tmp_path / "set" / "set", probe=[*NAMES[:3], NAMES[4]], distractors=NAMES[5:8])
    task = open_benchmark(f"folders:{tmp_path / 'set'}")
    assert (task.fpir, task.strangers) == (FPIR, "others")
    assert [len(entries) for entries in mates(task).values()] == [1] * 9 + [0] * 3
    (found,) = task.galleries
    assert task.templates.person[found.gallery[-3:]].tolist() == [-1] * 3
    counts = task_counts(task)
    assert (counts["entries"], counts["probes"], counts["people"], counts["distractors"]) == (6, 12, 7, 3)


def test_a_nested_copy_is_the_same(tmp_path):
    write_folders(tmp_path / "a")
    write_folders(tmp_path / "b")
    for side in ("gallery", "probe"):
        (tmp_path / "b" / side).rename(tmp_path / "b" / "moved")
        (tmp_path / "b" / side).mkdir()
        (tmp_path / "b" / "moved").rename(tmp_path / "b" / side / side)
        (tmp_path / "b" / side / ".DS_Store").write_bytes(b"x")
    one, other = (open_benchmark(f"folders:{tmp_path / name}") for name in "ab")
    np.testing.assert_array_equal(one.templates.person, other.templates.person)
    for ours, theirs in zip(one.galleries, other.galleries, strict=True):
        np.testing.assert_array_equal(ours.gallery, theirs.gallery)
        np.testing.assert_array_equal(ours.probe, theirs.probe)


def test_one_name_spelt_in_two_ways_is_one_person(tmp_path):
    write_folders(tmp_path)
    (tmp_path / "probe" / NAMES[0]).rename(tmp_path / "probe" / "ann_example")
    with pytest.warns(LimenWarning, match=r"1 people are spelt otherwise in the gallery \(ann_example is Ann_Example\)"):
        task = open_benchmark(f"folders:{tmp_path}")
    assert all(len(entries) == 1 for entries in mates(task).values())


def test_probes_that_are_copies_of_entries_are_counted(tmp_path):
    write_folders(tmp_path)
    for name in NAMES[:2]:
        shutil.copy(tmp_path / "gallery" / name / "1.jpg", tmp_path / "probe" / name / "9.jpg")
    with pytest.warns(LimenWarning, match=r"2 probes are copies of images in the gallery .*Ann_Example/9.jpg"):
        open_benchmark(f"folders:{tmp_path}")


def test_mistakes_are_named(tmp_path):
    write_folders(tmp_path)
    (tmp_path / "gallery" / "Zoe_Empty").mkdir()
    with pytest.raises(LimenError, match=r"Zoe_Empty: no images of this person; add some or remove the folder"):
        open_benchmark(f"folders:{tmp_path}")
    (tmp_path / "gallery" / "Zoe_Empty").rmdir()
    write_image(tmp_path / "probe" / "Ann_Example" / "3.jpg", np.zeros((250, 250, 3), np.uint8))
    with pytest.raises(LimenError, match=r"^folders: .*3.jpg is 250x250, and aligned 112x112 crops are needed"):
        open_benchmark(f"folders:{tmp_path}")
    shutil.rmtree(tmp_path / "probe")
    with pytest.raises(LimenError, match=r"^folders: probe/ not found in .*probe/ holds who is looked for"):
        open_benchmark(f"folders:{tmp_path}")
