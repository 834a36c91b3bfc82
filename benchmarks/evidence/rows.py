"""All runs of all claims in one table, results/evidence.csv: a claim, a name, a seed, the settings as JSON, and what came of it."""

import csv
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from machine import RESULTS, append_row

from evidence.features import DEGRADATIONS

WATCHED = (1, 10, 30, 100, 300, 1000)  # steps after which the norms are compared with the known resolution; and "end"


class Key(NamedTuple):
    """What tells one run from another."""

    claim: str
    name: str  # as the table calls it
    seed: int
    settings: str

    def file(self, folder):
        """Where what a row cannot hold of the run lies."""
        words = repr(tuple(map(str, self)))
        return Path(folder) / f"{self.claim}-{hashlib.sha256(words.encode()).hexdigest()[:16]}.npz"


def key_of(claim, name, seed, settings):
    return Key(claim, name, seed, json.dumps(settings, sort_keys=True))


def sides_of(names):
    """Condition -> the degradation of the first and of the second image, of the names of degradations."""
    names = [name for name in names if name != "as it is"]
    one = {f"{name}, one": ("as it is", name) for name in names}
    return {"as they are": ("as it is", "as it is")} | one | {f"{name}, both": (name, name) for name in names}


def followed(step):
    return f"norm_and_resolution@{step}"


NUMBERS = ["made_steps", "target_cosine", "nearest_negative", "lowest_target_cosine", "lowest_of_both"]
NUMBERS += [followed(step) for step in (*WATCHED, "end")]
NUMBERS += [f"{number}: {condition}" for condition in sides_of(DEGRADATIONS) for number in ("accuracy", "tar")]


def known(claim):
    """Key -> row of the runs of a claim."""
    path = RESULTS / "evidence.csv"
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["claim"] == claim]
    return {Key(claim, row["name"], int(row["seed"]), row["settings"]): row for row in rows}


def keep(key, outcome, numbers):
    """Appends the row of a run, and returns it as it will be read."""
    told = {name: round(float(value), 5) for name, value in numbers.items() if value is not None}
    row = key._asdict() | {"outcome": outcome} | dict.fromkeys(NUMBERS, "") | told
    append_row("evidence", row)
    return {name: str(value) for name, value in row.items()}
