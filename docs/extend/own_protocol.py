"""A protocol of one's own: rank-1 identification against one enrolled image per person, in a file outside the package.

A protocol is anything with `run(embedder) -> Result`. `embed_images` reads each image once, in bounded memory, and names those it cannot
read; `limen.evaluate`, the JSON and the HTML report take the Result like any other.
"""

from pathlib import Path

import numpy as np

import limen
from limen.data import FaceSource, open_source
from limen.protocols import Metric, Recogniser, Result, embed_images
from limen.report import write_report


class RankOne:
    """The first image of each person is enrolled; every other one is a probe and counts if its best match is its own person."""

    def __init__(self, source: FaceSource, name: str = "rank-1"):
        self.source, self.name = source, name

    def run(self, embedder: Recogniser) -> Result:
        embedded = embed_images(embedder, self.source, np.arange(len(self.source)))
        usable = ~np.isnan(embedded.vectors[:, 0])
        vectors, labels = embedded.vectors[usable], self.source.labels[usable]
        people, enrolled = np.unique(labels, return_index=True)
        probes = np.setdiff1d(np.arange(len(labels)), enrolled)
        best = people[(vectors[probes] @ vectors[enrolled].T).argmax(1)]
        return Result(
            name=self.name,
            kind="identification",
            headline="rank_1",
            metrics=[Metric("rank_1", (best == labels[probes]).mean())],
            counts={"people": len(people), "probes": len(probes), "failures_to_acquire": len(embedded.failures)},
            switches=dict(embedder.description),
            failures=list(embedded.failures.values()),
        )


def main(model: Path, faces: Path, out: Path) -> Result:
    """Judges a bundle on a folder of people and writes a report."""
    result = limen.evaluate(limen.Embedder.load(model), RankOne(open_source("folder", faces)))
    result.save(out / "result.json")
    write_report(out / "report.html", "Rank-1 identification", [result])
    return result
