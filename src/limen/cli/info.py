"""What a model file holds, or with --system what limen runs on: the answer to attach to a report of a fault.

limen info model.safetensors
limen info model.safetensors --json
limen info model.onnx
limen info --system
"""

import argparse
import os
import platform
import re
from importlib import metadata
from typing import Any

import yaml

import limen
from limen.models.bundle_file import facts_of_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("model", metavar="MODEL", nargs="?", help="a bundle that limen wrote, or an ONNX file")
    either.add_argument("--system", action="store_true", help="versions of limen and its packages, threads, devices, extras")


def run(options: argparse.Namespace) -> dict[str, Any]:
    if options.system:
        return system_facts()
    facts = facts_of_file(options.model)
    if facts is None:  # an ONNX file, an address on the Hub, an older bundle, or a file with a fault to be named
        from limen.models.model import open_model  # here, for PyTorch takes seconds to import

        facts = open_model(options.model).facts
    return {"file": options.model, **facts}


def text(result: dict[str, Any]) -> str:
    plain = dict(result)
    if "preprocessing" in plain:
        plain["preprocessing"] = {name: list(v) if isinstance(v, tuple) else v for name, v in result["preprocessing"].items()}
    return yaml.safe_dump(plain, sort_keys=False).rstrip()


def system_facts() -> dict[str, Any]:
    """Versions, threads and devices of this process, and the extras whose packages are all installed."""
    try:
        stated = metadata.requires("limen") or []
    except metadata.PackageNotFoundError:  # run from a checkout that was not installed
        stated = []
    core = [_name(line) for line in stated if "extra ==" not in line]
    extras: dict[str, list[str]] = {}
    for line in stated:
        if found := re.search(r"extra == ['\"](\w+)['\"]", line):
            extras.setdefault(found[1], []).append(_name(line))
    return {
        "limen": limen.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _version(name) for name in core},
        "processors": os.cpu_count(),
        **_torch_facts(),
        "extras": {extra: {name: _version(name) for name in names if name != "limen"} for extra, names in extras.items()},
    }


def _torch_facts() -> dict[str, Any]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of PyTorch's that the system cannot load
        return {"devices": f"PyTorch cannot be imported ({error})"}
    gpus = [f"cuda:{k} {torch.cuda.get_device_name(k)}" for k in range(torch.cuda.device_count())]
    return {"threads": torch.get_num_threads(), "cuda": torch.version.cuda, "devices": ["cpu", *gpus]}


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
