r"""
Calibrate and gate quality
==========================

A bad image makes wrong decisions: a blurred face can look like anybody. A quality score tells before the comparison.
But the score has no unit: is 0.55 good? ``limen calibrate`` answers with two numbers you can use: the percentile, and
the error that a score lets you expect.
"""

import csv
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np

from limen import Embedder
from limen.cli import main


def limen(line):
    """What you type in a shell after `limen`."""
    assert main(line.split()) == 0


if not Path("held_out").exists():
    limen("data synthesize --identities 80 --images 16 --difficulty 0.5 --out faces")
    limen("data synthesize --identities 60 --images 10 --difficulty 0.5 --first 1000 --out held_out")
if not Path("runs/ada/model.safetensors").exists():
    settings = "--data.path faces --data.workers 0 --threads 1 --epochs 5 --quality.weight 10 --checkpoint_every 50"
    limen(f"train --config small/synthetic --data.reader folder --data.options {{}} {settings} --out runs/ada")
if not Path("others").exists():
    limen("data synthesize --identities 60 --images 10 --difficulty 0.5 --first 2000 --out others")

# %%
# What a score means
# ------------------
# The model was trained with a quality head (``--quality.weight 10``). Calibrate it on people who were not trained on:

limen("calibrate runs/ada/model.safetensors --folders held_out --fmr 1e-2 --out calibrated_quality.safetensors")

# %%
# The second table is the answer to *which quality gate?* Read it from the right: choose the **expected FNMR** you can
# bear, and take the **score** in its row. The **percentile** says how many images you refuse: a gate at percentile 10
# refuses one image of ten, if yours are like these.
#
# Score images
# ------------

limen("quality calibrated_quality.safetensors others --csv scores.csv --sheet sheet.html")


scores = [row for row in csv.DictReader(Path("scores.csv").read_text().splitlines()) if row["quality"]]
scores.sort(key=lambda row: float(row["quality"]))
figure, axes = plt.subplots(2, 8, figsize=(8, 2.8))
for row, chosen in zip(axes, (scores[:8], scores[-8:]), strict=True):
    for axis, image in zip(row, chosen, strict=True):
        axis.imshow(cv2.imread(image["file"])[..., ::-1])
        axis.set_title(f"{float(image['quality']):.3f}", fontsize=8)
        axis.axis("off")
figure.suptitle("The worst eight and the best eight images, with their scores")
plt.show()

# %%
# ``sheet.html`` shows all images from worst to best.
#
# Refuse bad images
# -----------------
# Enrolment takes the gate as ``--min-quality``. Here it is the score at percentile 10, from the table above. A person
# of whom no image is left is reported, and not enrolled.


calibration = Embedder.load("calibrated_quality.safetensors").calibration
gate = float(np.percentile(calibration.quantiles, 10))
print(f"gate: {gate:.4f}, expected FNMR at it: {100 * float(calibration.expected_fnmr(np.array(gate))):.1f} %")
limen(f"embed calibrated_quality.safetensors others --templates --pool quality --min-quality {gate:.4f} --out gated.npz")

# %%
# Is this quality any good?
# -------------------------
# Error versus discard: the worst images are left out step by step, and the FNMR of the rest is measured. A useful
# quality makes it fall quickly. A random order leaves it where it is. The area under the curve (pAUC) puts this into
# one number, lower is better.

limen("data pairs others --count 4000 --out others_pairs.txt")
words = "--quality calibrated_quality.safetensors norm:runs/ada/model.safetensors sharpness random --fmr 0.01 --replicates 100"
limen(f"evaluate runs/ada/model.safetensors --pairs others_pairs.txt --images others {words} --out quality_report")

# %%
# The columns of ``quality_report/edc.csv`` are the curves, and ``quality_report/report.html`` draws them. The
# differences from the first quality have intervals: if one contains 0, these people do not tell the two apart.
