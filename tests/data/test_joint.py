"""Several sources as one: whose image is whose, how often each comes, and what is refused."""

import numpy as np
import pytest

from limen import LimenError
from limen.data import JointSource, SyntheticFaces
from limen.data.feed import BatchOrder, WeightedSources
from limen.data.joint import open_data
from limen.data.synthetic import save_folder
from limen.training import Recipe, load_recipe, train
from limen.training.recipe import Backbone, Data
from saved_runs import assert_equal_runs


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("joint")
    return [str(save_folder(SyntheticFaces(n, 4, first_identity=first), root / name)) for name, n, first in (("a", 3, 0), ("b", 4, 2))]


def data(*entries, **changes):
    return {"reader": "folder", "path": None, "options": {}, "sources": list(entries)} | changes


def test_people_of_two_sources_are_kept_apart_and_every_image_is_its_own(folders):
    """Person 2 of the first folder is person 0 of the second, by name too."""
    joint = open_data(data({"path": folders[0]}, {"path": folders[1], "name": "second"}))
    assert [name.partition("@")[2] for name in joint.class_names] == ["a"] * 3 + ["second"] * 4
    assert joint.class_names[2].partition("@")[0] == joint.class_names[3].partition("@")[0]
    for index in range(len(joint)):
        own, number = joint.place(index)
        assert joint.locate(index) == own.locate(number)
        assert joint.class_names[joint.labels[index]].startswith(own.class_names[own.labels[number]] + "@")
        assert np.array_equal(joint.image(index), own.image(number))


def test_joined_people_of_one_name_are_one():
    joint = JointSource({"a": SyntheticFaces(3, 2), "b": SyntheticFaces(3, 1, first_identity=2)}, join=True)
    assert joint.class_names == [f"synthetic-{k:05d}" for k in range(5)]
    assert joint.labels.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 4]


def test_images_come_in_proportion_to_the_weight_of_their_source():
    order = WeightedSources(5 + 60, 13, 0, 40, bounds=[0, 10, 30], weights=[0.5, 3])
    counts = np.bincount(np.concatenate([plan.indices for plan in order]), minlength=30)  # eight epochs, whole
    assert (counts[10:] == 24).all()
    assert counts[:10].sum() == 40
    assert (counts[:10] > 0).all()
    again = WeightedSources(65, 13, 0, 40, 7, bounds=[0, 10, 30], weights=[0.5, 3])
    assert [plan.indices.tolist() for plan in again] == [plan.indices.tolist() for plan in order][7:]


def test_equal_weights_visit_what_plain_batches_visit():
    plain, weighted = BatchOrder(30, 10, 0, 3), WeightedSources(30, 10, 0, 3, bounds=[0, 10, 30], weights=[1, 1])
    assert sorted(np.concatenate([p.indices for p in plain])) == sorted(np.concatenate([p.indices for p in weighted]))


@pytest.mark.parametrize(
    ("entries", "changes", "said"),
    [
        ([{"path": "A"}, {"path": "B", "name": "a"}], {}, "a source 'a' already"),
        ([{"path": "A"}, {"path": "A"}], {}, "a source 'a' already"),
        ([{"path": "A", "wieght": 2}], {}, "did you mean 'weight'"),
        ([{"path": "A", "weight": 0}], {}, "above 0"),
        ([{"path": "A", "weight": True}], {}, "above 0"),
        ([{"path": "A", "name": "x@y"}], {}, "without @"),
        ([{"path": 3}], {}, "path is 3"),
        ([{"path": "A", "options": [1]}], {}, "a mapping"),
        ([{"reader": "folder"}], {}, "has no path"),
        ([{"path": "A"}], {"path": "B"}, "data.path: is there beside"),
    ],
)
def test_bad_sources_are_refused(folders, entries, changes, said):
    places = dict(zip("AB", folders, strict=True))
    entries = [{key: places.get(str(value), value) for key, value in entry.items()} for entry in entries]
    with pytest.raises(LimenError, match=said):
        open_data(data(*entries, **changes))


def test_a_run_on_two_sources_goes_on_to_the_bit_wherever_they_lie(folders, tmp_path):
    def recipe(out, entries, epochs=2.0):
        plain = Recipe(out=str(tmp_path / out), epochs=epochs, batch_size=8, device="cpu", threads=1, log_every=1, checkpoint_every=2)
        plain.data, plain.backbone = Data(sources=entries, workers=0), Backbone("tiny", 16)
        plain.optimiser.schedule = "constant"
        return plain

    entries = [{"path": folders[0], "weight": 2}, {"path": folders[1]}]
    train(recipe("whole", entries))
    train(recipe("parts", entries, epochs=0.6))
    (tmp_path / "a").symlink_to(folders[0])
    train(recipe("parts", [{"path": str(tmp_path / "a"), "weight": 2}, entries[1]]), resume="auto")
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")
    with pytest.raises(LimenError, match=r"data\.sources"):
        train(recipe("parts", [{"path": folders[0], "weight": 3}, entries[1]], epochs=3), resume="auto")
    adaptive = recipe("adaptive", entries)
    adaptive.data.sampling.name = "adaptive"
    with pytest.raises(LimenError, match="weights go with"):
        train(adaptive)


def test_a_reader_of_ones_own_among_the_sources_has_to_be_trusted(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("data: {sources: [{path: faces, reader: 'os:system'}]}")
    with pytest.raises(LimenError, match="would run code"):
        load_recipe(path)
    assert load_recipe(path, allow_code=True).data.sources[0]["reader"] == "os:system"
    words = ["--data.sources", "[{path: x, weight: 2}]"]
    assert load_recipe(None, words).data.sources == [{"path": "x", "weight": 2}]
