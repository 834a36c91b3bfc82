"""Four gloo processes hold the sharded head against the dense one, in groups of 1 to 4 ranks. Run by test_sharded_head.py.

python sharded_head.py RENDEZVOUS_FILE RESULT_FILE
"""

import json
import sys
from functools import cache

import torch
import torch.distributed as dist
from forks import run_forks

from limen import MarginHead, margins
from limen.functional.margin_softmax import kernels, tiled
from limen.functional.margin_softmax.kernels import twins
from limen.heads import CenterSGD, Group, HardPrototypeMining, PartialFC, default_group

CHOOSE = kernels.choose
tiled.TILE = twins.TILE = 1
seed = torch.default_generator.manual_seed  # torch.manual_seed writes down the stack for each accelerator that is not there: 4 ms a call
RANKS = 4
D, B = 6, 24  # B is divided by 1, 2, 3 and 4
CLASSES = (13, 5)  # 5 leaves the last of four ranks without a class; neither is divided by 3 and 4
WAYS = [("dense", False), ("chunked", True), ("tiles", True)]  # of the pass, and whether backward moves the centres
MARGINS = {
    "SphereFace": lambda c: margins.SphereFace(),
    "SphereFace norm": lambda c: margins.SphereFace(scale="norm"),
    "CosFace": lambda c: margins.CosFace(),
    "ArcFace": lambda c: margins.ArcFace(),
    "ElasticArcFace": lambda c: margins.ElasticArcFace(),
    "ElasticCosFace plus": lambda c: margins.ElasticCosFace(plus=True),
    "AdaMSoftmax": lambda c: margins.AdaMSoftmax(c),
    "AdaMSoftmax angular": lambda c: margins.AdaMSoftmax(c, form="angular"),
    "AdaFace": lambda c: margins.AdaFace(),
    "MagFace": lambda c: margins.MagFace(),
    "CurricularFace": lambda c: margins.CurricularFace(),
}
SAMPLERS = {  # that take all classes, for only then do shards and one process choose the same
    "no sampler": lambda: None,
    "PartialFC": lambda: PartialFC(1.0),
    "HardPrototypeMining": lambda: HardPrototypeMining(queue=3, threshold=-1.0, subset=1.0, rebuild_every=2),
}


def build(name, sampler, classes, group, implementation="auto", fused=False):
    """`implementation` "tiles" is the pass in tiles, as GPUs take it."""
    kernels.choose = (lambda *_: twins) if implementation == "tiles" else CHOOSE
    implementation = "auto" if implementation == "tiles" else implementation
    seed(classes)
    margin = MARGINS[name](classes)
    seed(classes + 1)
    chosen = SAMPLERS[sampler]()
    head = MarginHead(classes, D, margin, scale=30.0, sampler=chosen, implementation=implementation, group=group).double()
    return head, CenterSGD(head.centers).at(0.1) if fused else None


def run(head, update, features, labels, steps=2):
    """Outputs of two steps (averages move), then the gradients of the last, or with an update the centres themselves."""
    parameters = [p for p in head.parameters() if update is None or p is not head.centers.weight]
    outputs = []
    for step in range(steps):
        mine = features[step].clone().requires_grad_()
        head.zero_grad()
        seed(100 + step)
        out = head(mine, labels[step], update=update)
        out.loss.backward()
        outputs.append((out, mine.grad))
    centers = head.centers.weight.detach() if update is not None else head.centers.weight.grad
    others = [p.grad for p in parameters if p is not head.centers.weight]
    return outputs, centers, others, dict(head.margin.named_buffers())


def gap(a, b):
    return (a.double() - b.double()).abs().max().item() if a.numel() else 0.0


def batches(classes):
    seed(7)
    return 5 * torch.randn(2, B, D, dtype=torch.float64), torch.randint(classes, (2, B))


@cache
def on_one_process(name, sampler, classes, implementation, fused):
    head, update = build(name, sampler, classes, None, implementation, fused)
    return head, run(head, update, *batches(classes))


def compare(name, sampler, classes, group, implementation, fused):
    """The largest difference of anything, and whether the nearest negatives' classes and the dominant queues are the same."""
    features, labels = batches(classes)
    whole_head, dense = on_one_process(name, sampler, classes, implementation, fused)
    share = B // group.size
    mine = slice(group.rank * share, (group.rank + 1) * share)
    head, update = build(name, sampler, classes, group, implementation, fused)
    outputs, centers, others, buffers = run(head, update, features[:, mine], labels[:, mine])
    held = slice(head.centers.first, head.centers.last)
    gaps = [gap(centers, dense[1][held]), *(gap(buffers[key], dense[3][key]) for key in buffers)]
    gaps += [gap(mine_grad, whole_grad[held]) for mine_grad, whole_grad in zip(others, dense[2], strict=True)]
    same = sampler != "HardPrototypeMining" or torch.equal(head.sampler.queues, whole_head.sampler.queues[held])
    for (out, grad), (whole, whole_grad) in zip(outputs, dense[0], strict=True):
        gaps += [gap(out.loss, whole.loss), gap(out.regulariser, whole.regulariser), gap(grad, whole_grad[mine])]
        gaps += [gap(getattr(out, key), getattr(whole, key)[mine]) for key in ("loss_per_sample", "target_cosine", "nearest_negative")]
        same &= torch.equal(out.nearest_negative_index, whole.nearest_negative_index[mine])
    return max(gaps), same


def ways(number, size):
    """(classes, implementation, fused) of a case: on four ranks every way, with few classes in turn; below, another way on each number of
    ranks. So each number of ranks, and the rank without a class, meets every way and every case."""
    if size < RANKS:
        return [(CLASSES[0], *WAYS[(number + size) % len(WAYS)])]
    return [(CLASSES[(number + place) % len(CLASSES)], *way) for place, way in enumerate(WAYS)]


def main(rank, rendezvous, result):
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=RANKS)
    assert default_group().size == RANKS
    cases = [(name, "no sampler") for name in MARGINS]
    cases += [(name, sampler) for name in ("AdaMSoftmax", "CurricularFace") for sampler in SAMPLERS if sampler != "no sampler"]
    found = []
    for size in range(1, RANKS + 1):
        members = dist.new_group(range(size))
        if rank >= size:
            continue
        for number, (name, sampler) in enumerate(cases):
            for classes, implementation, fused in ways(number, size):
                compared = compare(name, sampler, classes, Group(members), implementation, fused)
                found.append([f"{name}, {sampler}", size, classes, implementation, *compared])
    everyone = [None] * RANKS
    dist.all_gather_object(everyone, found)
    if rank == 0:
        with open(result, "w") as file:
            json.dump([case for mine in everyone for case in mine], file)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    print(json.dumps(run_forks(RANKS, main, *sys.argv[1:])))
