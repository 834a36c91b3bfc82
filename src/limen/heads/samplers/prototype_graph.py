"""The graph of Hard Prototype Mining: for each class the classes whose centres are most like its own, in blocks.

Exact up to a size: every product of two centres is computed once. Above it, in lists around pivots (an inverted file, as in Jegou et al.,
Product quantization for nearest neighbor search, 2011): a class is compared with the classes of the lists whose pivots are nearest to it.
Both are one computation, the exact one with a single list.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from limen.heads.centers import ClassCenters

SCRATCH = 2**25  # elements of a block of scores: 128 MiB in float32
LISTS, PROBES = 3, 8  # LISTS * sqrt(C) lists, of which a class is compared with PROBES
SAMPLES_PER_PIVOT, SAMPLES, ROUNDS = 64, 2**17, 5  # of the k-means that places the pivots: samples for each, at most, and rounds


@torch.no_grad()
def most_similar_classes(centers: ClassCenters, count: int, threshold: float, exact_below: int, seed: int) -> Tensor:
    """(C_shard, count) int32: to each class of this shard its most similar classes of all shards, best first, itself left out, with a
    cosine above `threshold`; -1 where there are fewer.

    Exact for up to `exact_below` classes in all. Above, each class is compared with the members of PROBES lists; `seed` draws them.
    Takes 12 * count + 8 bytes for each class of the shard, the result among them, a few blocks of SCRATCH elements and, above
    `exact_below`, twice the vectors of at most SAMPLES classes; a shard's centres travel in blocks.
    """
    weight = centers.weight
    everyone = torch.arange(len(weight), device=weight.device)
    probes = (
        _probes(centers, everyone, seed) if centers.num_classes > exact_below else torch.zeros_like(everyone, dtype=torch.int32)[:, None]
    )
    visitors = _visitors(probes)
    best = torch.full((len(weight), count + 1), threshold, dtype=_precision(weight), device=weight.device)  # a class is its own nearest
    found = torch.full_like(best, -1, dtype=torch.int32)
    for classes, lists, vectors in _blocks(centers, probes[:, 0]):
        present, lengths = lists.unique_consecutive(return_counts=True)
        parts = zip(present.tolist(), classes.split(lengths.tolist()), vectors.split(lengths.tolist()), strict=True)
        for number, members, keys in parts:
            for rows in visitors.get(number, everyone[:0]).split(max(1, SCRATCH // 2 // len(keys))):
                _merge(best, found, rows, unit_centers(weight, rows) @ keys.T, members)
    result = torch.empty_like(found[:, :count])
    for rows in everyone.split(max(1, SCRATCH // 4 // (count + 1))):
        score = best[rows].masked_fill_(found[rows] == (rows + centers.first)[:, None], -math.inf)
        score, order = score.sort(dim=1, descending=True, stable=True)
        result[rows] = torch.where(score > threshold, found[rows].gather(1, order), -1)[:, :count]
    return result


def unit_centers(weight: Tensor, rows: Tensor) -> Tensor:
    """(n, D) in float32 or better: the centres of these rows, of length one."""
    return F.normalize(weight.index_select(0, rows).to(_precision(weight)))


def centers_at(centers: ClassCenters, rows: Tensor) -> Tensor:
    """(n, D) as `unit_centers`; 0 where a row is -1, of another shard."""
    if not len(centers.weight):
        return torch.zeros(len(rows), centers.weight.shape[1], dtype=_precision(centers.weight), device=rows.device)
    return unit_centers(centers.weight, rows.clamp_min(0)) * (rows >= 0)[:, None]


def unit_centers_of_all_shards(centers: ClassCenters, classes: Tensor) -> Tensor:
    """(n, D), on every rank: the centres of these classes, whichever shards hold them, of length one."""
    vectors = centers_at(centers, centers.rows_of(classes))
    return vectors if centers.group is None else centers.group.sum(vectors)


def _precision(weight: Tensor) -> torch.dtype:
    return torch.promote_types(weight.dtype, torch.float32)


def _merge(best: Tensor, found: Tensor, rows: Tensor, scores: Tensor, members: Tensor) -> None:
    """Puts into the rows of `best` and `found` what is best among them and `scores` (n, len(members))."""
    better = (scores.amax(1) > best[rows].amin(1)).nonzero().squeeze(1)  # looking costs a tenth of choosing, and few rows gain late
    rows, width = rows[better], best.shape[1]
    score, place = scores[better].topk(min(width, len(members)), dim=1, sorted=False)
    score = torch.cat([best[rows], score], 1)
    member = torch.cat([found[rows], members[place].int()], 1)
    best[rows], place = score.topk(width, dim=1, sorted=False)
    found[rows] = member.gather(1, place)


def _probes(centers: ClassCenters, everyone: Tensor, seed: int) -> Tensor:
    """(C_shard, PROBES) int32: the lists whose pivots are nearest to each class, nearest first; the class stands in the first."""
    pivots = _pivots(centers, seed)
    parts = everyone.split(max(1, SCRATCH // len(pivots)))
    near = [(unit_centers(centers.weight, rows) @ pivots.T).topk(min(PROBES, len(pivots)), dim=1).indices.int() for rows in parts]
    return torch.cat(near)


def samples_of_pivots(classes: int) -> int:
    """Of how many classes the vectors place the pivots; at least one for each pivot up to 1.9e9 classes."""
    return min(SAMPLES, SAMPLES_PER_PIVOT * math.ceil(LISTS * math.sqrt(classes)))


def graph_bytes(classes: int, held: int, size: int, count: int, exact_below: int) -> int:
    """Memory of `most_similar_classes` on a rank that holds `held` of the classes, but for the blocks of centres that travel."""
    lists, samples = (PROBES, samples_of_pivots(classes)) if classes > exact_below else (1, 0)
    of_a_class = 8 * (count + 1) + 4 * count + lists * (4 + 3 * 8)
    return held * of_a_class + (2 * samples * size + SCRATCH) * 4


def _pivots(centers: ClassCenters, seed: int) -> Tensor:
    """(n, D): a few rounds of k-means over a sample of all shards' centres. Ranks draw the same sample."""
    count = math.ceil(LISTS * math.sqrt(centers.num_classes))
    drawn = torch.randint(centers.num_classes, (samples_of_pivots(centers.num_classes),), generator=torch.Generator().manual_seed(seed))
    sample = unit_centers_of_all_shards(centers, drawn.to(centers.weight.device))
    pivots = sample[:count]
    for _ in range(ROUNDS):
        nearest = torch.cat([(part @ pivots.T).argmax(1) for part in sample.split(max(1, SCRATCH // count))])
        lengths = torch.bincount(nearest, minlength=count)
        parts = nearest.argsort(stable=True).split(lengths.tolist())
        total = torch.stack([sample[part].sum(0) for part in parts])  # index_add_ adds in an order of its own on a GPU
        used = lengths[:, None] > 0
        pivots = torch.where(used, F.normalize(total), pivots)
    return pivots


def _visitors(probes: Tensor) -> dict[int, Tensor]:
    """To each list the rows that are compared with it."""
    lists, order = probes.flatten().sort(stable=True)
    present, lengths = lists.unique_consecutive(return_counts=True)
    rows = order.div_(probes.shape[1], rounding_mode="floor").split(lengths.tolist())
    return dict(zip(present.tolist(), rows, strict=True))


def _blocks(centers: ClassCenters, list_of: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The classes of all shards, block by block, on every rank: numbers (b,), lists (b,) in ascending order, unit centres (b, D)."""
    weight, group = centers.weight, centers.group
    held = torch.tensor(len(weight), device=weight.device)
    rank, sizes = (0, [len(weight)]) if group is None else (group.rank, group.gather(held).tolist())
    size = max(1, SCRATCH // 4 // weight.shape[1])
    order = list_of.argsort(stable=True)
    for source, held_there in enumerate(sizes):
        for start in range(0, held_there, size):
            if source == rank:
                rows = order[start : start + size]
                block = rows + centers.first, list_of[rows], unit_centers(weight, rows)
            else:
                numbers = order.new_empty(min(size, held_there - start))
                block = numbers, numbers.to(list_of.dtype), weight.new_empty(len(numbers), weight.shape[1], dtype=_precision(weight))
            if group is not None:
                numbers, lists, vectors = block
                block = group.broadcast(numbers, source), group.broadcast(lists, source), group.broadcast(vectors, source)
            yield block
