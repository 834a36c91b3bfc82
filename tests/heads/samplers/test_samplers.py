"""Class samplers: who takes part, how evenly, and what the dominant queues hold, each against the slow line it equals."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare

from limen.errors import LimenError
from limen.heads.centers import ClassCenters
from limen.heads.samplers import HardPrototypeMining, PartialFC, create_sampler
from limen.heads.samplers.prototype_graph import most_similar_classes

C, D, B, K = 61, 8, 12, 5  # 61 is divided by neither 2 nor 3
ALL = {"exact_below": 10**9, "seed": 0}
SAMPLERS = {"PartialFC": lambda: PartialFC(0.4), "HardPrototypeMining": lambda: HardPrototypeMining(K, 0.1, subset=0.4, rebuild_every=3)}


class ThreadGroup:
    """A rank of a group whose ranks are threads."""

    def __init__(self, rank, size, barrier, slots):
        self.rank, self.size, self.barrier, self.slots = rank, size, barrier, slots

    def gather(self, tensor):
        self.slots[self.rank] = tensor.clone()
        self.barrier.wait()
        gathered = torch.stack(list(self.slots))
        self.barrier.wait()
        return gathered

    def sum(self, tensor):
        return self.gather(tensor).sum(0)

    def broadcast(self, tensor, source):
        return self.gather(tensor)[source]


def on_ranks(size, work):
    """[work(group) of each rank], all at the same time."""
    barrier, slots = threading.Barrier(size, timeout=60), [None] * size

    def run(rank):
        try:
            return work(ThreadGroup(rank, size, barrier, slots))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))


def centers_of(weight, group=None):
    centers = ClassCenters(*weight.shape, group)
    centers.weight.data = weight[centers.first : centers.last].clone()
    return centers


def prepared(sampler, centers):
    sampler.prepare(centers)
    return sampler


def clustered(classes, size, families):
    family = F.normalize(torch.randn(families, size))
    return family[torch.randint(families, (classes,))] + F.normalize(torch.randn(classes, size))


def brute_force_queues(weight, count, threshold):
    """To each class the best others above the threshold, by sorting a full row of cosines."""
    cosine = (F.normalize(weight) @ F.normalize(weight).T).fill_diagonal_(-2)
    queues = torch.full((len(weight), count), -1, dtype=torch.int32)
    for row in range(len(weight)):
        best = [j for j in cosine[row].argsort(descending=True).tolist() if cosine[row, j] > threshold][:count]
        queues[row, : len(best)] = torch.tensor(best, dtype=torch.int32)
    return queues


def naive_observe(queues, weight, labels, target_cosine, hardest_cosine, hardest_class, threshold):
    """The rule of METHODS, one class after the other."""
    unit, queues = F.normalize(weight), queues.clone()
    for y in labels.unique().tolist():
        pushed = []
        for i in (labels == y).nonzero().squeeze(1).tolist():
            if hardest_cosine[i, 0] <= target_cosine[i]:
                continue
            scores = zip(hardest_cosine[i].tolist(), hardest_class[i].tolist(), strict=True)
            pushed += [(score, j) for score, j in scores if score > target_cosine[i].item() and j >= 0]
        if not pushed:
            continue
        order = [j for _, j in sorted(pushed, key=lambda pair: -pair[0])] + [j for j in queues[y].tolist() if j >= 0]
        kept = [j for j in dict.fromkeys(order) if unit[y] @ unit[j] > threshold][: queues.shape[1]]
        queues[y] = -1
        queues[y, : len(kept)] = torch.tensor(kept, dtype=torch.int32)
    return queues


def scores(weight, labels, hardest):
    """What the forward pass of random features tells `observe`."""
    cosine = F.normalize(torch.randn(len(labels), D) + F.normalize(weight)[labels] * 2) @ F.normalize(weight).T
    target = cosine.gather(1, labels[:, None]).squeeze(1)
    others, classes = cosine.scatter(1, labels[:, None], -torch.inf).topk(hardest, dim=1)
    others[-1, 2:], classes[-1, 2:] = -torch.inf, -1  # fewer than asked for
    return target, others, classes


def run_steps(sampler, centers, steps):
    """The rows of each step; labels and scores depend on the step alone."""
    chosen = []
    for step in steps:
        torch.manual_seed(step)
        labels = torch.randint(len(centers.weight), (B,))
        chosen.append(sampler.select(labels, centers))
        if sampler.hardest:
            sampler.observe(labels, *scores(centers.weight, labels, sampler.hardest), centers)
    return chosen


@pytest.mark.parametrize("batch", [B, 200])
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_subset_has_its_size_and_the_batch(name, ranks, batch):
    weight, labels = torch.randn(C, D), torch.randint(C, (batch,))

    def work(group):
        centers = centers_of(weight, group if ranks > 1 else None)
        return centers, prepared(SAMPLERS[name](), centers).select(labels, centers)

    for centers, rows in on_ranks(ranks, work):
        own = {label - centers.first for label in labels.tolist() if centers.first <= label < centers.last}
        assert rows.dtype == torch.int64
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert set(rows.tolist()) >= own
        assert 0 <= rows.min() <= rows.max() < len(centers.weight)
        assert len(rows) == max(min(batch, len(centers.weight)), -(-4 * len(centers.weight) // 10))


@pytest.mark.parametrize("rate", [0.2, 0.8])
def test_others_are_drawn_evenly_and_anew_at_each_step(rate):
    centers, sampler, labels = centers_of(torch.randn(C, D)), PartialFC(rate), torch.tensor([3, 3, 40])
    state, drawn = torch.get_rng_state(), [sampler.select(labels, centers) for _ in range(2000)]
    count = torch.bincount(torch.cat(drawn), minlength=C).double()
    assert count[3] == count[40] == 2000
    others = torch.cat([count[:3], count[4:40], count[41:]])
    assert chisquare(others.numpy()).pvalue > 1e-3
    assert torch.equal(state, torch.get_rng_state())


def test_ranks_draw_differently():
    first, second = on_ranks(2, lambda group: PartialFC(0.3).select(torch.tensor([0, 30]), centers_of(torch.randn(60, D), group)))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("threshold", [-1.0, 0.3])
@pytest.mark.parametrize("scratch", [2**25, 64])
def test_the_exact_graph_is_the_best_of_every_row(monkeypatch, scratch, threshold):
    monkeypatch.setattr("limen.heads.samplers.prototype_graph.SCRATCH", scratch)
    weight = torch.randn(C, D)
    got = most_similar_classes(centers_of(weight), K, threshold, **ALL)
    assert torch.equal(got, brute_force_queues(weight, K, threshold))


def test_the_graph_of_bfloat16_centres_is_that_of_their_float32_values():
    weight = torch.randn(C, D).bfloat16()
    centers = ClassCenters(C, D, dtype=torch.bfloat16)
    centers.weight.data = weight
    assert torch.equal(most_similar_classes(centers, K, 0.0, **ALL), brute_force_queues(weight.float(), K, 0.0))


def test_queues_longer_than_the_other_classes_are_empty_at_the_end():
    queues = most_similar_classes(centers_of(torch.randn(4, D)), 6, -1.0, **ALL)
    assert (queues[:, 3:] == -1).all()
    assert all(sorted(row) == sorted({0, 1, 2, 3} - {number}) for number, row in enumerate(queues[:, :3].tolist()))


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("exact_below", [10**9, 0])
def test_shards_build_the_graph_of_one_process(monkeypatch, ranks, exact_below):
    monkeypatch.setattr("limen.heads.samplers.prototype_graph.PROBES", 8)
    weight = clustered(C, D, 6)
    whole = most_similar_classes(centers_of(weight), K, 0.0, exact_below, seed=0)
    monkeypatch.setattr("limen.heads.samplers.prototype_graph.SCRATCH", 64)
    shards = on_ranks(ranks, lambda group: most_similar_classes(centers_of(weight, group), K, 0.0, exact_below, seed=0))
    assert torch.equal(torch.cat(shards), whole)


def test_the_approximate_graph_finds_what_the_exact_one_does():
    """Eight of three hundred lists are looked at, a fortieth of all classes."""
    centers = centers_of(clustered(10_000, 256, 300))
    exact = most_similar_classes(centers, 16, 0.3, 10**9, seed=0)
    near = most_similar_classes(centers, 16, 0.3, 0, seed=0)
    found = (near[:, :, None] == exact[:, None, :]).any(1) & (exact >= 0)
    assert found.sum() / (exact >= 0).sum() > 0.98
    rows = torch.arange(0, 10_000, 97)
    unit = F.normalize(centers.weight.detach())
    cosine = (unit[rows, None] * unit[near[rows].long()]).sum(2).masked_fill(near[rows] < 0, 0.3)
    assert (cosine.diff(dim=1) < 1e-5).all()
    assert (cosine > 0.3 - 1e-5).all()
    assert (near != torch.arange(10_000, dtype=torch.int32)[:, None]).all()


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_observing_equals_one_class_after_the_other(ranks):
    weight, labels = torch.randn(C, D), torch.randint(9, (B,))  # several samples of a class
    told = scores(weight, labels, K)

    def work(group):
        centers = centers_of(weight, group if ranks > 1 else None)
        sampler = prepared(HardPrototypeMining(K, 0.2), centers)
        sampler.select(labels, centers)
        before = sampler.queues.clone()
        sampler.observe(labels, *told, centers)
        return before, sampler.queues

    before, after = (torch.cat(parts) for parts in zip(*on_ranks(ranks, work), strict=True))
    want = naive_observe(before, weight, labels, *told, 0.2)
    assert not torch.equal(before, want)
    assert torch.equal(after, want)


def test_samples_that_are_recognised_leave_the_queues_alone():
    weight, labels = torch.randn(C, D), torch.randint(C, (B,))
    centers = centers_of(weight)
    sampler = prepared(HardPrototypeMining(K, 0.0), centers)
    sampler.select(labels, centers)
    before = sampler.queues.clone()
    _, others, classes = scores(weight, labels, K)
    sampler.observe(labels, others[:, 0], others, classes, centers)
    assert torch.equal(sampler.queues, before)


def test_queue_members_take_part_best_first_then_random_classes():
    weight, labels = torch.randn(C, D), torch.tensor([7, 20])
    queues = brute_force_queues(weight, K, 0.0)
    column_by_column = list(dict.fromkeys([7, 20, *queues[labels].T.flatten().tolist()]))
    for size in (4, 7, 30):
        sampler = HardPrototypeMining(K, 0.0, subset=size / C)
        rows = prepared(sampler, centers_of(weight)).select(labels, centers_of(weight)).tolist()
        assert len(rows) == size
        assert set(rows) >= set(column_by_column[:size])


@pytest.mark.parametrize("ranks", [2, 3])
def test_queues_of_classes_of_other_shards_count(ranks):
    weight, labels = torch.randn(C, D), torch.tensor([0, 1, 60])
    members = set(brute_force_queues(weight, K, 0.0)[labels].flatten().tolist()) | set(labels.tolist())

    def work(group):
        centers = centers_of(weight, group)
        return prepared(HardPrototypeMining(K, 0.0, subset=0.9), centers).select(labels, centers) + centers.first

    assert set(torch.cat(on_ranks(ranks, work)).tolist()) >= members


def test_the_graph_is_built_anew_every_so_many_steps():
    centers = centers_of(torch.randn(C, D))
    sampler = prepared(HardPrototypeMining(K, 0.0, rebuild_every=3), centers)
    for step in range(7):
        centers.weight.data = torch.randn(C, D)
        before, seconds = sampler.queues, sampler.rebuild_seconds
        sampler.select(torch.tensor([1]), centers)
        fresh = torch.equal(sampler.queues, brute_force_queues(centers.weight.data, K, 0.0))
        assert fresh == (step % 3 == 0)
        assert fresh == (not torch.equal(before, sampler.queues)) == (sampler.rebuild_seconds > seconds)


def test_the_threshold_rises_linearly_and_then_stays():
    centers = centers_of(torch.randn(C, D))
    sampler = prepared(HardPrototypeMining(K, (0.1, 0.5), total_steps=4, subset=0.2), centers)
    seen = []
    for _ in range(6):
        seen.append(sampler.current_threshold())
        sampler.select(torch.tensor([1]), centers)
    assert seen == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5])


@pytest.mark.parametrize("name", SAMPLERS)
def test_resumed_equals_uninterrupted(name):
    centers = centers_of(torch.randn(C, D))
    whole = run_steps(prepared(SAMPLERS[name](), centers), centers, range(8))
    first = prepared(SAMPLERS[name](), centers)
    run_steps(first, centers, range(5))
    second = prepared(SAMPLERS[name](), centers)
    second.load_state_dict(first.state_dict())
    for got, want in zip(run_steps(second, centers, range(5, 8)), whole[5:], strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize(
    ("name", "options", "setting"),
    [
        ("PartialFC", {"rate": 0.0}, "rate=0.0"),
        ("PartialFC", {"rate": 1.5}, "rate=1.5"),
        ("HardPrototypeMining", {"threshold": 1.5}, "threshold=1.5"),
        ("HardPrototypeMining", {"threshold": [0.1]}, "threshold=.0.1."),
        ("HardPrototypeMining", {"threshold": [0.3, 0.0]}, "threshold=.* would fall"),
        ("HardPrototypeMining", {"queue": 1.5}, "queue is a whole number, not 1.5"),
        ("HardPrototypeMining", {"threshold": [0.1, 0.3]}, "total_steps=None"),
        ("HardPrototypeMining", {"queue": 0}, "queue=0"),
        ("HardPrototypeMining", {"subset": 0.0}, "subset=0.0"),
        ("HardPrototypeMining", {"rebuild_every": 0}, "rebuild_every=0"),
        ("HardPrototypeMining", {"treshold": 0.1}, "did you mean 'threshold'"),
        ("PartialFc", {}, "did you mean 'PartialFC'"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(name, options, setting):
    with pytest.raises(LimenError, match=setting):
        create_sampler(name, **options)


@pytest.mark.gpu
@pytest.mark.parametrize("name", SAMPLERS)
def test_works_on_the_device_of_the_centres(name):
    centers = centers_of(torch.randn(C, D)).cuda()
    sampler = prepared(SAMPLERS[name](), centers)
    labels = torch.randint(C, (B,))
    rows = sampler.select(labels.cuda(), centers)
    assert rows.is_cuda
    assert set(rows.tolist()) >= set(labels.tolist())
    if sampler.hardest:
        before, told = sampler.queues.cpu(), scores(centers.weight.detach().cpu(), labels, K)
        assert torch.equal(before, brute_force_queues(centers.weight.detach().cpu(), K, 0.1))
        sampler.observe(labels.cuda(), *(part.cuda() for part in told), centers)
        assert torch.equal(sampler.queues.cpu(), naive_observe(before, centers.weight.detach().cpu(), labels, *told, 0.1))
