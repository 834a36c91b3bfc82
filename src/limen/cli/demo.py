"""The whole of limen in a few minutes: generated faces, two margins trained on them, both judged on people they never saw.

  limen demo
  limen demo --out my-demo --minutes 10

Leaves DIR/report.html to look at, DIR/result.json, DIR/model.safetensors (AdaFace's) and the faces themselves. No download, no GPU.
Started again on the same folder it goes on where it was stopped.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from limen.cli.evaluate import text as text  # says the same things
from limen.cli.progress import progress_bar
from limen.data import FaceSource, open_source, pairs_of
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.models.embedder import Embedder
from limen.protocols import Result, Verification
from limen.report import Section, face_grid, figure_overview, figure_training, result_summary, save_png, write_evaluation
from limen.report.hardest import hardest_sections
from limen.training import Recipe, read_log, train
from limen.training.recipe import Backbone, Data, Margin, Optimiser, Quality

TRAIN_PEOPLE, TEST_PEOPLE, IMAGES_EACH, PAIRS = 240, 80, 20, 3000
DIFFICULTY = 0.7
EPOCHS_PER_MINUTE = 3.0  # of both runs together, on two cores
MARGINS = ("AdaFace", "ArcFace")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="limen-demo", metavar="DIR", help="folder for everything it makes (limen-demo)")
    parser.add_argument("--minutes", type=float, default=3.5, help="about how long it may take on two cores: sets the epochs (3.5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the generated people and of the training (0)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    out = Path(options.out)
    faces, unseen = out / "faces", out / "unseen"
    for folder, first, people in ((faces, 0, TRAIN_PEOPLE), (unseen, TRAIN_PEOPLE, TEST_PEOPLE)):
        if not folder.exists():
            print(f"drawing {people * IMAGES_EACH} faces of {people} people in {folder}", file=sys.stderr)
            with progress_bar(f"drawing {folder.name}") as progress:
                save_folder(SyntheticFaces(people, IMAGES_EACH, options.seed, first, DIFFICULTY), folder, progress)

    strangers = open_source("folder", unseen)
    protocol = Verification(pairs_of(strangers, PAIRS, options.seed, name="unseen people"))
    results, logs = list[Result](), {}
    for margin in MARGINS:
        print(f"training with {margin}'s margin on {TRAIN_PEOPLE} generated people", file=sys.stderr)
        bundle = train(_recipe(out, faces, margin, options), resume="auto")
        embedder = Embedder.load(bundle)
        results.append(protocol.run(embedder, margin))
        if margin == MARGINS[0]:
            score = embedder.embed(np.stack([strangers.image(k) for k in range(len(strangers))])).quality
        logs[margin] = read_log(bundle.parent / "log.jsonl")
    shutil.copyfile(out / MARGINS[0].lower() / "model.safetensors", out / "model.safetensors")
    save_png(figure_overview(results), out / "overview.png")
    sections = [
        _people(SyntheticFaces(TRAIN_PEOPLE, IMAGES_EACH, options.seed, 0, DIFFICULTY)),
        Section("Training", figure_training(logs), "Loss of each run; margins make losses differ, so compare accuracies, not losses."),
        *hardest_sections(results[:1], [protocol.pair_set]),
        _quality(strangers, score, SyntheticFaces(TEST_PEOPLE, IMAGES_EACH, options.seed, TRAIN_PEOPLE, DIFFICULTY).truths()["severity"]),
    ]
    title = f"{len(MARGINS)} margins on {TEST_PEOPLE} unseen generated people"
    return write_evaluation(out, title, results, sections) | result_summary(results) | {"bundle": str(out / "model.safetensors")}


def _recipe(out: Path, faces: Path, margin: str, options: argparse.Namespace) -> Recipe:
    return Recipe(
        out=str(out / margin.lower()),
        epochs=max(1.0, round(EPOCHS_PER_MINUTE * options.minutes / len(MARGINS), 1)),
        batch_size=64,
        seed=options.seed,
        log_every=10,
        checkpoint_every=100,
        licence="Apache-2.0",
        data=Data(path=str(faces), augment="flip", workers=1),
        backbone=Backbone("tiny", 128),
        margin=Margin(margin, {"m": 0.3}),
        quality=Quality(weight=10.0 if margin == MARGINS[0] else None, lr=0.002),
        optimiser=Optimiser(lr=0.05, schedule="cosine", warmup_epochs=0.5, clip_norm=5.0),
    )


def _people(source: SyntheticFaces, people: int = 6, images: int = 8) -> Section:
    rows = [np.hstack([source.image(person * IMAGES_EACH + k) for k in range(images)]) for person in range(people)]
    return Section("The people", face_grid(rows, [source.class_names[k] for k in range(people)]), "Some of those trained on, a row each.")


def _quality(unseen: FaceSource, score: np.ndarray | None, severity: np.ndarray, count: int = 32) -> Section:
    """Unseen faces from the worst quality to the best, and how far the score follows what was done to the images."""
    assert score is not None  # the recipe has a quality head
    correlation = spearmanr(score, -severity).statistic
    shown = np.argsort(score)[np.linspace(0, len(score) - 1, count).round().astype(int)]
    text = (
        f"Unseen faces from the worst to the best by CR-FIQA's score, which {MARGINS[0]}'s run learnt beside its margin. Its rank "
        f"correlation with the known lack of degradation of {len(score)} images is {correlation:.2f}."
    )
    return Section("Quality", face_grid([unseen.image(k) for k in shown], [f"{score[k]:.2f}" for k in shown]), text)
