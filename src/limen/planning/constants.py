"""What a plan measures: a backbone's footprint, and the seconds that a step of head and backbone takes on the machine at hand."""

import dataclasses
import math
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limen.backbones import create_backbone
from limen.errors import LimenError
from limen.files import read_json, write_json
from limen.functional import margin_softmax
from limen.heads import CenterSGD, ClassCenters
from limen.heads.samplers import ClassSampler
from limen.planning.plan import Footprint, Setup
from limen.training.recipe import Recipe
from limen.training.threads_and_signals import own_settings

CLASSES, SAMPLES = 65536, 1 << 24  # of the head that is timed: so many active classes, or fewer where the batch is large
CHOSEN_FROM = 1 << 20  # classes a sampler is timed on
IMAGES = {"cpu": 2}  # of the timed batch
IMAGES_ELSEWHERE = 32
ROUNDS = 3
LARGEST_FILE = 100_000  # bytes


@dataclass(frozen=True)
class Constants:
    """Seconds of one machine, and what they were measured with; other numbers of classes, samples and images are in proportion."""

    machine: str
    device_type: str
    embedding_size: int
    center_bytes: int
    momentum: bool
    sampler: str | None
    backbone: str
    precision: str
    seconds_kept: float  # of a class and a sample whose logit is kept for the backward pass
    seconds_recomputed: float  # and where it is computed twice
    seconds_choosing: float  # of a class among which a sampler chooses
    seconds_image: float  # of an image forward and backward through the backbone

    def save(self, path: str | Path) -> None:
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> "Constants":
        """Raises LimenError for a file that `save` did not write."""
        remedy = f"`limen plan --save-constants {path}` writes one"
        try:
            values = read_json(path, LARGEST_FILE)
        except LimenError as error:
            raise LimenError(f"{error}; {remedy}") from error
        kinds = {item.name: item.type for item in dataclasses.fields(cls)}
        if not isinstance(values, dict) or values.keys() != kinds.keys():
            raise LimenError(f"{path}: not a file of constants; {remedy}")
        for name, kind in kinds.items():
            value = values[name]
            whole_or_not = isinstance(value, int | float) and not isinstance(value, bool)
            fits = whole_or_not and 0 <= value < math.inf if kind is float else isinstance(value, kind)  # type: ignore[arg-type]
            if not fits:
                raise LimenError(f"{path}: {name} is {str(value)[:40]!r}, not as it was written; {remedy}")
        return cls(**values)

    def check(self, path: str | Path, setup: Setup, recipe: Recipe) -> None:
        """Raises LimenError where they were measured with other settings, of which the seconds are no multiple."""
        for name, wanted in _settings(setup, recipe).items():
            if getattr(self, name) != wanted:
                raise LimenError(
                    f"{path}: measured with {name} {getattr(self, name)}, not {wanted}; measure on that machine with these settings"
                )

    def step(self, setup: Setup) -> dict[str, float]:
        """Seconds of a step of the head and of the backbone, without what travels between ranks."""
        logits = setup.kept * self.seconds_kept + (setup.active - setup.kept) * self.seconds_recomputed
        head = setup.batch * logits + setup.held * self.seconds_choosing
        passes = 1 if setup.accumulate == 1 else 4 / 3  # the forward pass, a third of them, is made twice
        return {"head": head, "backbone": setup.images * self.seconds_image * passes}


def _settings(setup: Setup, recipe: Recipe) -> dict[str, Any]:
    return {
        "embedding_size": setup.size,
        "center_bytes": setup.center_bytes,
        "momentum": setup.momentum,
        "sampler": None if setup.sampler is None else type(setup.sampler).__name__,
        "backbone": recipe.backbone.name,
        "precision": recipe.precision if recipe.head.precision == "float32" else f"{recipe.precision}, head {recipe.head.precision}",
    }


def measure_constants(setup: Setup, recipe: Recipe, device: torch.device) -> Constants:
    """The seconds of this machine: medians of a few steps each."""
    with own_settings(recipe):
        kept, recomputed = (_time_head(setup, recipe, device, implementation) for implementation in ("dense", "chunked"))
        return Constants(
            machine=_name(device),
            device_type=device.type,
            **_settings(setup, recipe),
            seconds_kept=kept,
            seconds_recomputed=recomputed,
            seconds_choosing=0.0 if setup.sampler is None else _time_choice(setup.sampler, setup.batch, device),
            seconds_image=_time_backbone(recipe, setup.images, device),
        )


def _time_head(setup: Setup, recipe: Recipe, device: torch.device, implementation: str) -> float:
    classes = min(CLASSES, max(4096, SAMPLES // setup.batch))
    total = classes if setup.sampler is None else 2 * classes
    centers = ClassCenters(total, setup.size, dtype={2: torch.bfloat16, 4: torch.float32}[setup.center_bytes]).to(device)
    active = None if setup.sampler is None else torch.randperm(total, device=device)[:classes].sort().values
    features = torch.randn(setup.batch, setup.size, device=device).requires_grad_()
    labels = torch.randint(classes, (setup.batch,), device=device)
    update = CenterSGD(centers, recipe.optimiser.momentum, recipe.optimiser.weight_decay).at(0.1)

    def step() -> None:
        rows = labels if active is None else active[labels]
        found = margin_softmax(
            features,
            centers.weight,
            rows,
            recipe.head.scale,
            None,
            implementation,
            active=active,
            update=update,
            precision=recipe.head.precision,
        )
        (torch.logaddexp(found.negative_logsumexp, found.target_cosine) - found.target_cosine).mean().backward()

    return _median(step, device) / (classes * setup.batch)


def _time_choice(sampler: ClassSampler, batch: int, device: torch.device) -> float:
    """Of a step between two of Hard Prototype Mining's graphs."""
    centers = ClassCenters(CHOSEN_FROM, 1).to(device)
    sampler = sampler.to(device)
    sampler.prepare(centers)
    sampler.step.fill_(1)
    labels = torch.randint(CHOSEN_FROM, (batch,), device=device)
    return _median(lambda: sampler.select(labels, centers), device) / CHOSEN_FROM


def _time_backbone(recipe: Recipe, images: int, device: torch.device) -> float:
    network = _backbone(recipe, device)
    count = min(images, IMAGES.get(device.type, IMAGES_ELSEWHERE))

    def step() -> None:
        _features(network, count, recipe.precision, device).float().square().mean().backward()

    return _median(step, device) / count


def measure_footprint(recipe: Recipe, device: torch.device) -> Footprint:
    """What the backbone of a recipe takes, counted exactly on batches of two and three images."""
    with own_settings(recipe):
        network = _backbone(recipe, device)
        trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
        tensors = [*network.parameters(), *network.buffers()]
        two, three = (_saved(network, tensors, images, recipe.precision, device) for images in (2, 3))
    per_image = sum(three) - sum(two)
    return Footprint(
        weights=sum(map(_bytes, trainable)),
        buffers=sum(map(_bytes, tensors)) - sum(map(_bytes, trainable)),
        saved_per_image=per_image,
        saved_besides=sum(two) - 2 * per_image,
        largest_per_image=max(more - less for less, more in zip(two, three, strict=True)),
    )


def _saved(network: nn.Module, tensors: list[Tensor], images: int, precision: str, device: torch.device) -> list[int]:
    """Bytes of each memory that a forward pass keeps for its backward pass, beyond the network's own."""
    own = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = _features(network, images, precision, device)
    sizes = [storage.nbytes() for storage in kept.values()]
    del features
    return sizes


def _backbone(recipe: Recipe, device: torch.device) -> nn.Module:
    network = create_backbone(recipe.backbone.name, recipe.backbone.embedding_size, **recipe.backbone.options)
    return network.train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _features(network: nn.Module, images: int, precision: str, device: torch.device) -> Tensor:
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        return network(torch.rand(images, 3, 112, 112, device=device) * 2 - 1)


def _median(step: Callable[[], Any], device: torch.device) -> float:
    """Seconds of a step, the first left out."""
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{model}, {torch.get_num_threads()} threads"
