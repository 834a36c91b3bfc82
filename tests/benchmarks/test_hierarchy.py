"""The intervals of benchmarks/evidence: over people and seeds at once."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import t as student

from limen import metrics

PATH = Path(__file__).parents[2] / "benchmarks" / "evidence" / "hierarchy.py"
spec = importlib.util.spec_from_file_location("hierarchy", PATH)
hierarchy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hierarchy)


def test_without_people_it_is_students_interval_and_without_seeds_the_percentile():
    value, rng = np.arange(6.0), np.random.default_rng(0)
    half = student.ppf(0.975, 5) * value.std(ddof=1) / np.sqrt(6)
    mean, low, high = hierarchy.interval(value, np.tile(value, (20000, 1)))
    assert mean == 2.5
    assert [mean - low, high - mean] == pytest.approx([half, half], rel=0.05)
    people = rng.normal(size=(2000, 1))
    _, low, high = hierarchy.interval(np.zeros(5), np.repeat(people, 5, axis=1))
    assert [low, high] == pytest.approx(list(np.quantile(people, [0.025, 0.975])))


@pytest.mark.parametrize("of_seeds", [0.1, 1.0, 3.0])  # how much seeds vary, in the standard error of the people
def test_five_seeds_hold_the_truth_as_often_as_promised(of_seeds):
    """People with effects of mean 0 that all runs share, and runs that differ by their seed alone: 400 simulations."""
    rng, people, held = np.random.default_rng(1), 40, 0
    weights = rng.multinomial(people, np.full(people, 1 / people), size=300) / people
    for trial in range(400):
        effect = rng.normal(size=people)[:, None] + of_seeds / np.sqrt(people) * rng.normal(size=5)
        _, low, high = hierarchy.interval(effect.mean(0), weights @ effect, seed=trial)
        held += low <= 0 <= high
    assert 0.92 <= held / 400 <= 0.985


def test_rates_and_accuracies_are_the_metrics_own_under_every_weight():
    rng, first = np.random.default_rng(2), np.repeat(np.arange(20), 20)
    second = np.tile(np.arange(20), 20)
    same = rng.random(400) < 0.5
    pairs = SimpleNamespace(first=first, second=np.where(same, first, second), same=same, subject=np.arange(20), folds=4)
    score = np.round(rng.normal(size=400) + same, 1)
    weights = np.stack([np.ones(400), *rng.integers(0, 4, size=(5, 400))]).astype(np.float32)
    naive = metrics.weighted_tar_at_far(score, same, [0.1])
    assert hierarchy.rates(pairs, score, weights, 0.1) == pytest.approx([naive(weight)[0] for weight in weights])
    plain = metrics.kfold_verification(1 - score, same, 4)
    assert hierarchy.accuracies(pairs, score, weights)[0] == pytest.approx(plain.accuracy_mean)
