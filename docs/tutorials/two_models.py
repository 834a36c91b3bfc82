r"""
Compare two models fairly
=========================

Model A reaches 94.3 %, model B 95.1 %. Is B better? Often nobody can tell: other people, or another random seed,
could turn it round. limen says how much of a difference the people at hand can show.
"""

from pathlib import Path

import matplotlib.pyplot as plt

from limen.cli import main
from limen.protocols import load_results


def limen(line):
    """What you type in a shell after `limen`."""
    assert main(line.split()) == 0


if not Path("held_out").exists():
    limen("data synthesize --identities 80 --images 16 --difficulty 0.5 --out faces")
    limen("data synthesize --identities 60 --images 10 --difficulty 0.5 --first 1000 --out held_out")
settings = "--data.reader folder --data.options {} --data.path faces --data.workers 0 --threads 1 --epochs 5 --checkpoint_every 50"
if not Path("runs/ada/model.safetensors").exists():
    limen(f"train --config small/synthetic {settings} --quality.weight 10 --out runs/ada")

# %%
# Same data, same epochs, same seed
# ---------------------------------
# Change one thing only. Here it is the margin.

if not Path("runs/norm/model.safetensors").exists():
    limen(f"train --config small/synthetic {settings} --margin.name NormFace --margin.options {{}} --out runs/norm")

# %%
# Same people
# -----------
# Name both models in one call. The first is the one that the others are compared with.

limen("evaluate runs/norm/model.safetensors runs/ada/model.safetensors --folders held_out --out compared --replicates 300")

for place, result in enumerate(load_results("compared/result.json")):
    tar = result.where(quantity="tar", variant=[])
    value = [100 * metric.value for metric in tar]
    ends = [[100 * (m.value - m.interval.low) for m in tar], [100 * (m.interval.high - m.value) for m in tar]]
    at = [number + 0.12 * place for number in range(len(tar))]
    plt.errorbar(value, at, xerr=ends, fmt="o", capsize=4, label=result.model)
plt.yticks(range(len(tar)), [f"FAR {metric.at['far']:g}" for metric in tar])
plt.xlabel("TAR in %")
plt.title("TAR of both models, with 95 % intervals")
plt.legend()
plt.show()

# %%
# The last lines are the **differences**. The bootstrap draws the people again, the same for both models. What is easy
# for both cancels out, so that the interval of the difference is narrower than the two intervals suggest.
#
# - The interval lies on one side of 0: on people like these, the one model is better.
# - It contains 0: these people do not tell. Do not report a winner. Judge on more people (more images of the same
#   people help little).
#
# Evaluations that were made apart
# --------------------------------
# ``compare-results`` does the same from the files of two evaluations. If they hold the same pairs, the comparison is
# paired as well.

limen("evaluate runs/norm/model.safetensors --folders held_out --out apart_a --replicates 300")
limen("evaluate runs/ada/model.safetensors --folders held_out --out apart_b --replicates 300")
limen("compare-results apart_a/result.json apart_b/result.json")

# %%
# One seed is not a method
# ------------------------
# The interval covers other *people*, not another *training run*. To say that a margin is better, train each with
# several seeds::
#
#     for seed in 0 1 2; do limen train --config small/faces ... --seed $seed --out runs/arc-$seed; done
#     limen evaluate runs/*/model.safetensors --folders held_out --out compared/
#
# Runs that differ by their seed alone are shown as one model: the mean, the spread over seeds, and an interval over
# people and seeds.
