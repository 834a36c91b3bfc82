"""What the two agents of test_training.py start: `limen train` with a network and pictures of the tests, in slow steps.

torchrun ... agent.py CONFIG
"""

import os
import sys
import time

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # as `limen` sets it, before PyTorch
from training_worker import Patterns, Plain

from limen import data
from limen.backbones import BACKBONES
from limen.cli import main
from limen.training import loop


class SlowRun(loop.Run):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.head.register_forward_pre_hook(lambda *_: time.sleep(0.1))


if __name__ == "__main__":
    BACKBONES["plain"] = Plain
    data.source.READERS["patterns"] = f"{Patterns.__module__}:{Patterns.__name__}"
    loop.Run = SlowRun
    sys.exit(main(["train", "--config", sys.argv[1]]))
