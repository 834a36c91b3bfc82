r"""
Choose a threshold
==================

A cosine of 0.6: is that one person? That depends on the model, and on how many false accepts you can bear. The
threshold is not a constant: it is found on data, for a false match rate (FMR) that you choose.

1. Decide the FMR. 1e-3 means that one of 1,000 pairs of two people is accepted by mistake.
2. Find its threshold on people like those the system will meet. They must be others than the people trained on.
3. Report how it does on **yet other** people. On the people it was chosen on, it fits too well.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from limen import Embedder
from limen.cli import main
from limen.protocols import load_results


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
# Find the threshold
# ------------------
# ``calibrate`` compares all pairs of images in ``held_out``, and keeps the thresholds in the model file. ``--out``
# writes them to a copy.

limen("calibrate runs/ada/model.safetensors --folders held_out --fmr 1e-2 1e-3 --out calibrated.safetensors")

# %%
# - **threshold**: accept a pair from this cosine on.
# - **95 % interval** of the threshold: with other people it could have come out anywhere in there. Take its high end if
#   you must keep the FMR.
# - **false matches**: how many wrong accepts the threshold rests on. Below 30 it is not dependable, and limen says how
#   many pairs it takes.
# - **FNMR**: the price, the share of pairs of one person that the threshold rejects.
#
# A lower FMR always costs a higher FNMR. Look at both rows and choose.
#
# Report it on other people
# -------------------------


limen("evaluate calibrated.safetensors --folders others --out others_report --at-threshold --replicates 200")

# %%
# The lines with FMR and FNMR are what the kept thresholds reach on people who had no part in choosing them. limen says
# whether the interval of the measured FMR holds the rate that was promised. The lines with TAR choose their own
# threshold on these people: they are for comparing models, not for use.
#
# The scores of these pairs, and where the thresholds lie:

(result,) = load_results("others_report/result.json")
scores = result.curve("histogram").points
for kind, label in (("non_mated", "two people"), ("mated", "one person")):
    share = np.array(scores[kind]) / sum(scores[kind])
    plt.stairs(share, scores["edges"], label=label, fill=True, alpha=0.6)
for name, threshold in result.operating_points.items():
    plt.axvline(threshold, color="black", linestyle=":" if name.endswith("0.001") else "--", label=f"threshold, {name}")
plt.xlabel("cosine")
plt.ylabel("share of the pairs of a kind")
plt.title("Scores of pairs of one person and of two people, with both thresholds")
plt.legend()
plt.show()

# %%
# Use it
# ------
# ``compare`` and ``identify`` read the threshold from the model. *Not sure* means that the cosine lies within the
# interval of the threshold.

person, other = sorted(Path("others").iterdir())[:2]
limen(f"compare calibrated.safetensors {person}/0001.png {person}/0002.png")
limen(f"compare calibrated.safetensors {person}/0001.png {other}/0001.png")

# %%
# In a program:

for point in Embedder.load("calibrated.safetensors").operating_points:
    print(f"FMR {point.fmr:g}: accept from {point.threshold:.4f} (95 % interval {point.low:.4f} to {point.high:.4f})")

# %%
# Several models at once, each with its own threshold: ``limen calibrate a.safetensors b.onnx --folders held_out``. For
# a search among many people the threshold must be higher: :doc:`identify`.
