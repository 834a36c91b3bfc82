"""Runs by name to tables in Markdown: accuracy by degradation, and paired differences with intervals over people and seeds."""

import numpy as np
from machine import append_row
from scipy.stats import rankdata

from evidence import hierarchy
from evidence.bed import resolutions, scores
from evidence.rows import WATCHED, followed, sides_of

DEGRADED = "all degraded"  # the mean of all conditions but the first


class Judge:
    """`scores` name -> (S, conditions, P), of frozen features their own besides; rows of differences go to evidence_differences.csv."""

    def __init__(self, claim, found, made, frozen=True):
        self.claim, self.pairs, self.scores = claim, found.pairs, made
        self.conditions, self.sides = list(sides_of(found.tested)), list(resolutions(found.tested).values())
        self.frozen = scores(found)[None] if frozen else None
        self.weights = hierarchy.people_weights(self.pairs.subject[self.pairs.first], self.pairs.subject[self.pairs.second])
        self._made = {}

    def replicates(self, name, of=hierarchy.accuracies):
        """(1 + R, S, conditions + 1) in percent; row 0 is of everybody as they are, the last column DEGRADED."""
        if (name, of) not in self._made:
            score = self.frozen if name == "frozen" else self.scores[name]
            found = np.stack([[of(self.pairs, row, self.weights) for row in rows] for rows in score])  # (S, conditions, 1 + R)
            found = np.concatenate([found, found[:, 1:].mean(1, keepdims=True)], axis=1)
            self._made[name, of] = 100 * found.transpose(2, 0, 1)
        return self._made[name, of]

    def accuracy_table(self, names):
        """Mean accuracy over the seeds; at the right the least and the most over the seeds of the mean of all degraded."""
        columns = [*self.conditions, DEGRADED]
        line(["head", *columns, "least; most over seeds"], head=True)
        for name in names if self.frozen is None else ["frozen", *names]:
            value = self.replicates(name)[0]
            line([name, *(f"{number:.1f}" for number in value.mean(0)), f"{value[:, -1].min():.1f}; {value[:, -1].max():.1f}"])

    def difference(self, plus, minus, of):
        """condition -> (value, low, high) of the runs `plus` less those `minus`, summed with their signs."""
        total = sum(self.replicates(name, of) for name in plus) - sum(self.replicates(name, of) for name in minus)
        return {name: hierarchy.interval(total[0, :, k], total[1:, :, k]) for k, name in enumerate([*self.conditions, DEGRADED])}

    def difference_table(self, couples):
        """One line a couple of names: the first less the second in %."""
        self._head("head less another")
        for name, other in couples:
            self._line(f"{name} less {other}", [name], [other])

    def interaction(self, name, other, title):
        """What augmentation does for `name` beyond what it does for `other`: the last cell of the 2 x 2 table."""
        self._head("2 x 2")
        plus, minus = [title(name, True), title(other, False)], [title(name, False), title(other, True)]
        self._line(f"what augmentation gives {name} beyond {other}", plus, minus)

    def _head(self, first):
        line([first, "as they are", *(f"{kind}, both" for kind in self.kinds()), DEGRADED, f"TAR@FAR=.01, {DEGRADED}"], head=True)

    def kinds(self):
        return [name.removesuffix(", both") for name in self.conditions if name.endswith(", both")]

    def _line(self, name, plus, minus):
        found = {
            "accuracy": self.difference(plus, minus, hierarchy.accuracies),
            "tar@far=0.01": self.difference(plus, minus, hierarchy.rates),
        }
        for number, own in found.items():
            for condition, ends in own.items():
                self._keep(name, number, condition, ends)
        accuracy = found["accuracy"]
        shown = [accuracy["as they are"], *(accuracy[f"{kind}, both"] for kind in self.kinds()), accuracy[DEGRADED]]
        line([name, *map(signed, [*shown, found["tar@far=0.01"][DEGRADED]])])

    def _keep(self, name, number, condition, ends):
        row = dict(claim=self.claim, name=name, seeds=len(next(iter(self.scores.values()))), pairs=len(self.pairs))
        value = {key: round(end, 3) for key, end in zip(("value", "low", "high"), ends, strict=True)}
        append_row("evidence_differences", row | dict(number=number, condition=condition) | value)

    def norm_table(self, norms, couples):
        """Rank correlation of norm and resolution by step, and its differences; `norms` name -> (S, watched, resolutions, images). A
        replicate weighs the images by their people and leaves the ranks as they are."""
        _, watched, _, images = next(iter(norms.values())).shape
        steps = [*WATCHED[: watched - 1], "end"]
        people = self.pairs.subject[:images]
        weights = np.tile(hierarchy.people_weights(people, people), len(self.sides))  # (1 + R, resolutions * images)
        side = rankdata(np.repeat(self.sides, images))
        found = {}  # name -> (S, watched, 1 + R)
        for name, runs in norms.items():
            found[name] = np.stack([[correlations(rankdata(norm), side, weights) for norm in run.reshape(watched, -1)] for run in runs])
        line(["rank correlation of norm and resolution", *map(str, steps)], head=True)
        found |= {f"{name} less {other}": found[name] - found[other] for name, other in couples}
        for name, value in found.items():
            ends = [hierarchy.interval(own[:, 0], own[:, 1:].T) for own in value.transpose(1, 0, 2)]
            for step, end in zip(steps, ends, strict=True):
                self._keep(name, followed(step), "resolutions", end)
            line([name, *map(signed, ends)])


def correlations(one, other, weights):
    """(R,) Pearson correlation of (N,) and (N,) under weights (R, N)."""
    weights = weights / weights.sum(1, keepdims=True)
    one, other = one - (weights @ one)[:, None], other - (weights @ other)[:, None]
    return (weights * one * other).sum(1) / np.sqrt((weights * one**2).sum(1) * (weights * other**2).sum(1))


def signed(ends):
    value, low, high = ends
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def line(cells, head=False):
    if head:
        print()
    print(f"| {' | '.join(cells)} |", flush=True)
    if head:
        print("|" + "---|" * len(cells), flush=True)
