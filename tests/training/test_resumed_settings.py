"""Resumed equals uninterrupted, to the bit, with the settings of large networks."""

from functools import partial

import pytest
import torch

from limen.backbones import BACKBONES
from limen.backbones.vit import VisionTransformer
from limen.data.feed.to_device import copied_ahead
from limen.data.readers.raw import pack_raw
from limen.data.synthetic import SyntheticFaces
from limen.training import Recipe, train
from limen.training.compatibility import differences, recipe_values
from limen.training.recipe import Backbone, Data, Margin, Optimiser
from saved_runs import assert_equal_runs


class Copies:
    """A device that is the CPU, and copies at once."""

    def buffer(self, like):
        return torch.empty_like(like)

    def start(self, buffers):
        return [buffer.clone() for buffer in buffers], None

    def wait(self, event):
        pass

    def hand_over(self, copies, event):
        pass


ADAMW = Optimiser("AdamW", 1e-3, center_lr=0.05, center_weight_decay=1e-4, warmup_epochs=0.5, clip_norm=1.0, ema=0.9)
SETTINGS = {
    "vision transformer in parts": dict(backbone=Backbone("vit_small", 8, {"drop_path": 0.3}), optimiser=ADAMW, accumulate=2),
    "SyncBatchNorm of one process": dict(backbone=Backbone("tiny", 8, sync_batch_norm=True), optimiser=Optimiser(lr=0.02)),
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """16 faces in two raw shards."""
    folder = tmp_path_factory.mktemp("packed") / "raw"
    pack_raw(SyntheticFaces(4, 4), folder, a_shard=9)
    return str(folder)


@pytest.mark.parametrize("name", SETTINGS)
def test_resumed_equals_uninterrupted(raw, tmp_path, monkeypatch, name):
    """Whole as the workers augment, cut and resumed as the device does, each batch copied ahead."""
    monkeypatch.setitem(BACKBONES, "vit_small", partial(VisionTransformer, 16, 2, 2))

    monkeypatch.setattr("limen.training.run.on_device", lambda batches, device: copied_ahead(batches, Copies()))

    def run(out, steps, augment_on, resume=None):
        data, margin = Data("raw", raw, augment="adaface", augment_on=augment_on, workers=0), Margin("AdaMSoftmax")
        whole = Recipe(out=str(tmp_path / out), epochs=steps / 2, batch_size=8, device="cpu", threads=1, data=data, margin=margin)
        whole.checkpoint_every = 1
        for setting, value in SETTINGS[name].items():
            setattr(whole, setting, value)
        train(whole, resume, quiet=True)

    run("whole", 3, "workers")
    run("cut", 2, "device")
    run("cut", 3, "device", "auto")
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_a_resumed_run_may_augment_elsewhere():
    """The images are the same; an older checkpoint does not say."""
    had, has = (recipe_values(Recipe(data=Data(augment_on=where))) for where in ("workers", "device"))
    assert differences(had, has) == []
    del had["data"]["augment_on"]
    assert differences(had, has) == []
    assert differences(had, recipe_values(Recipe(data=Data(augment="none")))) == ['data.augment "flip", not "none"']
