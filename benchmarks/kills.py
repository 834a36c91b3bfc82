"""Is a run that was killed again and again the run that was left alone? Weights, log and evaluations are compared to the bit.

    python benchmarks/kills.py --out runs/kills [--kills 20] [--seed 0]

A small recipe on generated faces with all that has a state of its own: random margins, augmentation, adaptive sampling, a quality head, a
moving average, a reading process, and evaluations at other steps than checkpoints. `limen train` is sent SIGKILL at random moments spread
over the run, its beginnings, checkpoints, evaluations and its end included, and started again by --resume auto. One row in
benchmarks/results/kills.csv; ends with status 1 where something differs.
"""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from machine import append_row

from limen.data import FolderSource, SyntheticFaces
from limen.data.pairs import save_pairs
from limen.data.synthetic import save_folder
from limen.models.bundle import load_bundle
from limen.training import read_log
from limen.training.checkpoint.folder import checkpoints
from limen.training.checkpoint.load import read_tensors

STEPS = 120
LONGEST = 0.1  # of the time of the run left alone: from the step aimed at to the kill, or from the start where that is step 0
TIMES = {"images_per_second", "seconds_left"}
SETTINGS = {
    "batch_size": 16,
    "epochs": STEPS / 12,  # of 192 images
    "device": "cpu",
    "threads": 1,
    "log_every": 1,
    "checkpoint_every": 7,
    "data.workers": 1,
    "data.augment": "adaface",
    "data.sampling.name": "adaptive",
    "data.sampling.options.period": 10,
    "data.sampling.options.start_accuracy": 0.0,
    "backbone.name": "tiny",
    "backbone.embedding_size": 16,
    "margin.name": "ElasticArcFace",
    "quality.weight": 1.0,
    "optimiser.lr": 0.05,
    "optimiser.ema": 0.9,
    "optimiser.schedule": "cosine",
    "evaluation.every": 5,
}


def command(faces, pairs, out):
    words = SETTINGS | {"data.path": faces, "evaluation.pairs": f"[{pairs}]", "evaluation.images": faces, "out": out}
    return [sys.executable, "-m", "limen", "train", "--resume", "auto", *(f"--{name}={value}" for name, value in words.items())]


def logged(folder):
    rows = [row["step"] for row in read_log(folder / "log.jsonl")]
    return rows[-1] if rows else 0


def killed_at(words, out, step, wait):
    """Starts the run and kills it `wait` seconds after it has logged `step`; False where it had ended before."""
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while step and process.poll() is None and logged(out) < step:
        time.sleep(0.005)
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def rows_without_times(folder):
    return [{name: value for name, value in row.items() if name not in TIMES} for row in read_log(folder / "log.jsonl")]


def tensors(folder):
    """Everything the newest checkpoint holds: weights, averages, momenta and what sampling has learnt."""
    return checkpoints(folder)[-1].name, read_tensors(checkpoints(folder)[-1], "")


def differences(whole, killed):
    """What is not equal to the bit."""
    weights = [load_bundle(folder / "model.safetensors").weights_sha256 for folder in (whole, killed)]
    (name, state), (other_name, other) = tensors(whole), tensors(killed)
    same_state = name == other_name and state.keys() == other.keys() and all(torch.equal(state[key], other[key]) for key in state)
    # of the files: the bundle tells how long it took, checkpoints where it lies; what they hold beside is compared above
    files = [{path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".json", ".csv")} for folder in (whole, killed)]
    found = {
        "weights": weights[0] == weights[1],
        "checkpoint": same_state,
        "log rows": rows_without_times(whole) == rows_without_times(killed),
        "evaluations and tables": files[0] == files[1],
        "remains": not [path for path in killed.iterdir() if path.name.startswith(".") and path.name != ".lock"],
    }
    return [name for name, equal in found.items() if not equal]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="a new folder")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    out = Path(options.out)
    faces, pairs = save_folder(SyntheticFaces(24, 8, difficulty=0.5), out / "faces"), out / "pairs.txt"
    save_pairs(pairs, FolderSource(faces), 100, seed=1)
    whole, killed = out / "whole", out / "killed"
    start = time.perf_counter()
    subprocess.run(command(faces, pairs, whole), check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    longest = LONGEST * (time.perf_counter() - start)
    print(f"left alone: {time.perf_counter() - start:.0f} s", flush=True)

    rng, words, moments = np.random.default_rng(options.seed), command(faces, pairs, killed), []
    for step in np.sort(rng.integers(0, STEPS + 1, options.kills)).tolist():
        wait = rng.random() * longest
        # one that ended before its kill goes on, with nothing to do, and is killed while it begins or ends
        while not killed_at(words, killed, step, wait):
            step, wait = 0, rng.random() * longest
        saved = checkpoints(killed)
        moments.append({"step": logged(killed), "lost": logged(killed) - (int(saved[-1].name.split("-")[1]) if saved else 0)})
        print(f"kill {len(moments):2d} at step {moments[-1]['step']:3d}, {moments[-1]['lost']} steps lost", flush=True)
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    found = differences(whole, killed)
    row = {
        "seed": options.seed,
        "kills": len(moments),
        "steps": STEPS,
        "steps_lost": sum(moment["lost"] for moment in moments),
        "first_kill_at": moments[0]["step"],
        "last_kill_at": moments[-1]["step"],
        "log_rows": len(rows_without_times(killed)),
        "evaluations": sum("evaluation" in row for row in rows_without_times(killed)),
        "different": " ".join(found) or "nothing",
    }
    append_row("kills", row)
    print(*(f"{name} {value}" for name, value in row.items()), sep="  ")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
