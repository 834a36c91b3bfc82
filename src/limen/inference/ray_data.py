"""Embedding in shards on a Ray cluster: the files are those of `limen embed --shard`, and Ray chooses who makes which."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limen.errors import LimenError
from limen.inference.measures import create_measure
from limen.inference.shards import embed_shards, settings_of, shards_of
from limen.models.model import open_model


class ShardEmbedder:
    """What an actor of Ray Data's `map_batches` runs: opens the model once, then embeds the shards {"shard": [numbers]} given to it."""

    def __init__(self, model: str, path: str, out: str, resize: bool = False, **options: Any):
        self.embedder, self.path, self.out = open_model(model, **options), Path(path), Path(out)
        self.shards = shards_of(self.path, self.embedder.preprocessing.size, "resize" if resize else "refuse")
        spec = "quality" if self.embedder.has_quality else None
        self.measure = create_measure(spec, embedder=self.embedder, **options) if spec else None
        self.made_by = settings_of(self.embedder, spec, self.measure, flip=True, resize=resize)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[int]]:
        jobs = [(int(number), len(self.shards)) for number in batch["shard"]]
        about: dict[str, Any] = {"root": f"{self.path}/", "made_by": self.made_by}
        done = [embed_shards(self.embedder, self.shards, self.out, job, self.measure, **about) for job in jobs]
        return {"images": [report["images"] for report in done], "failures": [len(report["failures"]) for report in done]}


def embed_on_ray(model: str, path: str, out: str, workers: int, resize: bool = False, device: str = "cpu", **options: Any) -> int:
    """Embeds all images below `path` into Parquet files in the folder `out`, by `workers` actors; returns how many were embedded now.

    All three paths are those that every machine of the cluster sees. What is there already is left alone, as by `limen embed --shard`.

    Args:
        device: "cuda" gives each actor a GPU.
        options: further ones of `open_model`.

    Raises LimenError where Ray is not installed, or as `embed_shards` and `open_model` do.
    """
    try:
        import ray.data
    except ImportError as error:
        raise LimenError(f"this needs Ray Data ({error}); pip install 'limen[ray]'") from error
    count = len(shards_of(Path(path), open_model(model).preprocessing.size, "resize" if resize else "refuse"))
    given = {"model": str(model), "path": str(path), "out": str(out), "resize": resize, "device": device, **options}
    rows = ray.data.from_items([{"shard": number} for number in range(count)], override_num_blocks=count)
    embedded = rows.map_batches(
        ShardEmbedder,
        fn_constructor_kwargs=given,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers, count)),
        num_gpus=1 if device == "cuda" else None,
    )
    return int(sum(row["images"] for row in embedded.take_all()))
