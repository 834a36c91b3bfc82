"""Images a second of each way to compute a bundle's network, at 112x112, beside ONNX Runtime in the same run; and the import of a published
iresnet100. Appends rows to benchmarks/results/inference.csv, inference_batch.csv and import.csv.

    python benchmarks/inference.py                            iresnet50, two threads, batches of 1 and 32
    python benchmarks/inference.py --architecture mobilefacenet --rounds 9
    python benchmarks/inference.py --only batch --threads 1   batches of 4 to 64 beside 64, in CPU seconds
    python benchmarks/inference.py --only import

The weights are drawn: speed does not depend on them. `embed` is timed, preprocessing and all, without the mirror image. The ways take turns
in every round, so that a slow moment of the machine strikes all.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import append_row, peak_memory_mib

from limen import import_release
from limen.backbones import create_backbone
from limen.models.bundle import Architecture, Bundle
from limen.models.embedder import Embedder
from limen.models.export import export_model
from limen.models.model import open_model
from limen.models.releases import insightface

BASELINE = "onnxruntime"
FACES = 125  # noise: for the ranges of the eight bits, of which only the speed is measured here


def network(name: str) -> Embedder:
    """Drawn weights, and batch norms whose statistics are those of noise."""
    torch.manual_seed(0)
    backbone = Architecture(name, 512).build()
    with torch.no_grad():
        backbone(torch.randn(8, 3, 112, 112))
    return Embedder(Bundle(Architecture(name, 512), {f"backbone.{key}": tensor for key, tensor in backbone.state_dict().items()}))


def ways(embedder: Embedder, folder: Path, threads: int, eight_bits: bool = True) -> dict:
    """What is timed, by name."""
    embedder.save(folder / "model.safetensors")
    start = time.perf_counter()
    export_model(embedder, folder / "f32.onnx")
    print(f"export to ONNX with its proof: {time.perf_counter() - start:.1f} s", flush=True)
    found = {
        "torch": open_model(folder / "model.safetensors", threads=threads),
        "onnxruntime": open_model(folder / "f32.onnx", threads=threads),
        "openvino": open_model(folder / "f32.onnx", threads=threads, backend="openvino"),
    }
    if eight_bits:
        noise = np.random.default_rng(0).integers(0, 256, (FACES, 112, 112, 3), np.uint8)
        export_model(embedder, folder / "int8.onnx", precision="int8", images=noise, tolerance=10)
        found["onnxruntime int8"] = open_model(folder / "int8.onnx", threads=threads)
        found["openvino int8"] = open_model(folder / "int8.onnx", threads=threads, backend="openvino")
    bf16 = open_model(folder / "f32.onnx", threads=threads, backend="openvino", precision="bf16")
    return found | ({"openvino bf16": bf16} if bf16.description.get("precision") == "bf16" else {})  # where the CPU has it


def measure(architecture: str, found: dict, batch: int, rounds: int, threads: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (batch, 112, 112, 3), np.uint8)
    seconds: dict[str, list[float]] = {way: [] for way in found}
    repeat = max(1, 8 // batch)
    for turn in range(rounds + 1):  # the first warms up
        for way, model in found.items():
            start = time.perf_counter()
            for _ in range(repeat):
                model.embed(images, flip=False, batch_size=batch)
            if turn:
                seconds[way].append((time.perf_counter() - start) / repeat / batch)
    for way, times in seconds.items():
        ratios = sorted(base / one for base, one in zip(seconds[BASELINE], times, strict=True))
        row = {"architecture": architecture, "batch": batch, "threads": threads, "way": way, "rounds": rounds}
        row |= {"ms_per_image": round(1000 * statistics.median(times), 2), "ratio": round(statistics.median(ratios), 3)}
        print(f"{architecture}, batch {batch}, {way}: {row['ms_per_image']} ms an image, {row['ratio']} x {BASELINE}", flush=True)
        append_row("inference", row | {"ratio_low": round(ratios[0], 3), "ratio_high": round(ratios[-1], 3)})


def measure_batches(architecture: str, found: dict, sizes: list[int], rounds: int, threads: int) -> None:
    """Sizes of a batch beside the largest, of each way. CPU seconds: with one thread, a neighbour does not change them much."""
    images = np.random.default_rng(1).integers(0, 256, (max(sizes), 112, 112, 3), np.uint8)
    for way in ("torch", "onnxruntime", "openvino"):
        seconds: dict[int, list[float]] = {size: [] for size in sizes}
        for turn in range(rounds + 1):  # the first warms up
            for size in sizes:
                start = time.process_time()
                found[way].embed(images if turn else images[: 2 * size], flip=False, batch_size=size)
                if turn:
                    seconds[size].append((time.process_time() - start) / len(images))
        for size, times in seconds.items():
            ratios = sorted(base / one for base, one in zip(seconds[max(sizes)], times, strict=True))
            row = {"architecture": architecture, "way": way, "threads": threads, "batch": size, "rounds": rounds}
            row |= {"cpu_ms_per_image": round(1000 * statistics.median(times), 2), "ratio": round(statistics.median(ratios), 3)}
            print(f"{architecture}, {way}, batch {size}: {row['cpu_ms_per_image']} ms, {row['ratio']} x batch {max(sizes)}", flush=True)
            append_row("inference_batch", row | {"ratio_low": round(ratios[0], 3), "ratio_high": round(ratios[-1], 3)})


def published_names(name: str) -> dict[str, torch.Tensor]:
    """A network of drawn weights under insightface's names."""
    top, block = ({own: published for published, own in table.items()} for table in (insightface.TOP, insightface.BLOCK))
    places = [f"layer{stage + 1}.{place}" for stage, depth in enumerate(insightface.DEPTHS[name]) for place in range(depth)]
    found = {}
    for key, tensor in create_backbone(name).state_dict().items():
        first, second, third, *rest = [*key.split("."), ""]
        if first == "blocks":
            layer = f"{third}.{rest[0]}"
            part, tail = (block[layer], rest[1:-1]) if layer in block else (block[third], rest[:-1])
            found[".".join([places[int(second)], part, *tail])] = tensor
        else:
            found[f"{top[f'{first}.{second}']}.{third}"] = tensor
    return found


def measure_import(folder: Path) -> None:
    path = folder / "backbone.pth"
    torch.save(published_names("iresnet18"), path)
    import_release(path, "insightface").save(folder / "r18.safetensors")  # the libraries come into memory
    torch.save(published_names("iresnet100"), path)
    size, seconds = path.stat().st_size / 2**20, []

    def imported() -> None:
        start = time.perf_counter()
        import_release(path, "insightface").save(folder / "r100.safetensors")
        seconds.append(time.perf_counter() - start)

    peak = peak_memory_mib(imported)
    print(
        f"import of an iresnet100 of {size:.0f} MiB: {seconds[0]:.1f} s, {peak:.0f} MiB at its peak, {peak / size:.2f} x its size",
        flush=True,
    )
    append_row(
        "import", {"size_mib": round(size), "seconds": round(seconds[0], 1), "peak_mib": round(peak), "ratio": round(peak / size, 2)}
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="iresnet50")
    parser.add_argument("--batches", type=int, nargs="+", help="(1 32; of --only batch 4 8 16 32 64)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["speed", "batch", "import"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.only in (None, "import"):
            measure_import(Path(folder))
        if options.only == "batch":
            found = ways(network(options.architecture), Path(folder), options.threads, eight_bits=False)
            measure_batches(options.architecture, found, options.batches or [4, 8, 16, 32, 64], options.rounds, options.threads)
        if options.only in (None, "speed"):
            found = ways(network(options.architecture), Path(folder), options.threads)
            for batch in options.batches or [1, 32]:
                measure(options.architecture, found, batch, options.rounds, options.threads)


if __name__ == "__main__":
    main()
