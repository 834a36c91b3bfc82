"""The plan's arithmetic against what the head, the collectives and the backbone do."""

import dataclasses
import json
import subprocess
import sys

import pytest
import torch

from limen import MarginHead
from limen.errors import LimenError
from limen.functional.margin_softmax import blocks, forward
from limen.heads import CenterSGD, Group
from limen.heads.samplers import create_sampler
from limen.margins import create_margin
from limen.planning.constants import Constants, _backbone, _saved, measure_constants, measure_footprint
from limen.planning.plan import Footprint, Setup, backbone_memory, most_classes, traffic
from limen.training.recipe import Backbone, Head, Margin, Optimiser, Recipe

NO_BACKBONE = Footprint(0, 0, 0, 0, 0)
CONSTANTS = Constants("a machine", "cpu", 8, 4, True, None, "tiny", "float32", 1.0, 2.0, 0.0, 100.0)


def setup_of(classes, size=8, batch=16, ranks=1, margin="ArcFace", sampler=None, dtype=torch.float32, momentum=0.9, implementation="auto"):
    recipe = Recipe(
        batch_size=batch,
        backbone=Backbone("tiny", size),
        margin=Margin(margin),
        head=Head(implementation=implementation),
        optimiser=Optimiser(momentum=momentum),
    )
    return Setup.of(recipe, classes, ranks, sampler, dtype, "cpu")


MEASURE = """
import json, sys
from pathlib import Path
import torch
from limen import MarginHead
from limen.heads import CenterSGD
from limen.heads.samplers import create_sampler
from limen.margins import create_margin

def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

def train(classes, size, batch, margin, sampler, dtype, momentum, steps):
    margin = create_margin(margin, classes)
    chosen = None if sampler is None else create_sampler(*sampler[:1], **sampler[1])
    head = MarginHead(classes, size, margin, sampler=chosen, dtype=getattr(torch, dtype))
    update = CenterSGD(head.centers, momentum).at(0.1)
    others = list(margin.parameters())
    optimiser = torch.optim.SGD(others, lr=0.1, momentum=momentum) if others else None
    for step in range(steps):
        features = torch.randn(batch, size).requires_grad_()
        margin.zero_grad()
        head(features, torch.randint(classes, (batch,)), update=update).loss.backward()
        if optimiser is not None:
            optimiser.step()

torch.set_num_threads(1)
arguments = json.loads(sys.argv[1])
train(5000, *arguments[1:], 1)  # what the libraries take the first time is no array of ours
Path("/proc/self/clear_refs").write_text("5")  # the largest resident size counts from here
start = resident("VmRSS")
train(*arguments, 2)
print(resident("VmHWM") - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of the resident size from /proc")
@pytest.mark.parametrize(
    ("classes", "size", "margin", "sampler", "dtype", "momentum"),
    [
        (200_000, 256, "ArcFace", None, "float32", 0.9),
        (1_000_000, 16, "AdaMSoftmax", None, "float32", 0.9),
        (400_000, 256, "ArcFace", ["PartialFC", {"rate": 0.1}], "bfloat16", 0.9),
    ],
)
def test_memory_of_the_head_is_what_a_process_takes(classes, size, margin, sampler, dtype, momentum):
    words = json.dumps([classes, size, 32, margin, sampler, dtype, momentum])
    taken = int(subprocess.run([sys.executable, "-c", MEASURE, words], capture_output=True, text=True, check=True).stdout)
    chosen = None if sampler is None else create_sampler(sampler[0], **sampler[1])
    setup = setup_of(classes, size, 32, margin=margin, sampler=chosen, dtype=getattr(torch, dtype), momentum=momentum)
    assert 0.9 <= sum(setup.memory().values()) / taken <= 1.3


@pytest.mark.parametrize("implementation", ["auto", "dense", "chunked"])
@pytest.mark.parametrize("sampler", [None, ("PartialFC", {"rate": 0.37})])
@pytest.mark.parametrize("batch", [4, 64])
def test_logits_and_blocks_are_what_the_pass_asks_for(monkeypatch, implementation, sampler, batch):
    asked = []
    reusable_empty = forward.reusable_empty
    monkeypatch.setitem(blocks.KEPT_BYTES, "cpu", 1 << 20)
    monkeypatch.setattr(forward, "reusable_empty", lambda shape, like: asked.append(4 * shape[0]) or reusable_empty(shape, like))
    chosen = None if sampler is None else create_sampler(sampler[0], **sampler[1])
    head = MarginHead(9001, 4, create_margin("ArcFace", 9001), sampler=chosen, implementation=implementation)
    setup = setup_of(9001, 4, batch, sampler=chosen, implementation=implementation)
    head(torch.randn(batch, 4).requires_grad_(), torch.randint(9001, (batch,)))
    logits = 0 if setup.kept == setup.active else min(blocks.block_size(batch, "cpu"), setup.active) * batch * 4
    assert asked == [setup.kept * batch * 4, *([logits] if logits else [])]
    rows = (0 if sampler is None else min(4096, setup.active)) + 2 * setup.strip
    assert setup.memory()["blocks of classes"] == logits + rows * 4 * 4


class CountingGroup(Group):
    """A rank among `size` whose others all hold what it holds; counts the bytes a ring makes it send."""

    def __init__(self, size):
        self.rank, self.size, self.sent = 0, size, 0.0

    def sum(self, tensor):
        self.sent += 2 * (self.size - 1) / self.size * tensor.nbytes
        return tensor.clone()

    def gather(self, tensor):
        self.sent += (self.size - 1) * tensor.nbytes
        return tensor.expand(self.size, *tensor.shape).clone()

    def scatter_sum(self, tensor):
        return self.sum(tensor).chunk(self.size)[self.rank]  # as gloo does it


def test_queues_send_no_more_than_the_plan_says():
    torch.manual_seed(0)
    mining = create_sampler("HardPrototypeMining", queue=8, subset=0.5)
    setup, group = setup_of(100, size=8, batch=16, ranks=2, sampler=mining), CountingGroup(2)
    head = MarginHead(100, 8, create_margin("ArcFace", 100), sampler=mining, group=group)
    mining.step.fill_(1)  # no graph: it is built every few thousand steps
    head(torch.randn(8, 8).requires_grad_(), torch.randint(50, (8,))).loss.backward()
    assert 0 < group.sent <= sum(traffic(setup, NO_BACKBONE).values())


@pytest.mark.parametrize("margin", ["ArcFace", "AdaMSoftmax"])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_traffic_is_what_the_head_sends(margin, ranks):
    setup = setup_of(100, size=8, batch=16, ranks=ranks, margin=margin)
    group = CountingGroup(ranks)
    head = MarginHead(100, 8, create_margin(margin, 100), group=group if ranks > 1 else None)
    update = CenterSGD(head.centers).at(0.1)
    head(torch.randn(16 // ranks, 8).requires_grad_(), torch.randint(100, (16 // ranks,)), update=update).loss.backward()
    assert sum(traffic(setup, NO_BACKBONE).values()) == pytest.approx(group.sent, abs=8)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_saved_activations_grow_by_the_same_for_every_image(precision):
    """Exactly: two batches that were not measured."""
    recipe = Recipe(precision=precision, backbone=Backbone("tiny", 16))
    footprint = measure_footprint(recipe, torch.device("cpu"))
    network = _backbone(recipe, torch.device("cpu"))
    tensors = [*network.parameters(), *network.buffers()]
    assert footprint.weights + footprint.buffers == sum(tensor.nbytes for tensor in tensors)
    for images in (4, 9):
        saved = sum(_saved(network, tensors, images, precision, torch.device("cpu")))
        assert saved == footprint.saved_besides + images * footprint.saved_per_image


def test_centres_of_a_hundred_million_people():
    memory = setup_of(100_000_000, size=512, batch=1024, ranks=64, dtype=torch.bfloat16, momentum=0.0).memory()
    assert memory["class centres"] == 1_562_500 * 512 * 2
    assert "momentum of the centres" not in memory


@pytest.mark.parametrize("sampler", [None, ("PartialFC", {"rate": 0.1}), ("HardPrototypeMining", {"queue": 8})])
def test_most_classes_fit_and_one_more_does_not(sampler):
    chosen = None if sampler is None else create_sampler(sampler[0], **sampler[1])
    backbone = Footprint(4000, 100, 500, 0, 100)
    setup = setup_of(2, sampler=chosen, ranks=1)

    def needs(classes):
        planned = dataclasses.replace(setup, classes=classes)
        return sum(planned.memory().values()) + sum(backbone_memory(planned, backbone).values())

    limit = 2 << 30
    found = most_classes(setup, backbone, limit)
    assert needs(found) <= limit < needs(found + 1)
    with pytest.raises(LimenError, match="--memory"):
        most_classes(setup, backbone, 1000)


def test_time_grows_with_classes_and_samples():
    small = setup_of(1000, batch=16, implementation="dense")
    assert CONSTANTS.step(small) == {"head": 16 * 1000, "backbone": 16 * 100}
    assert CONSTANTS.step(setup_of(1000, batch=16, implementation="chunked"))["head"] == 2 * 16 * 1000
    shared = CONSTANTS.step(setup_of(4000, batch=64, ranks=4, implementation="dense"))
    assert shared == {"head": 64 * 1000, "backbone": 16 * 100}


def test_constants_are_read_back_and_refused_for_other_settings(tmp_path):
    recipe = Recipe(batch_size=4, backbone=Backbone("tiny", 8))
    setup = Setup.of(recipe, 100, 1, None, torch.float32, "cpu")
    measured = measure_constants(setup, recipe, torch.device("cpu"))
    assert min(measured.seconds_kept, measured.seconds_recomputed, measured.seconds_image) > 0
    measured.save(tmp_path / "here.json")
    assert Constants.load(tmp_path / "here.json") == measured
    measured.check("here.json", setup, recipe)
    with pytest.raises(LimenError, match="backbone tiny, not iresnet18"):
        measured.check("here.json", setup, dataclasses.replace(recipe, backbone=Backbone("iresnet18", 8)))
    (tmp_path / "bad.json").write_text("{}")
    for name in ("bad.json", "absent.json"):
        with pytest.raises(LimenError, match="--save-constants"):
            Constants.load(tmp_path / name)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "9" * 5000, "[]", '"x"', "{changed}", "\xff"], ids=["nested", "digits", "list", "text", "kinds", "bytes"]
)
@pytest.mark.parametrize("value", ["many", None, -1, True, [1]], ids=str)
def test_a_file_that_is_no_constants_is_refused(tmp_path, text, value):
    path = tmp_path / "constants.json"
    text = text.replace("{changed}", json.dumps(dataclasses.asdict(CONSTANTS) | {"seconds_kept": value}))
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(LimenError, match="--save-constants") as caught:
        Constants.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(path), "")) < 300


@pytest.mark.parametrize("dtype", ["float32", "bf16"])
def test_a_gpu_s_pass_takes_little_beside_centres_and_exponentials(dtype):
    """Ten million classes on one card: centres, momenta, what the products read of them and 2 bytes a kept exponential; half a GiB else."""
    recipe = Recipe(batch_size=1024, head=Head(dtype=dtype, precision="bf16", implementation="dense"))
    center_bytes = {"float32": 4, "bf16": 2}[dtype]
    items = Setup.of(recipe, 10**7, 1, None, {4: torch.float32, 2: torch.bfloat16}[center_bytes], "cuda").memory()
    values = 10**7 * 512
    assert items.pop("class centres") == items.pop("momentum of the centres") == values * center_bytes
    assert items.pop("centres as the products read them", 0) == (2 * values if dtype == "float32" else 0)
    assert items.pop("kept exponentials") == 2 * 1024 * 10**7
    assert sum(items.values()) < 2**29
