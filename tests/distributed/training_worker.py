"""One of several gloo processes, with the environment that torchrun gives: trains the jobs it has a part in. Run by test_training.py.

python training_worker.py RANK JOBS.json OUTCOMES.json

A job is {processes, port, config, resume, at_step, does, rank}: `does` ("kill", "stop") happens to `rank` before the step after `at_step`.
"""

import json
import os
import signal
import sys

import torch
from torch import nn

from limen import LimenError, data
from limen.backbones import BACKBONES
from limen.data.synthetic import SyntheticFaces
from limen.errors import UnreadableImage
from limen.training import load_recipe, loop


class Plain(nn.Module):
    """No BatchNorm: the features of an image do not depend on the others of its batch."""

    def __init__(self, embedding_size=16):
        super().__init__()
        self.layers = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(588, 32), nn.Tanh(), nn.Linear(32, embedding_size))

    def forward(self, images):
        return self.layers(images)


class Damaged(SyntheticFaces):
    """Synthetic faces of which some cannot be read."""

    def __init__(self, damaged, **options):
        super().__init__(**options)
        self.damaged = set(damaged)

    def image(self, index):
        if index in self.damaged:
            raise UnreadableImage(f"image {index} is damaged")
        return super().image(index)


def signalled(at_step, kind):
    """A run that gets a signal in the step after `at_step`."""

    class Run(loop.Run):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.head.register_forward_pre_hook(lambda *_: os.kill(os.getpid(), kind) if self.step == at_step else None)

    return Run


def main(rank, jobs, outcomes):
    torch.set_num_threads(1)
    BACKBONES["plain"] = Plain
    data.source.READERS["damaged"] = f"{__name__}:Damaged"
    plain_run, done = loop.Run, []
    for job in jobs:
        if rank >= job["processes"]:
            continue
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(job["port"])}
        os.environ.update(address, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(job["processes"]))
        kind = {"kill": signal.SIGKILL, "stop": signal.SIGTERM}.get(job.get("does") if rank == job.get("rank") else None)
        loop.Run = signalled(job["at_step"], kind) if kind else plain_run
        try:
            loop.train(load_recipe(job["config"], job.get("settings", [])), job.get("resume"), quiet=True)
            done.append("done")
        except (LimenError, SystemExit) as error:
            done.append(str(error))
        with open(outcomes, "w") as file:
            json.dump(done, file)


if __name__ == "__main__":
    with open(sys.argv[2]) as file:
        main(int(sys.argv[1]), json.load(file), sys.argv[3])
