r"""
Own folder to a refereed model
==============================

You have a folder of aligned faces, one folder for each person. At the end you have a model, and you know how often it
errs on people it has never seen.

Here limen draws the faces. With your own, leave the two ``data synthesize`` lines out.
"""

from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np

from limen.cli import main
from limen.protocols import load_results
from limen.training import read_log


def limen(line):
    """What you type in a shell after `limen`."""
    assert main(line.split()) == 0


if not Path("faces").exists():
    limen("data synthesize --identities 80 --images 16 --difficulty 0.5 --out faces")
    limen("data synthesize --identities 60 --images 10 --difficulty 0.5 --first 1000 --out held_out")

# %%
# ``faces`` is for training. ``held_out`` holds **other people**: a model that is judged on the people it was trained on
# looks far better than it is.
#
# Look at the data first. ``--check`` reads every image and names those that cannot be read.

limen("data inspect faces --check")
limen("data inspect held_out --check")

people = sorted(Path("faces").iterdir())[:4]
rows = [np.hstack([cv2.imread(str(file))[..., ::-1] for file in sorted(person.iterdir())[:8]]) for person in people]
plt.figure(figsize=(8, 4))
plt.imshow(np.vstack(rows))
plt.title("Four people of the training folder, a row each")
plt.axis("off")
plt.show()

# %%
# Images have 112x112 pixels with the eyes, nose and mouth at fixed places. If yours are photos, cut the faces out
# first::
#
#     limen data align photos/ --out faces/
#
# Train
# -----
# A recipe holds the settings. ``small/synthetic`` and ``small/faces`` come with limen and need no GPU. For real faces
# take ``small/faces``; the words after it change single settings. ``--quality.weight 10`` also trains the quality head
# of CR-FIQA.

TRAIN = "train --config small/synthetic --data.reader folder --data.options {} --data.path faces --data.workers 0 --threads 1 "
TRAIN += "--epochs 5 --quality.weight 10 --checkpoint_every 50 --out runs/ada"
if not Path("runs/ada/model.safetensors").exists():
    limen(TRAIN)

# %%
# After a crash, or after you pressed Ctrl-C, type the same line with ``--resume auto``. The run goes on from its newest
# checkpoint, and ends with the same weights as a run that was never stopped (on the same CPU with as many processes). A
# finished run has nothing left to do:

limen(TRAIN + " --resume auto")

# %%
# ``log.jsonl`` in the run's folder has a line for each logged step. The loss should fall, and the cosine to the own
# class centre should rise.


steps = [row for row in read_log("runs/ada/log.jsonl") if "loss" in row]
print(sorted(steps[-1]))
plt.plot([row["step"] for row in steps], [row["loss"] for row in steps])
plt.xlabel("step")
plt.ylabel("loss")
plt.title("Loss of the training run")
plt.show()

# %%
# Judge
# -----
# All pairs of the images in ``held_out`` are compared.

limen("evaluate runs/ada/model.safetensors --folders held_out --out report --replicates 200")

# %%
# How to read a line: at the threshold shown, the given share of pairs of *two* people is accepted by mistake (FAR), and
# TAR is the share of pairs of *one* person that is accepted. The interval in brackets is what other people like these
# could give. It is wide here because there are few people: more images of the same people would hardly narrow it.
#
# ``report/report.html`` shows the same with curves and the worst pairs. ``report/result.json`` has it for programs:


(result,) = load_results("report/result.json")
print(result.name, result.model, result.counts)
for metric in result.where(quantity="tar", variant=[]):
    print(metric.key, metric.value, metric.interval and (metric.interval.low, metric.interval.high), metric.threshold)

# %%
# What next
# ---------
# The TAR is that of the threshold in its line. Which threshold should *you* use? :doc:`threshold`.
