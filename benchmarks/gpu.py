"""The head, the step, the feed and resuming on one GPU: one JSON row each, with card, clocks and versions.

    python benchmarks/gpu.py [--rows head step feed augment resume] [--classes 1000000 10000000] [--batch 128 1024 4096] [--out gpu.jsonl]
    python benchmarks/gpu.py --smoke          tiny, on any device: what the tests run

`head` times forward, backward and the momentum update of all centres, in multiples of three bare bfloat16 products of the same sizes in the
same process. Ways: the kernels with all exponentials kept ("kept") and with none ("recomputed"); cuBLAS's logits and one pass over them
("logits"); float32 and TF32 products; F.linear_cross_entropy and a plain head, each with SGD, on normalised weights. `step` is whole
training steps of images that lie on the device: eager, compiled, recorded. `feed` reads files in worker processes, and leaves AdaFace's
augmentation to them or to the device; `augment` is the time it takes there, and how many levels the pixels are off OpenCV's. `resume` says
whether a resumed run is one that was not interrupted, to the bit. A row that fails says why.
"""

import argparse
import dataclasses
import importlib.metadata
import itertools
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from limen import MarginHead
from limen.align import SIZE as SIDE
from limen.data import Batch, open_source
from limen.data.augmentation.changes import draw_adaface
from limen.data.augmentation.on_cpu import apply
from limen.data.augmentation.on_device import augment_batch, batch_changes
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.functional.margin_softmax import kernels
from limen.heads import CenterSGD
from limen.margins import CosFace
from limen.models.bundle import load_bundle
from limen.training import Recipe, read_log, train
from limen.training.distributed import Processes
from limen.training.recipe import Backbone, Data, Head, Margin, Optimiser
from limen.training.run import Run
from limen.training.step import Step

ROWS = ["head", "step", "feed", "augment", "resume"]
SIZE, WARM_UP, ROUNDS = 512, 10, 20


def seconds(work, device, warm_up, rounds):
    """The median time of `work`, by the device's own clock where it has one."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(rounds):
        if device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in "ab")
            begin.record()
            work()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) / 1e3)
        else:
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def products(batch, classes, device):
    """Three bare products in bfloat16: logits, gradient of the features, gradient of the centres."""
    z, w = torch.randn(batch, SIZE, device=device).bfloat16(), torch.randn(classes, SIZE, device=device).bfloat16()

    def work():
        logits = z @ w.T
        return logits @ w, logits.T @ z

    return work


def ours(batch, classes, device, **options):
    head = MarginHead(classes, SIZE, CosFace(), **options).to(device)
    sgd, features = CenterSGD(head.centers), torch.randn(batch, SIZE, device=device).requires_grad_()
    labels, lr = torch.randint(classes, (batch,), device=device), torch.full((), 0.1, device=device)
    return lambda: head(features, labels, update=sgd.at(lr)).loss.backward()


def with_logits(batch, classes, device, **options):
    """Design A: cuBLAS's float32 logits, one pass of a kernel over them."""
    module = kernels.choose(device, "bf16", SIZE)
    work, in_kernel = ours(batch, classes, device, **options), getattr(module, "IN_KERNEL", None)

    def step():
        try:
            module.IN_KERNEL = {}
            work()
        finally:
            module.IN_KERNEL = in_kernel

    return step


def trained(loss_of, batch, classes, device):
    """A head as it is usually trained: a gradient of all centres, then SGD."""
    features = torch.randn(batch, SIZE, device=device).requires_grad_()
    weight = torch.randn(classes, SIZE, device=device).requires_grad_()
    labels = torch.randint(classes, (batch,), device=device)
    optimiser = torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)

    def step():
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            loss = loss_of(F.normalize(features), F.normalize(weight), labels)
        loss.backward()
        optimiser.step()

    return step


def plain(features, weight, labels):
    cosine = (features @ weight.T).float().clamp(-1 + 1e-7, 1 - 1e-7)
    return F.cross_entropy(64 * (cosine - 0.35 * F.one_hot(labels, len(weight))), labels)


def linear(features, weight, labels):
    return F.linear_cross_entropy((64 * features).bfloat16(), weight.bfloat16(), labels)


def head_rows(options, device):
    low = torch.bfloat16
    ways = {
        "kept": lambda *a: ours(*a, precision="bf16", implementation="dense"),
        "recomputed": lambda *a: ours(*a, precision="bf16", implementation="chunked"),
        "kept, bf16 centres": lambda *a: ours(*a, precision="bf16", implementation="dense", dtype=low),
        "recomputed, bf16 centres": lambda *a: ours(*a, precision="bf16", implementation="chunked", dtype=low),
        "logits": lambda *a: with_logits(*a, precision="bf16", implementation="dense"),
        "float32": lambda *a: ours(*a),
        "tf32": lambda *a: ours(*a, precision="tf32"),
        "linear_cross_entropy": lambda *a: trained(linear, *a),
        "plain": lambda *a: trained(plain, *a),
    }
    for batch in options.batch:
        for classes in options.classes:
            sizes = dict(rows="head", batch=batch, classes=classes, size=SIZE)
            bare = None
            for way, make in {"products": products, **ways}.items():

                def measure(make=make, batch=batch, classes=classes):
                    before = torch.cuda.memory_allocated() if device.type == "cuda" else 0
                    work = make(batch, classes, device)
                    took = seconds(work, device, options.warm_up, options.rounds)
                    peak = torch.cuda.max_memory_allocated() - before if device.type == "cuda" else None
                    return dict(milliseconds=1e3 * took, peak_bytes=peak)

                row = sizes | dict(way=way) | attempted(measure)
                bare = row.get("milliseconds") if way == "products" else bare
                if bare and "milliseconds" in row:
                    row["ratio"] = row["milliseconds"] / bare
                yield row


def recipe(options, out, **changes):
    settings = dict(margin=Margin("CosFace"), precision="bf16", backbone=Backbone(options.networks[0]), head=Head(precision="bf16"))
    settings |= dict(optimiser=Optimiser(lr=0.01), device=options.device, batch_size=options.images)
    return Recipe(out=str(out), **(settings | changes))


def step_rows(options, device):
    """Whole steps of a batch that lies on the device, of 100,000 people: nothing is read."""
    for network in options.networks:
        for way, change in {"eager": {}, "compiled": {"compile": True}, "recorded": {"graph": "step"}}.items():

            def measure(network=network, change=change):
                people = Data("synthetic", options={"identities": options.people, "images_per_identity": 2}, workers=0)
                backbone, graph = Backbone(network, compile=change.get("compile", False)), change.get("graph", "none")
                with tempfile.TemporaryDirectory() as out:
                    step = Step(Run(recipe(options, out, data=people, backbone=backbone, graph=graph), Processes()))
                images = torch.randint(256, (options.images, 112, 112, 3), dtype=torch.uint8, device=device)
                labels = torch.randint(options.people, (options.images,), device=device)
                batch = Batch(images, labels, torch.arange(options.images), [])
                return dict(images_per_second=options.images / seconds(lambda: step(batch), device, options.warm_up, options.rounds))

            if way == "eager" or not options.smoke:
                yield dict(rows="step", network=network, way=way, batch=options.images) | attempted(measure)


def from_files(options, folder, out, share=1.0, resume=None, augment_on="workers", **changes):
    """A run of `options.steps` steps, or a share of them, from the images of a folder."""
    steps = len(open_source("folder", str(folder))) // options.images
    data = Data(path=str(folder), workers=options.workers, augment="adaface", augment_on=augment_on)
    chosen = recipe(options, out, data=data, epochs=share * min(options.steps, steps) / steps, checkpoint_every=options.steps // 4)
    return train(dataclasses.replace(chosen, log_every=options.steps // 2, **changes), resume, quiet=True)


def feed_rows(options, folder):
    """Images a second from files, with AdaFace's augmentation by the workers or on the device: of the last half of a run."""
    for network, augment_on in itertools.product(options.networks, ("workers", "device")):

        def measure(network=network, augment_on=augment_on):
            with tempfile.TemporaryDirectory() as out:
                path = from_files(options, folder, Path(out) / "run", augment_on=augment_on, backbone=Backbone(network))
                speeds = [row["images_per_second"] for row in read_log(path.parent / "log.jsonl") if "images_per_second" in row]
            return dict(images_per_second=speeds[-1])

        yield dict(rows="feed", network=network, augment_on=augment_on, batch=options.images, workers=options.workers) | attempted(measure)


def augment_rows(options, device):
    """AdaFace's augmentation of a batch that lies on the device, from changes that do: its own time, with OpenCV's pixels or not."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(options.images, SIDE, SIDE, 3), dtype=np.uint8)
    drawn = [draw_adaface(SIDE, SIDE, rng) for _ in images]
    wanted = np.stack([apply(image, changes) for image, changes in zip(images, drawn, strict=True)])

    def measure():
        packed = batch_changes(drawn)
        packed = packed._replace(numbers=packed.numbers.to(device), places=packed.places.to(device))
        batch = torch.from_numpy(images).to(device)
        off = np.abs(augment_batch(batch, packed).cpu().numpy().astype(int) - wanted).max()
        took = seconds(lambda: augment_batch(batch, packed), device, options.warm_up, options.rounds)
        return dict(milliseconds=1e3 * took, levels_off=int(off))

    yield dict(rows="augment", batch=options.images) | attempted(measure)


def resume_rows(options, folder):
    """Whether a run that was resumed has the weights of one that was not interrupted."""

    def measure():
        with tempfile.TemporaryDirectory() as out:
            whole, cut = Path(out) / "whole", Path(out) / "cut"
            wanted = load_bundle(from_files(options, folder, whole)).tensors
            from_files(options, folder, cut, share=0.5)
            found = load_bundle(from_files(options, folder, cut, resume="auto")).tensors
        return dict(bit_equal=all(torch.equal(wanted[name], found[name]) for name in wanted))

    yield dict(rows="resume", network=options.networks[0]) | attempted(measure)


def attempted(measure):
    try:
        return measure()
    except Exception as error:  # one way that fails leaves the others to be measured
        return dict(failed=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300])


def machine(device):
    """Card, clocks, power limit and versions, as they stand."""
    versions = {name: version(name) for name in ("limen", "torch", "triton")} | dict(cuda=torch.version.cuda)
    if device.type != "cuda":
        return dict(card=device.type, **versions)
    asked = "clocks.sm,clocks.mem,clocks.max.sm,power.limit,driver_version"
    said = subprocess.run(["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader"], capture_output=True, text=True).stdout
    return dict(
        card=torch.cuda.get_device_name(device),
        clocks=dict(zip(asked.split(","), said.split("\n")[0].split(", "), strict=False)),
        **versions,
    )


def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=ROWS, choices=ROWS)
    parser.add_argument("--batch", nargs="+", type=int, default=[128, 1024, 4096])
    parser.add_argument("--classes", nargs="+", type=int, default=[1_000_000, 10_000_000])
    parser.add_argument("--networks", nargs="+", default=["iresnet50", "iresnet100"])
    parser.add_argument("--images", type=int, default=256, help="of a batch of a whole step")
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--folder", help="people's faces for feed and resume; synthetic ones where it is not given")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on a CPU")
    parser.add_argument("--out", type=Path, help="append the rows to this file, too")
    options = parser.parse_args(arguments)
    options.warm_up, options.rounds, options.steps, options.people = WARM_UP, ROUNDS, 40, 100_000
    if options.smoke:
        options.batch, options.classes, options.networks, options.images = [4], [300], ["tiny"], 8
        options.warm_up, options.rounds, options.steps, options.people, options.workers, options.device = 0, 1, 4, 10, 0, "cpu"
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device; --smoke runs the rows on a CPU")
    about = machine(device)
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder
        if folder is None and {"feed", "resume"} & set(options.rows):
            people = 4 if options.smoke else 64
            folder = save_folder(SyntheticFaces(people, max(options.images * options.steps // people, 2)), Path(made) / "faces")
        makers = [head_rows(options, device)] if "head" in options.rows else []
        makers += [step_rows(options, device)] if "step" in options.rows else []
        makers += [feed_rows(options, folder)] if "feed" in options.rows else []
        makers += [augment_rows(options, device)] if "augment" in options.rows else []
        makers += [resume_rows(options, folder)] if "resume" in options.rows else []
        for maker in makers:
            for row in maker:
                line = json.dumps(row | about)
                print(line, flush=True)
                if options.out is not None:
                    with options.out.open("a") as file:
                        file.write(line + "\n")


if __name__ == "__main__":
    main()
