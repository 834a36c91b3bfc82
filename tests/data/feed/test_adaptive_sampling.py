import csv
import os
import threading
from itertools import chain

import numpy as np
import pytest
import torch

from limen.data import AdaptiveDataSampler, BatchOrder, make_loader
from limen.data.feed.weighted_draw import WeightTable
from limen.errors import LimenError

COUNT, BATCH, STEPS, PERIOD = 50, 12, 40, 5
MISLABELLED = [3, 17, 29, 41]
SETTINGS = dict(count=COUNT, batch_size=BATCH, seed=1, total_steps=STEPS, period=PERIOD)


class GreyFaces:
    class_names = ("even", "odd")
    labels = np.arange(COUNT) % 2

    def __len__(self):
        return COUNT

    def image(self, index):
        return np.full((8, 8, 3), index, np.uint8)

    def locate(self, index):
        return f"face {index}"


def outcome(step, indices):
    """What a network would make of these images at this step: cosines grow, those of the mislabelled little; an image in four is hard."""
    indices = torch.as_tensor(indices)
    noise = torch.from_numpy(np.random.default_rng(step).normal(0, 0.05, COUNT)).float()[indices]
    hard, mislabelled = indices % 4 == 0, torch.isin(indices, torch.tensor(MISLABELLED))
    cosine = noise + torch.where(mislabelled, 0.1, 0.05 * min(step, 10) + torch.where(hard, 0.0, 0.2))
    return cosine > 0.3 + 0.1 * hard, cosine


def nearest(step, indices):
    """A class of the two and its cosine, drawn for each image at each step."""
    rng = np.random.default_rng((1, step))
    classes, cosines = rng.integers(2, size=COUNT), rng.uniform(-1, 1, COUNT)
    return torch.from_numpy(classes[indices]), torch.from_numpy(cosines[indices]).float()


def advance(sampler, until, ahead=1):
    """Trains to step `until`, with plans read `ahead` of it; the indices of each step."""
    plans, read, seen = iter(sampler), [], []
    for step in range(sampler.step, until):
        while len(read) < ahead and (plan := next(plans, None)) is not None:
            read.append(plan)
        plan = read.pop(0)
        assert (plan.step, plan.epoch, plan.rank) == (step, step // (COUNT // BATCH), sampler.rank)
        seen.append(plan.indices.tolist())
        sampler.observe(torch.from_numpy(plan.indices), *outcome(step, plan.indices), (), nearest(step, plan.indices))
    return seen


def same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key], key


def in_ranks(size, work):
    """[work(rank, gather) for each rank], at the same time, as processes would."""
    barrier, given, results = threading.Barrier(size, timeout=20), [None] * size, [None] * size

    def run(rank):
        def gather(tensor):
            given[rank] = tensor
            barrier.wait()
            every = torch.cat(given)
            barrier.wait()
            return every

        results[rank] = work(rank, gather)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# ---- drawing ----


def skewed_weights(count):
    return (10 ** np.random.default_rng(0).uniform(-2, 1, count)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 31, 32, 1000])
def test_an_image_is_drawn_as_often_as_its_weight_says_to_within_two(count):
    weights = skewed_weights(count)
    drawn = WeightTable(count, weights).draw(5000, np.random.default_rng(1))
    expected = 5000 * weights.astype(np.float64) / weights.sum(dtype=np.float64)
    assert np.abs(np.bincount(drawn, minlength=count) - expected).max() < 2
    assert len(np.bincount(drawn)) <= count


def test_single_draws_follow_the_weights():
    """Chi-square over draws that do not know of each other; its 99.9 % quantile at 19 degrees of freedom is 43.8."""
    weights, rng = skewed_weights(20) + 0.2, np.random.default_rng(2)
    table = WeightTable(20, weights)
    counts = np.bincount([table.draw(1, rng)[0] for _ in range(4000)], minlength=20)
    expected = 4000 * weights / weights.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 43.8


def test_draws_of_more_weights_than_float32_can_count():
    """2^25 equal weights: a float32 sum of them stands still at 2^24."""
    drawn = WeightTable(1 << 25).draw(1 << 10, np.random.default_rng(0))
    assert np.array_equal(drawn >> 15, np.arange(1 << 10))


def test_a_changed_table_draws_as_a_new_one_of_the_same_weights():
    weights, changed = skewed_weights(1000), np.random.default_rng(3).permutation(1000)[:300]
    table = WeightTable(1000, weights)
    table.set(changed, weights[changed] * 0.3)
    fresh = WeightTable(1000, table.values)
    assert np.array_equal(table.draw(700, np.random.default_rng(4)), fresh.draw(700, np.random.default_rng(4)))


# ---- plans ----


def test_it_equals_the_batch_order_until_the_second_period_after_the_start():
    start = 4  # epochs of 4 steps: reached when the fourth period ends, which decides the sixth
    sampler = AdaptiveDataSampler(**SETTINGS, start_epoch=start, start_accuracy=0)
    seen, plain = advance(sampler, STEPS), [plan.indices.tolist() for plan in BatchOrder(COUNT, BATCH, 1, STEPS)]
    first_drawn = (4 + 1) * PERIOD
    assert seen[:first_drawn] == plain[:first_drawn]
    assert all(a != b for a, b in zip(seen[first_drawn:], plain[first_drawn:], strict=True))


def test_it_waits_for_the_accuracy():
    assert not advanced(start_accuracy=1).started
    seen = advance(AdaptiveDataSampler(**SETTINGS, start_accuracy=0.6), STEPS)
    correct = np.array([outcome(step, indices)[0].tolist() for step, indices in enumerate(seen)])
    by_period = correct.reshape(-1, PERIOD * BATCH).mean(1)
    first = int(np.argmax(by_period >= 0.6))
    assert first > 0
    plain = [plan.indices.tolist() for plan in BatchOrder(COUNT, BATCH, 1, STEPS)]
    assert [a == b for a, b in zip(seen, plain, strict=True)].index(False) == (first + 2) * PERIOD


def advanced(**options):
    sampler = AdaptiveDataSampler(**SETTINGS, **options)
    advance(sampler, STEPS)
    return sampler


def test_the_mislabelled_become_rare_and_the_hard_frequent():
    sampler = AdaptiveDataSampler(**SETTINGS | {"total_steps": 200})
    seen = np.array(advance(sampler, 200))[100:].ravel()
    often = np.bincount(seen, minlength=COUNT) / len(seen) * COUNT
    mislabelled = np.isin(np.arange(COUNT), MISLABELLED)
    assert often[mislabelled].max() < 0.3 < 0.5 < often[~mislabelled].min()


@pytest.mark.parametrize("ahead", [2, PERIOD])
def test_reading_ahead_changes_no_plan(ahead):
    one, other = AdaptiveDataSampler(**SETTINGS), AdaptiveDataSampler(**SETTINGS)
    assert advance(one, STEPS, ahead) == advance(other, STEPS)
    same(one.state_dict(), other.state_dict())


def test_a_period_shorter_than_what_is_read_ahead_is_refused():
    with pytest.raises(LimenError, match=r"^period: .* choose one longer"):
        advance(AdaptiveDataSampler(**SETTINGS), STEPS, ahead=2 * PERIOD)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_reads_the_same_plans(workers):
    settings = SETTINGS | {"period": 10}
    expected = advance(AdaptiveDataSampler(**settings), STEPS)
    sampler, read = AdaptiveDataSampler(**settings), []
    for step, batch in enumerate(make_loader(GreyFaces(), sampler, None, 0, workers)):
        read.append(batch.indices.tolist())
        sampler.observe(batch.indices, *outcome(step, batch.indices), (), nearest(step, batch.indices))
    assert read == expected


@pytest.mark.parametrize("stop", range(STEPS + 1))
def test_resumed_equals_uninterrupted(stop):
    whole, first = AdaptiveDataSampler(**SETTINGS), AdaptiveDataSampler(**SETTINGS)
    seen = advance(whole, STEPS)
    assert advance(first, stop, ahead=3) == seen[:stop]
    resumed = AdaptiveDataSampler(**SETTINGS)
    resumed.load_state_dict(first.state_dict())
    assert len(resumed) == STEPS - stop
    assert advance(resumed, STEPS) == seen[stop:]
    same(resumed.state_dict(), whole.state_dict())


@pytest.mark.parametrize("size", [2, 3, 4])
def test_ranks_equal_one_process_and_resume_on_another_number(size):
    whole, stop = AdaptiveDataSampler(**SETTINGS), 23
    seen = advance(whole, STEPS)

    def first(rank, gather):
        sampler = AdaptiveDataSampler(**SETTINGS, rank=rank, world_size=size, gather=gather)
        return advance(sampler, stop), sampler.state_dict()

    def global_batches(results):
        return [list(chain(*shares)) for shares in zip(*[result[0] for result in results], strict=True)]

    results = in_ranks(size, first)
    assert global_batches(results) == seen[:stop]
    for _, state in results[1:]:
        same(state, results[0][1])

    def second(rank, gather):
        sampler = AdaptiveDataSampler(**SETTINGS, rank=rank, world_size=other, gather=gather if other > 1 else None)
        sampler.load_state_dict(results[0][1])
        return advance(sampler, STEPS), sampler.state_dict()

    for other in (1, 6 - size):
        again = in_ranks(other, second)
        assert global_batches(again) == seen[stop:]
        same(again[-1][1], whole.state_dict())


# ---- rules ----


def naive_rules(sampler, seen):
    """Weights, scores, looks and the nearest class with its cosine after the periods of `seen`, image by image."""
    weights, sums, looks = np.ones(COUNT, np.float32), np.zeros(COUNT), np.zeros(COUNT, int)
    closest = [(-np.inf, -1)] * COUNT
    for start in range(0, len(seen), PERIOD):
        results = [
            each
            for step in range(start, start + PERIOD)
            for each in zip(seen[step], *outcome(step, seen[step]), *nearest(step, seen[step]), strict=True)
        ]
        median = np.median([float(cosine) for _, _, cosine, _, _ in results])
        for index, correct, cosine, other, other_cosine in results:
            closest[index] = max(closest[index], (float(other_cosine), int(other)))
            if cosine < sampler.images.noise_level * median:
                factor = sampler.images.noise_lowering
            else:
                factor = sampler.images.lowering if correct else sampler.images.raising
            weights[index] = min(max(weights[index] * factor, sampler.images.floor), sampler.images.ceiling)
            sums[index] += float(cosine) / median
            looks[index] += 1
    return weights, sums / np.maximum(looks, 1), looks, *zip(*closest, strict=True)


@pytest.mark.parametrize("options", [{}, {"lowering": 0.8, "raising": 2.0, "noise_lowering": 0.01, "floor": 0.05, "ceiling": 3.0}])
def test_the_rules_are_those_of_a_loop_over_the_outcomes(options):
    sampler = AdaptiveDataSampler(**SETTINGS, start_accuracy=0, **options)
    weights, scores, looks, other_cosines, others = naive_rules(sampler, advance(sampler, STEPS))
    np.testing.assert_allclose(sampler.images.values, weights, rtol=1e-5)
    np.testing.assert_allclose(sampler.images.scores, scores, atol=0.01)
    assert np.array_equal(sampler.images.looks, looks)
    assert np.array_equal(sampler.images.nearest, others)
    np.testing.assert_allclose(sampler.images.nearest_cosines, other_cosines, atol=1e-3)


def watched(cosines, correct, periods=1, **options):
    """Weights after periods of one step that shows every image with these outcomes."""
    count = len(cosines)
    sampler = AdaptiveDataSampler(count, count, 0, 100, period=1, start_accuracy=0, **options)
    for _ in range(periods):
        sampler.observe(torch.arange(count), torch.tensor(correct), torch.tensor(cosines))
    return sampler


def test_each_rule_has_its_factor_and_noise_wins():
    sampler = watched([0.6, 0.6, 0.6, 0.6, 0.29, 0.29, 0.31], [True, True, True, False, False, True, False])
    assert sampler.images.values.tolist() == pytest.approx([0.95, 0.95, 0.95, 1.25, 0.2, 0.2, 1.25])


def test_weights_stay_between_floor_and_ceiling():
    sampler = watched([0.6, 0.6, 0.6, 0.1], [True, True, False, False], periods=99)
    assert sampler.images.values.tolist() == pytest.approx([0.01, 0.01, 4.0, 0.01])
    counts, edges = sampler.images.histogram()
    assert counts.tolist() == [3, *[0] * 8, 1]
    assert (edges[0], edges[-1]) == pytest.approx((0.01, 4.0))


def test_unreadable_images_go_to_the_floor_and_do_not_fill_the_batches():
    """One of a hundred, beside images that are all learnt: at its weight of 1 it would be half of all draws."""
    sampler = AdaptiveDataSampler(100, 20, 0, 1200, period=10, start_accuracy=0)
    drawn = []
    for plan in sampler:
        drawn.append(plan.indices)
        readable = np.where(plan.indices == 7, 8, plan.indices)
        unreadable = [7] if 7 in plan.indices else []
        sampler.observe(torch.from_numpy(readable), torch.ones(20, dtype=torch.bool), torch.full((20,), 0.6), unreadable)
    assert sampler.images.values[7] == pytest.approx(sampler.images.floor)
    assert sampler.images.values.max() < 0.02
    assert np.mean(np.array(drawn[-200:]) == 7) < 0.02


def test_an_outcome_that_is_not_finite_says_nothing_of_its_image():
    """It is left out: the others' median and weights are as if it had not been looked at."""
    one, other = (AdaptiveDataSampler(8, 4, 0, 8, period=2, start_accuracy=0.0) for _ in range(2))
    right, cosine = torch.tensor([True, True, False, True]), torch.tensor([0.6, 0.5, 0.2, torch.nan])
    for step in range(2):
        one.observe(torch.arange(4), right, cosine if step else cosine.nan_to_num(torch.inf))
        other.observe(torch.arange(3), right[:3], cosine[:3])
    np.testing.assert_array_equal(one.images.values, other.images.values)
    np.testing.assert_array_equal(one.images.scores, other.images.scores)
    assert one.images.looks.tolist() == [2, 2, 2, 0, 0, 0, 0, 0]
    spoilt = AdaptiveDataSampler(8, 4, 0, 8, period=1, start_accuracy=0.0)
    spoilt.observe(torch.arange(4), right, torch.full((4,), torch.nan))
    assert not spoilt.started
    assert spoilt.images.values.tolist() == [1.0] * 8


# ---- the table ----


def test_the_table_holds_those_that_were_mislabelled(tmp_path):
    sampler = advanced()
    suspects = sampler.suspects()
    assert sorted(suspects.indices.tolist()) == MISLABELLED
    assert (np.diff(suspects.scores) >= 0).all()
    assert suspects.noise_share == len(MISLABELLED) / (sampler.images.looks >= 2).sum()
    suspects.write(tmp_path / "suspects.csv", GreyFaces())
    with open(tmp_path / "suspects.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == suspects.indices.tolist()
    assert [row["file"] for row in rows] == [f"face {index}" for index in suspects.indices]
    assert {row["person"] for row in rows} == {"odd"}
    assert [float(row["score"]) for row in rows] == pytest.approx(suspects.scores.tolist(), abs=1e-3)
    assert [int(row["looks"]) for row in rows] == suspects.looks.tolist()
    assert {row["nearest"] for row in rows} == {GreyFaces.class_names[k] for k in suspects.nearest}
    assert [float(row["nearest_cosine"]) for row in rows] == pytest.approx(suspects.nearest_cosines.tolist(), abs=1e-3)


def test_a_name_that_is_no_unicode_is_written_as_the_bytes_it_has(tmp_path):
    class Named(GreyFaces):
        def locate(self, index):
            return os.fsdecode(b"caf\xe9.png")

    advanced().suspects().write(tmp_path / "suspects.csv", Named())
    assert b"caf\xe9.png" in (tmp_path / "suspects.csv").read_bytes()


def test_nobody_is_suspected_on_fewer_looks_than_asked():
    sampler = watched([0.6, 0.6, 0.6, 0.1], [True, True, True, False], periods=2)
    assert sampler.suspects(min_looks=2).indices.tolist() == [3]
    assert sampler.suspects(min_looks=3).indices.tolist() == []


# ---- state and errors ----


def test_a_state_survives_a_file_without_pickled_code(tmp_path):
    sampler = AdaptiveDataSampler(**SETTINGS)
    advance(sampler, 33)
    torch.save(sampler.state_dict(), tmp_path / "state.pt")
    resumed = AdaptiveDataSampler(**SETTINGS)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    same(resumed.state_dict(), sampler.state_dict())


def test_a_state_before_nearest_classes_goes_on_without():
    """limen 0.1.0 kept three columns of outcomes, and nobody's nearest class."""
    whole, first, resumed = (AdaptiveDataSampler(**SETTINGS, start_accuracy=0) for _ in range(3))
    seen = advance(whole, STEPS)
    advance(first, 23)
    state = first.state_dict()
    state["outcomes"] = state["outcomes"][:, :3]
    resumed.load_state_dict({name: value for name, value in state.items() if not name.startswith("nearest")})
    assert set(resumed.images.nearest) == {-1}
    assert advance(resumed, STEPS) == seen[23:]
    assert np.array_equal(resumed.images.scores, whole.images.scores)
    assert set(resumed.images.nearest) >= {0, 1}  # it learns them from there on


@pytest.mark.parametrize(("name", "value"), [("count", 51), ("batch_size", 6), ("seed", 2), ("period", 6)])
def test_the_state_of_another_run_is_refused(name, value):
    with pytest.raises(LimenError, match=f"^{name}: "):
        AdaptiveDataSampler(**SETTINGS | {name: value}).load_state_dict(AdaptiveDataSampler(**SETTINGS).state_dict())


def test_the_state_of_shuffled_batches_is_refused():
    with pytest.raises(LimenError, match=r"^data.sampling: the checkpoint holds no weights of images"):
        AdaptiveDataSampler(**SETTINGS).load_state_dict(BatchOrder(COUNT, BATCH, 1, STEPS).state_dict())


def test_resuming_without_the_state_is_refused():
    with pytest.raises(LimenError, match=r"^start_step: 7 steps are done"):
        next(iter(AdaptiveDataSampler(**SETTINGS, start_step=7)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("period", 0),
        ("period", 2.5),
        ("start_epoch", -1),
        ("start_accuracy", 1.1),
        ("lowering", 1.1),
        ("raising", 0.9),
        ("noise_lowering", float("nan")),
        ("noise_level", 2),
        ("floor", 0),
        ("ceiling", 0.5),
        ("world_size", 5),
    ],
)
def test_a_setting_outside_its_range_is_named(name, value):
    named = "batch_size" if name == "world_size" else name
    with pytest.raises(LimenError, match=f"^{named}: .*choose"):
        AdaptiveDataSampler(**SETTINGS | {name: value})


def test_several_ranks_need_a_way_to_gather():
    with pytest.raises(LimenError, match=r"^gather: 3 processes"):
        AdaptiveDataSampler(**SETTINGS, world_size=3)
