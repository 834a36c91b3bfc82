r"""
Identify in a gallery
=====================

Who is in this image? Enrol the people you know in a gallery. A probe image is then one of them, or nobody. *Nobody*
matters most: most faces that a camera sees are strangers.
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


if not Path("held_out").exists():
    limen("data synthesize --identities 80 --images 16 --difficulty 0.5 --out faces")
    limen("data synthesize --identities 60 --images 10 --difficulty 0.5 --first 1000 --out held_out")
if not Path("runs/ada/model.safetensors").exists():
    settings = "--data.path faces --data.workers 0 --threads 1 --epochs 5 --quality.weight 10 --checkpoint_every 50"
    limen(f"train --config small/synthetic --data.reader folder --data.options {{}} {settings} --out runs/ada")

# %%
# Forty people are enrolled with five images each. The probes are three other images of ten of them, and images of ten
# strangers.

if not Path("enrolled").exists():
    people = sorted(path for path in Path("held_out").iterdir() if path.is_dir())
    for number, person in enumerate(people[:50]):
        images = sorted(person.iterdir())
        for place, file in enumerate(images[:8]):
            known = number < 40
            role = "enrolled" if known and place < 5 else None
            role = "probes" if (place < 3 if not known else number % 4 == 0 and place >= 5) else role
            if role:
                Path(role, person.name).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, Path(role, person.name, file.name))

# %%
# Enrol
# -----
# One vector for each person: the mean of the vectors of their images.

limen("embed runs/ada/model.safetensors enrolled --templates --out gallery.npz")

# %%
# Search
# ------
# ``--fpir 0.05``: at most 5 % of strangers may be taken for somebody (false positive identification rate). limen finds
# the threshold of it in the gallery itself: each enrolled person searches the gallery without themself, and so plays a
# stranger.

limen("identify runs/ada/model.safetensors probes --gallery gallery.npz --fpir 0.05 --best 2 --out answers.csv")

# %%
# - **yes**: the best person reaches the threshold.
# - **not sure**: the score lies within the interval of the threshold. Let a person look.
# - **nobody**: below it.

answers = list(csv.DictReader(Path("answers.csv").read_text().splitlines()))
known = {path.name for path in Path("enrolled").iterdir()}
strangers = [row for row in answers if Path(row["probe"]).parent.name not in known]
mates = [row for row in answers if Path(row["probe"]).parent.name in known]
print("strangers:", {said: sum(row["answer"] == said for row in strangers) for said in ("yes", "not sure", "nobody")})
print("enrolled:", {said: sum(row["answer"] == said for row in mates) for said in ("yes", "not sure", "nobody")})
print("enrolled, and the best person is right:", sum(row["person_1"] == Path(row["probe"]).parent.name for row in mates), "of", len(mates))

figure, axes = plt.subplots(1, 8, figsize=(8, 1.7))
for axis, row in zip(axes, [*mates[:4], *strangers[:4]], strict=True):
    axis.imshow(cv2.imread(row["probe"])[..., ::-1])
    axis.set_title(f"{row['answer']}\n{float(row['score_1']):.2f}", fontsize=8)
    axis.axis("off")
figure.suptitle("Four enrolled people and four strangers, with the answer and the best score", fontsize=9, y=1.15)
plt.show()

# %%
# The threshold comes from forty people, so it is rough, and ten strangers tell little: more of them than 5 % may come
# through. It also supposes that probes are as good as the templates, which are made of five images each.
#
# Judge the search before you rely on it
# --------------------------------------
# ``evaluate --split 2`` enrols two images of each person, and lets the others probe.

limen("evaluate runs/ada/model.safetensors --folders held_out --split 2 --fpir 0.1 0.01 --out search_report --replicates 100")

# %%
# **rank 1** asks only whether the right person came first; it knows no strangers. **TPIR at an FPIR** is the share of
# enrolled people who are found at a threshold that lets so many strangers through. The threshold rises with the number
# of people enrolled: see the table "people enrolled".
#
# Vectors of another model do not fit: ``identify`` refuses a gallery that another model made. After training anew,
# enrol again.
