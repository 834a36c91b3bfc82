"""Runs by name to tables in Markdown: accuracy by degradation, and paired differences with intervals over people and seeds."""

import numpy as np
from machine import append_row

from evidence import hierarchy
from evidence.bed import WATCHED, scores, sides_of

DEGRADED = "all degraded"  # the mean of all conditions but the first


class Judge:
    """`scores` name -> (S, conditions, P), the frozen recogniser's own besides; rows of differences go to evidence_differences.csv."""

    def __init__(self, claim, features, found, rates=True):
        self.claim, self.pairs, self.scores, self.rates = claim, features.pairs, found, rates
        self.conditions = list(sides_of(features.tested))
        self.frozen = scores(features)[None]
        self.weights = hierarchy.people_weights(self.pairs)
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
        for name in ["frozen", *names]:
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
        line([first, "as they are", *(f"{kind}, both" for kind in self.kinds()), DEGRADED, *self.rate_heads()], head=True)

    def rate_heads(self):
        return [f"TAR@FAR=.01, {DEGRADED}"] if self.rates else []

    def kinds(self):
        return [name.removesuffix(", both") for name in self.conditions if name.endswith(", both")]

    def _line(self, name, plus, minus):
        found = {"accuracy": self.difference(plus, minus, hierarchy.accuracies)}
        found |= {"tar@far=0.01": self.difference(plus, minus, hierarchy.rates)} if self.rates else {}
        row = dict(claim=self.claim, name=name, seeds=len(self.scores[plus[0]]), pairs=len(self.pairs))
        for number, own in found.items():
            for condition, (value, low, high) in own.items():
                ends = {key: round(v, 3) for key, v in dict(value=value, low=low, high=high).items()}
                append_row("evidence_differences", row | dict(number=number, condition=condition) | ends)
        accuracy = found.pop("accuracy")
        shown = [accuracy["as they are"], *(accuracy[f"{kind}, both"] for kind in self.kinds()), accuracy[DEGRADED]]
        shown += [own[DEGRADED] for own in found.values()]
        line([name, *(f"{value:+.2f} ({low:+.2f} to {high:+.2f})" for value, low, high in shown)])


def norms_table(rows):
    """Spearman's correlation of |z| and resolution by step, mean over seeds; least and most at the last one."""
    line(["head", *(f"step {step}" for step in WATCHED), "least; most over seeds"], head=True)
    for name, own in rows.items():
        found = np.array([[float(row[f"norm_and_resolution@{step}"] or "nan") for step in WATCHED] for row in own])
        last = found[:, ~np.isnan(found).any(0)][:, -1]
        line([name, *("" if np.isnan(value) else f"{value:.2f}" for value in found.mean(0)), f"{last.min():.2f}; {last.max():.2f}"])


def line(cells, head=False):
    if head:
        print()
    print(f"| {' | '.join(cells)} |", flush=True)
    if head:
        print("|" + "---|" * len(cells), flush=True)
