"""What belongs to the whole process stays as the caller has it, whatever is called."""

import os
import signal
import threading

import cv2
import numpy as np
import pytest
import torch._dynamo  # an optimiser imports it at its first step, which sets a variable of the environment
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import limen
from limen.data import AdaptiveDataSampler, SyntheticFaces, create_augmentation, make_loader
from limen.devices import WithoutTF32, computing_on, usable_threads
from limen.models.bundle import Architecture, Bundle, save_bundle
from limen.models.model import open_model
from limen.planning import constants
from limen.planning.constants import measure_constants, measure_footprint
from limen.planning.plan import Setup
from limen.quality import QualityHead
from limen.training import Recipe, train
from limen.training.recipe import Backbone, Data

SIGNALS = sorted(signal.valid_signals() - {signal.SIGCHLD})  # PyTorch's DataLoader keeps a handler of that one, for its own processes


def process_state():
    mask = os.umask(0)
    os.umask(mask)
    cudnn = torch.backends.cudnn
    return {
        "umask": mask,
        "threads": torch.get_num_threads(),
        "opencv threads": cv2.getNumThreads(),
        "opencv log": cv2.utils.logging.getLogLevel(),
        "cudnn": (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
        "precision of matmul": torch.get_float32_matmul_precision(),
        "default": (torch.get_default_dtype(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()),
        "torch's random state": torch.get_rng_state().tolist(),
        "numpy's random state": str(np.random.get_state()),  # noqa: NPY002 (it is the global one that is looked at)
        "signals": [signal.getsignal(number) for number in SIGNALS],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    backbone, quality = limen.create_backbone("tiny", 16), QualityHead(16)
    tensors = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    tensors |= {f"quality.{name}": value for name, value in quality.state_dict().items()}
    path = tmp_path_factory.mktemp("devices") / "model.safetensors"
    save_bundle(path, Bundle(Architecture("tiny", 16), tensors))
    return path


def recipe(out, workers=0):
    """Two steps, on another number of threads than the caller's."""
    data = Data("synthetic", None, {"identities": 4, "images_per_identity": 8}, workers=workers)
    threads = torch.get_num_threads() + 1
    return Recipe(out=str(out), epochs=1, batch_size=16, device="cpu", threads=threads, data=data, backbone=Backbone("tiny", 16))


def embed(model, folder):
    open_model(model, threads=torch.get_num_threads() + 1).embed(SyntheticFaces(1, 2).image(0)[None])


def plan(model, folder):
    setup = Setup.of(recipe(folder), 100, 1, None, torch.float32, "cpu")
    measure_footprint(recipe(folder), torch.device("cpu"))
    measure_constants(setup, recipe(folder), torch.device("cpu"))


def load_data(model, folder):
    source = SyntheticFaces(4, 4)
    order = AdaptiveDataSampler(len(source), 8, 0, 4, 0, 0, 1)
    for batch in make_loader(source, order, create_augmentation("adaface"), 0, workers=1):
        order.observe(batch.indices, torch.ones(8, dtype=torch.bool), torch.ones(8), [])


CALLS = {
    "open_model": lambda model, folder: open_model(model, threads=torch.get_num_threads() + 1),
    "embed": embed,
    "save": lambda model, folder: open_model(model).save(folder / "copy.safetensors"),
    "train": lambda model, folder: train(recipe(folder / "run"), quiet=True),
    "train with workers": lambda model, folder: train(recipe(folder / "run", workers=1), quiet=True),
    "plan": plan,
    "data loader": load_data,
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_the_library_leaves_the_process_as_it_was(call, model, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "CLASSES", 1024)  # of the head that a plan times
    before = process_state()
    CALLS[call](model, tmp_path)
    assert process_state() == before


def test_threads_are_given_back_after_an_error():
    before = torch.get_num_threads()

    def fails():
        with computing_on(before + 1):
            raise KeyError(torch.get_num_threads())

    with pytest.raises(KeyError, match=str(before + 1)):
        fails()
    assert torch.get_num_threads() == before
    with computing_on(None):
        assert torch.get_num_threads() == before


class _Convolutions(TorchDispatchMode):
    """Notes whether each convolution may use TF32."""

    def __init__(self):
        super().__init__()
        self.allowed = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._convolution.default:
            self.allowed.append(args[12])
        elif "conv" in func.name():
            self.allowed.append(torch.backends.cudnn.allow_tf32)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1, "bias": False}, {"groups": 2, "dilation": 2}])
def test_without_tf32_a_convolution_is_what_it_was_and_keeps_all_bits(options):
    layer, images = nn.Conv2d(4, 6, 3, **options), torch.randn(2, 4, 9, 9)
    with torch.inference_mode(), _Convolutions() as seen:
        expected = layer(images)
        with WithoutTF32():
            found = layer(images)
        layer(images)
    assert torch.equal(found, expected)
    assert seen.allowed == [True, False, True]


def test_without_tf32_is_of_one_thread():
    layer, images, seen = nn.Conv2d(1, 1, 1), torch.ones(1, 1, 1, 1), []

    def elsewhere():
        with torch.inference_mode(), _Convolutions() as found:
            layer(images)
        seen.extend(found.allowed)

    with WithoutTF32():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert seen == [True]


def test_processes_of_torchrun_share_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert usable_threads(None) is None
    for processes, threads in ((2, 3), (4, 1), (8, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert usable_threads(None) == threads
        assert usable_threads(5) == 5
