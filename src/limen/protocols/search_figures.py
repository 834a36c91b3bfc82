"""The figures of searches: closed-set rates and mean average precision, TPIR at FPIR, and insightface's under their names."""

from collections.abc import Mapping, Sequence

import numpy as np

from limen import metrics
from limen.metrics.rates import trials_needed
from limen.protocols.intervals import Bootstrap, Figure, with_threshold_intervals
from limen.protocols.result import Metric

NOWHERE: Mapping[str, float] = {}


def closed_figures(
    searches: Sequence[metrics.Search], names: Sequence[str], ranks: Sequence[int], bootstrap: Bootstrap, at: Mapping[str, float] = NOWHERE
) -> list[Metric]:
    """The mean over galleries of each rate and of the average precision, then each gallery's own, one draw of people for all.

    `at` is what the working point of each holds besides.
    """
    person = np.concatenate([found.person for found in searches])
    gallery = np.repeat(np.arange(len(searches)), [len(found.person) for found in searches])
    mated, rank = (np.concatenate([getattr(found, what) for found in searches]) for what in ("mated", "rank"))
    wanted = [({"rank": float(k), **at}, "identification_rate", (rank < k).astype(float)) for k in ranks]
    wanted.append((dict(at), "map", np.concatenate([found.average_precision for found in searches])))
    among = [mated & (gallery == number) for number in range(len(searches))]
    means, own = [], []
    for where, quantity, value in wanted:
        statistics = [metrics.weighted_mean(value, group) for group in among]
        values = [float(value[group].mean()) for group in among]
        means.append(Figure(Metric(quantity, float(np.mean(values)), at=where), _mean_of(statistics), among))
        for group, statistic, one, name in zip(among, statistics, values, names, strict=True):
            own.append(Figure(Metric(quantity, one, at=where, variant=[name]), statistic, [group]))
    return bootstrap.figures(means + (own if len(searches) > 1 else []), person, person)


def open_figures(
    searches: Sequence[metrics.Search],
    names: Sequence[str],
    fpir: Sequence[float],
    rank: int,
    bootstrap: Bootstrap,
    at: Mapping[str, float] = NOWHERE,
) -> list[Metric]:
    """TPIR at each FPIR: of the only gallery with its threshold, or the mean and each gallery's own."""
    if not fpir:
        return []
    own = [_tpir(found, fpir, rank, bootstrap, at, [name] * (len(names) > 1)) for found, name in zip(searches, names, strict=True)]
    if len(searches) == 1:
        return own[0]
    blocks = np.cumsum([0, *(len(found.person) for found in searches)])
    scored = [found.open_set_scores(rank) for found in searches]
    person, means = np.concatenate([found.person for found in searches]), []
    for number, rate in enumerate(fpir):
        values = [metric[number].value for metric in own]
        if any(value is None for value in values):
            needed = max(metric[number].needed or 0 for metric in own)
            means.append(Figure(Metric("tpir", None, at={"fpir": rate, **at}, needed=needed)))
            continue
        each = [_of_block(metrics.weighted_tar_at_far(*s, [rate]), a, b) for s, a, b in zip(scored, blocks, blocks[1:], strict=False)]
        kinds = [np.concatenate([mated & (k == n) for n, (_, mated) in enumerate(scored)]) for k in range(len(scored))]
        value = float(np.mean([value for value in values if value is not None]))
        events = sum(metric[number].events or 0 for metric in own)
        means.append(Figure(Metric("tpir", value, at={"fpir": rate, **at}, events=events), _mean_of(each), kinds))
    return bootstrap.figures(means, person, person) + [metric for metrics_ in own for metric in metrics_]


def _tpir(
    found: metrics.Search, fpir: Sequence[float], rank: int, bootstrap: Bootstrap, at: Mapping[str, float], variant: list[str]
) -> list[Metric]:
    judged = found.open_set(fpir, rank)
    rows = [
        Metric("tpir", tpir, at={"fpir": rate, **at}, variant=variant, events=int(events), threshold=float(threshold))
        if resolved
        else Metric("tpir", None, at={"fpir": rate, **at}, variant=variant, needed=trials_needed(rate))
        for rate, tpir, events, threshold, resolved in zip(
            fpir, judged.tpir, judged.false_positives, judged.thresholds, judged.resolved, strict=True
        )
    ]
    told = np.flatnonzero(judged.resolved)
    if not len(told):
        return rows
    rates = [fpir[number] for number in told]
    drawn = found.open_set_interval(rates, rank, bootstrap.replicates, bootstrap.level, bootstrap.seed)
    thresholds = found.open_set_thresholds(fpir, rank, bootstrap.level)
    return with_threshold_intervals(rows, told, drawn, thresholds, bootstrap.level, found.person, found.person, [found.mated])


def insightface_figures(
    probe: np.ndarray, probe_id: np.ndarray, gallery: np.ndarray, gallery_id: np.ndarray, ranks: Sequence[int], fpir: Sequence[float]
) -> list[Metric]:
    """All probes against all galleries as one, as insightface's script has it."""
    found = []
    for rank, rate in zip(ranks, metrics.rank_rates(probe, probe_id, gallery, gallery_id, ranks), strict=True):
        found.append(Metric("identification_rate", rate, at={"rank": float(rank)}, variant=["insightface"]))
    if fpir:
        judged = metrics.open_set(probe, probe_id, gallery, gallery_id, fpir, lookup="insightface")
        for rate, *row in zip(fpir, judged.tpir, judged.false_positives, judged.thresholds, strict=True):
            tpir, events, threshold = row
            at = {"fpir": rate}
            found.append(Metric("tpir", tpir, at=at, variant=["insightface"], events=int(events), threshold=float(threshold)))
    return found


def _mean_of(statistics: Sequence[metrics.Statistic]) -> metrics.Statistic:
    return lambda weight: np.mean([np.atleast_1d(statistic(weight)) for statistic in statistics], axis=0)


def _of_block(statistic: metrics.Statistic, first: int, last: int) -> metrics.Statistic:
    return lambda weight: statistic(weight[first:last])
