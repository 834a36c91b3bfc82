"""The words of every command that embeds images: how a model is opened and how images are read. None changes what is measured."""

import argparse
from typing import Any

from limen.models.model import BACKENDS


def add_inference_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the network (all)")
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"], help="of the network (float32)")
    parser.add_argument("--backend", choices=BACKENDS, help="who computes the network (torch, of a bundle); see limen export")
    parser.add_argument("--batch-size", type=int, metavar="N", help="images that the network takes at a time (64)")
    parser.add_argument("--workers", type=int, metavar="N", help="threads that read images ahead (one for each core, four at most)")
    parser.add_argument("--cache", metavar="DIR", help="keep embeddings there, and embed no image again that is known there")


def model_options(options: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `open_model` and `create_measure`."""
    return {"device": options.device, "threads": options.threads, "precision": options.precision, "backend": options.backend}


def inference_options(options: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `embed_images`, `score_images` and whatever passes them on."""
    return {"batch_size": options.batch_size, "workers": options.workers, "cache": options.cache}
