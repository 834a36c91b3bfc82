r"""
Fine-tune on other people
=========================

You have a trained model, and images of other people: a new site, a new camera. You need not begin from nothing.
"""

from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np

from limen.cli import main

FOLDERS = ("faces", "new_people")


def limen(line):
    """What you type in a shell after `limen`."""
    assert main(line.split()) == 0


if not Path("held_out").exists():
    limen("data synthesize --identities 80 --images 16 --difficulty 0.5 --out faces")
    limen("data synthesize --identities 60 --images 10 --difficulty 0.5 --first 1000 --out held_out")
if not Path("runs/ada/model.safetensors").exists():
    settings = "--data.path faces --data.workers 0 --threads 1 --epochs 5 --quality.weight 10 --checkpoint_every 50"
    limen(f"train --config small/synthetic --data.reader folder --data.options {{}} {settings} --out runs/ada")
if not Path("new_people").exists():
    limen("data synthesize --identities 40 --images 12 --difficulty 0.8 --first 4000 --out new_people")
    limen("data synthesize --identities 40 --images 6 --difficulty 0.8 --first 5000 --out new_unseen")

rows = [np.hstack([cv2.imread(str(file))[..., ::-1] for file in sorted(Path(folder).glob("*/0003.png"))[:8]]) for folder in FOLDERS]
plt.figure(figsize=(8, 2.4))
plt.imshow(np.vstack(rows))
plt.title("People of the first training (above), and the new ones (below)")
plt.axis("off")
plt.show()

# %%
# ``new_people`` are harder images than the model was trained on. ``new_unseen`` are other people under the same
# conditions: on them we judge.
#
# Start from a model
# ------------------
# ``--init`` loads the weights. It also takes the class centres of people whom both runs have, by the name of their
# folder, from the checkpoint beside the model. Use a lower learning rate than before.

settings = "--data.reader folder --data.options {} --data.path new_people --data.workers 0 --threads 1 --epochs 4 --optimiser.lr 0.02"
if not Path("runs/tuned/model.safetensors").exists():
    limen(f"train --config small/synthetic --init runs/ada/model.safetensors {settings} --out runs/tuned")

# %%
# Was it worth it?
# ----------------
# Both models on the same new people. The difference has an interval of its own: the same people are drawn again for
# both.

limen("evaluate runs/ada/model.safetensors runs/tuned/model.safetensors --folders new_unseen --out tuned_report --replicates 200")

# %%
# Check the old people too. A model that is tuned on few new people can become worse on the old ones.

limen("evaluate runs/ada/model.safetensors runs/tuned/model.safetensors --folders held_out --out tuned_old_report --replicates 200")

# %%
# Only the head
# -------------
# ``--freeze backbone`` keeps the network, and trains class centres, margin and quality head only. This is how a quality
# head is put on a finished model::
#
#     limen train --config small/faces --data.path faces/ --init model.safetensors --freeze backbone --quality.weight 10 --out runs/quality
#
# The vectors stay what they were, so thresholds and galleries stay valid. After any other training they do not:
# calibrate and enrol again.
