r"""
Find wrong labels
=================

Large collections hold images in the folder of the wrong person. Adaptive Data Sampling watches during training how
well each image is learnt. An image that stays far from its person's centre while the others have come near is drawn
less often, and in the end listed in ``suspects.csv``.

Here we know the truth: we put every twelfth image into a wrong folder.
"""

import csv
import shutil
from pathlib import Path

import cv2
import matplotlib.pyplot as plt

from limen.cli import main


def limen(line):
    """What you type in a shell after `limen`."""
    assert main(line.split()) == 0


if not Path("mixed").exists():
    limen("data synthesize --identities 40 --images 20 --difficulty 0.3 --first 3000 --out clean")
    people = sorted(path for path in Path("clean").iterdir() if path.is_dir())
    for number, file in enumerate(sorted(Path("clean").glob("*/*.png"))):
        person = people.index(file.parent)
        wrong = number % 12 == 5
        target = Path("mixed", people[(person + 7) % len(people) if wrong else person].name)
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / f"{'wrong' if wrong else 'right'}-{file.parent.name}-{file.name}")

limen("data inspect mixed")

# %%
# Train with adaptive sampling
# ----------------------------
# The sampler needs a model that has learnt something before it can judge. ``period`` is the number of steps between two
# judgements. On small data take a small one.

if not Path("runs/mixed/suspects.csv").exists():
    shutil.rmtree("runs/mixed", ignore_errors=True)
    settings = "--data.path mixed --data.workers 0 --threads 1 --epochs 10 --data.sampling.name adaptive --data.sampling.options.period 12"
    limen(f"train --config small/synthetic --data.reader folder --data.options {{}} {settings} --out runs/mixed")

# %%
# Look at the suspects
# --------------------
# The surest come first. ``score`` is the mean cosine to the centre of the person whom the folder names, 1 for the
# median image.

suspects = list(csv.DictReader(Path("runs/mixed/suspects.csv").read_text().splitlines()))
wrong = ["wrong-" in row["file"] for row in suspects]
planted = len(list(Path("mixed").glob("*/wrong-*")))
print(f"{len(suspects)} suspects, {sum(wrong)} of them wrong; {planted} wrong labels were planted")

figure, axes = plt.subplots(1, 8, figsize=(8, 1.7))
for axis, row in zip(axes, suspects, strict=False):
    axis.imshow(cv2.imread(row["file"])[..., ::-1])
    axis.set_title("wrong" if "wrong-" in row["file"] else "right", fontsize=8)
for axis in axes:
    axis.axis("off")
figure.suptitle("The first eight suspects, and the truth")
plt.show()

# %%
# What to do with the list
# ------------------------
# It is a list to look through, not one to delete. On real faces about half of it are wrong labels (see
# :doc:`/results/labels`); the rest are hard images of the right person, which a model needs. Look at each image beside others
# of its folder: ``limen review runs/mixed/suspects.csv --out page.html`` writes a page for that, and ``limen data apply``
# writes the corrected data. Then train again.
#
# If the run ends with *adaptive sampling never began*, it was too short: train longer, or lower ``period``,
# ``start_epoch`` or ``start_accuracy`` under ``--data.sampling.options``.
