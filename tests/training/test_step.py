"""A step: it waits for no value, keeps what is not finite from the weights, and is the same when it is recorded."""

import re
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from limen import LimenError, MarginHead, create_backbone
from limen.data import Batch
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.functional.margin_softmax import kernels
from limen.heads import CenterSGD, ClassCenters, PartialFC
from limen.margins import AdaFace
from limen.models.bundle import load_bundle
from limen.quality import QualityHead
from limen.training import Recipe, graphs, loop, memory, monitor, step, train
from limen.training.checkpoint.folder import checkpoints
from limen.training.distributed import Processes
from limen.training.optimisation import create_optimiser
from limen.training.recipe import Backbone, Data, Head, Margin, Optimiser, Quality, Sampler


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return save_folder(SyntheticFaces(8, 8, difficulty=0.5), tmp_path_factory.mktemp("step") / "faces")


def recipe(faces, out, **changes):
    plain = dict(epochs=2, batch_size=16, device="cpu", threads=1, checkpoint_every=4, log_every=8, margin=Margin("ArcFace"))
    plain |= dict(data=Data(path=str(faces), workers=0), backbone=Backbone("tiny", 32), optimiser=Optimiser(lr=0.05))
    return Recipe(out=str(out), **(plain | changes))


def test_a_step_asks_for_no_value(monkeypatch):
    """Fake tensors have no values, and raise at every transfer to the host."""
    settings = Recipe(margin=Margin("AdaFace"), quality=Quality(10.0), optimiser=Optimiser(clip_norm=5.0))
    monkeypatch.setattr(ClassCenters, "draw", lambda self: None)
    monkeypatch.setattr(ClassCenters, "check", lambda self, labels: None)  # looks at labels on a CPU alone
    with FakeTensorMode():
        head, backbone, quality = MarginHead(8, 32, AdaFace()), create_backbone("tiny", 32), QualityHead(32)
        run = SimpleNamespace(
            recipe=settings, device=torch.device("cpu"), backbone=backbone, head=head, quality=quality, frozen=False, average=None,
            processes=Processes(), memory=nullcontext, step=3, steps_per_epoch=10, total_steps=20, rate=torch.zeros(()), center_lr=0.1,
            optimiser=create_optimiser(backbone, head, settings.optimiser, quality),
            center_optimiser=CenterSGD(head.centers), averaging=None,
        )  # fmt: skip
        images = torch.zeros(4, 112, 112, 3, dtype=torch.uint8)
        outcome = step.Step(run)(Batch(images, torch.zeros(4, dtype=torch.int64), torch.arange(4), []))
        assert outcome.finite.shape == ()
        assert set(outcome.judged) == {"loss", "gradient", "quality loss", "gradient of the quality head"}


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("what", ["images", "gradient"])
def test_what_is_not_finite_reaches_no_weight_and_ends_the_run_with_its_step(faces, tmp_path, monkeypatch, every, what):
    """Images of NaN, or a gradient of NaN behind a loss that is finite: weights, momenta and their average are as before to the bit, and
    the run ends at the next look, naming the step that it was."""
    kept, normalise = {}, step.normalise

    class Watched(loop.Run):
        def weights(self):
            momenta = [state["momentum_buffer"] for state in self.optimiser.state.values()]
            centers = [self.head.centers.weight, self.center_optimiser.velocity] if what == "images" else []
            return [*self.backbone.parameters(), *self.average.module.parameters(), *momenta, *centers]

        def record(self, batch, output):
            if self.step == 1:
                kept["after"] = [tensor.detach().clone() for tensor in self.weights()]
            super().record(batch, output)

    def poisoned(images):
        run = kept["run"]
        if run.step == 1:
            kept["before"] = [tensor.detach().clone() for tensor in run.weights()]
        return normalise(images) * (torch.nan if run.step == 1 and what == "images" else 1)

    def made(*arguments):
        kept["run"] = run = Watched(*arguments)
        last = next(run.backbone.parameters())
        last.register_hook(lambda gradient: gradient * (torch.nan if run.step == 1 and what == "gradient" else 1))
        return run

    monkeypatch.setattr(loop, "Run", made)
    monkeypatch.setattr(step, "normalise", poisoned)
    monkeypatch.setattr(monitor, "CHECKED_EVERY", {"cpu": every})
    name = "loss" if what == "images" else "gradient"
    with pytest.raises(LimenError, match=rf"the {name} is nan at step 2 \(lr 0.05\); there is no checkpoint yet"):
        train(recipe(faces, tmp_path / "run", optimiser=Optimiser(lr=0.05, ema=0.9)), quiet=True)
    assert kept["run"].step == (2 if every == 1 else 3)
    assert len(kept["before"]) > 10
    assert all(torch.equal(now, before) for now, before in zip(kept["after"], kept["before"], strict=True))


def test_no_checkpoint_is_written_of_a_run_that_is_to_end(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(monitor, "CHECKED_EVERY", {"cpu": 100})
    shares = iter([1.0] * 5 + [torch.nan] + [1.0] * 10)
    monkeypatch.setattr(step, "normalise", lambda images, real=step.normalise: real(images) * next(shares))
    with pytest.raises(LimenError, match=r"the loss is nan at step 6 .*the last good checkpoint is .*checkpoint-00000004;"):
        train(recipe(faces, tmp_path / "run"), quiet=True)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-00000004"]


@pytest.fixture(scope="module")
def plain(faces, tmp_path_factory):
    return load_bundle(train(recipe(faces, tmp_path_factory.mktemp("plain") / "run", margin=Margin("AdaMSoftmax")), quiet=True)).tensors


@pytest.mark.parametrize("graph", ["head", "step"])
def test_a_recorded_step_is_the_same_step(faces, tmp_path, monkeypatch, plain, graph):
    """With functions in place of CUDA graphs: recording computes nothing, playing computes with what stands at the recorded addresses."""
    played = []
    monkeypatch.setattr(graphs, "record", lambda work, pool=None: (lambda: (played.append(1), work()), None))
    monkeypatch.setattr(graphs, "aside", lambda work: work())
    monkeypatch.setattr("limen.training.run.check_graph", lambda *_: None)
    found = load_bundle(train(recipe(faces, tmp_path / "run", graph=graph, margin=Margin("AdaMSoftmax")), quiet=True)).tensors
    assert len(played) == (8 - graphs.WARM_UP) * (2 if graph == "head" else 1)
    assert all(torch.equal(plain[name], found[name]) for name in plain)


@pytest.mark.parametrize(
    ("device", "sampler", "processes", "says"),
    [
        ("cpu", None, 1, "graph: step needs a CUDA device, and the run is on cpu; set graph none"),
        ("cuda", PartialFC(0.1), 1, "graph: step cannot record PartialFC, whose draws .*; set graph none, or take all classes"),
        ("cuda", None, 4, "graph: step records no exchange between 4 processes; set graph none"),
    ],
)
def test_what_cannot_be_recorded_is_refused(device, sampler, processes, says):
    with pytest.raises(LimenError, match=says):
        graphs.check_graph("step", torch.device(device), sampler, processes)
    graphs.check_graph("none", torch.device(device), sampler, processes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(graph="head"), "graph: head needs a CUDA device, and the run is on cpu; set graph none"),
        (
            dict(head=Head(precision="tf32")),
            r"head.precision: tf32 products of the head need the kernels of a CUDA device .*; take float32",
        ),
        (dict(head=Head(precision="tf32", dtype="bf16")), "head.precision: tf32 needs float32 centres; give bf16"),
    ],
)
def test_a_run_that_its_device_cannot_do_is_refused_at_its_start(faces, tmp_path, changes, says):
    with pytest.raises(LimenError, match=says):
        train(recipe(faces, tmp_path / "run", **changes), quiet=True)


def test_a_head_that_is_too_large_is_told_how_many_classes_would_fit(faces, tmp_path, monkeypatch):
    def full(*_, **options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")

    monkeypatch.setattr(memory, "device_memory", lambda device: (10 * 2**20, 2**20))
    monkeypatch.setattr(MarginHead, "forward", full)
    said = (
        r"Tried to allocate 9 GiB. for the head of 8 classes: about ([\d,]+) classes would fit beside the .* GiB of all else.*`limen plan`"
    )
    with pytest.raises(LimenError, match=said) as raised:
        train(recipe(faces, tmp_path / "run"), quiet=True)
    fit = int(re.search(said, str(raised.value))[1].replace(",", ""))

    def needs(classes):
        return sum(memory.head_setup(recipe(faces, tmp_path), classes, 1, None, 4, "cpu").memory().values())

    room = 0.95 * 10 * 2**20 - (2**20 - needs(8))
    assert needs(fit) <= room < needs(fit + 1)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("sampler", [Sampler(), Sampler("PartialFC", {"rate": 0.5})])
def test_a_run_with_bfloat16_products_resumes_to_the_bit(faces, tmp_path, sampler):
    """On a CPU their operands are rounded, which is said; what updates keep beside the centres is in no checkpoint."""
    settings = dict(head=Head(precision="bf16", sampler=sampler))
    kernels.choose.cache_clear()
    with pytest.warns(match="head.precision bf16 is no faster than float32 on a CPU"):
        path = train(recipe(faces, tmp_path / "whole", **settings), quiet=True)
    whole = load_bundle(path).tensors
    train(recipe(faces, tmp_path / "cut", epochs=1, **settings), quiet=True)
    cut = load_bundle(train(recipe(faces, tmp_path / "cut", **settings), resume="auto", quiet=True)).tensors
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
