"""Several gloo processes, each with the environment that torchrun gives, train the jobs they have a part in. Run by test_training.py.

python training_worker.py PROCESSES JOBS.json OUTCOMES

Leaves OUTCOMES-RANK.json of each process, and prints their exit codes.

A job is {processes, port, config, resume, at_step, does, rank}: `does` ("kill", "stop", "fail") happens to `rank` before the step after
`at_step`.
"""

import json
import os
import signal
import sys

import numpy as np
import scipy.stats  # noqa: F401  (what a run imports when it needs it, here once for all processes)
import torch._dynamo
from forks import run_forks
from torch import nn

from limen import LimenError, data
from limen.backbones import BACKBONES
from limen.errors import UnreadableImage
from limen.training import load_recipe, loop


class Plain(nn.Module):
    """No BatchNorm: the features of an image do not depend on the others of its batch."""

    def __init__(self, embedding_size=16):
        super().__init__()
        self.layers = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(588, 32), nn.Tanh(), nn.Linear(32, embedding_size))

    def forward(self, images):
        return self.layers(images)


class Patterns:
    """Coarse noise, some of it common to the images of a person: drawn faster than faces. The images of `damaged` cannot be read."""

    def __init__(self, people, images_each, damaged=()):
        self.labels = np.repeat(np.arange(people), images_each)
        self.class_names = [f"person {k}" for k in range(people)]
        self.damaged = set(damaged)
        coarse = np.random.default_rng(0).integers(0, 128, (people + len(self.labels), 14, 14, 3), np.uint8)
        self.coarse = coarse[self.labels] + coarse[people:]

    def __len__(self):
        return len(self.labels)

    def image(self, index):
        if index in self.damaged:
            raise UnreadableImage(f"image {index} is damaged")
        return self.coarse[index].repeat(8, 0).repeat(8, 1)

    def locate(self, index):
        return f"pattern {index}"


def fail():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB\nand a second line")


EVENTS = {"kill": lambda: os.kill(os.getpid(), signal.SIGKILL), "stop": lambda: os.kill(os.getpid(), signal.SIGTERM), "fail": fail}


def interrupted(at_step, event):
    """A run to which something happens in the step after `at_step`."""

    class Run(loop.Run):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.head.register_forward_pre_hook(lambda *_: event() if self.step == at_step else None)

    return Run


def main(rank, jobs, outcomes):
    BACKBONES["plain"] = Plain
    data.source.READERS["patterns"] = f"{__name__}:Patterns"
    if rank:
        loop.starting_point = None  # the first process alone looks for checkpoints: others may see the folder later than it does
    plain_run, done = loop.Run, []
    for job in jobs:
        if rank >= job["processes"]:
            continue
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(job["port"])}
        os.environ.update(address, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(job["processes"]))
        event = EVENTS.get(job.get("does") if rank == job.get("rank") else None)
        loop.Run = interrupted(job["at_step"], event) if event else plain_run
        try:
            words = job.get("settings", []) + job.get("settings_of", {}).get(str(rank), [])
            loop.train(
                load_recipe(job["config"], words),
                job.get("resume"),
                quiet=True,
            )
            done.append("done")
        except (LimenError, SystemExit) as error:
            done.append(str(error))
        with open(f"{outcomes}-{rank}.json", "w") as file:
            json.dump(done, file)


if __name__ == "__main__":
    load_recipe()  # makes the parser
    with open(sys.argv[2]) as file:
        wanted = json.load(file)
    print(json.dumps(run_forks(int(sys.argv[1]), main, wanted, sys.argv[3])))
