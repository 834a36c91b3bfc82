"""Detectors by name or file: from the command line to a Detector."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from limen.align.faces import Detector
from limen.align.yunet import YuNet
from limen.errors import LimenError
from limen.files import MIB, read_plain_file
from limen.lookup import call, did_you_mean, find

LARGEST = 64 * MIB
SPELLINGS = ("yunet", "FILE.onnx", "FILE.onnx:SHA256", "package.module:Class", "package.module:Class:FILE")
YUNET = {  # SHA-256 -> the name under which it is published
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4": "face_detection_yunet_2023mar.onnx",
    "81dbde155e982455488235acb8ec2dec5d647edf7cf7080d33e4abb69b93a0d2": "yunet_n_320_320.onnx",
    "25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31": "yunet_n_640_640.onnx",
}
FETCH = (
    "fetch face_detection_yunet_2023mar.onnx from https://github.com/opencv/opencv_zoo (models/face_detection_yunet), or "
    "yunet_n_640_640.onnx from https://github.com/ShiqiYu/libfacedetection.train (onnx)"
)


def cache_folder() -> Path:
    """Where "yunet" is looked for: $LIMEN_CACHE/detectors, else limen/detectors in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("LIMEN_CACHE")
    return (Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "limen") / "detectors"


def open_detector(spec: str, **options: Any) -> Detector:
    """The detector that `spec` names, made with `options`.

    yunet                        YuNet, of a file known here that lies in `cache_folder()`
    FILE.onnx                    YuNet, of a file whose SHA-256 is known here
    FILE.onnx:SHA256             YuNet, of a file with that SHA-256 (64 digits): one you trained, say
    package.module:Class[:FILE]  one of your own, made with the path FILE, if there is one, and the options

    Raises LimenError for a name or file that is none of these, a file that is missing, has another hash or holds another network.
    """
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*(:.+)?", spec) and not Path(spec).exists() and not _split_hash(spec)[1]:
        name, _, file = spec.partition(":")[2].partition(":")
        build = find("detector", f"{spec.partition(':')[0]}:{name}", {}, Detector)
        return call(f"detector {spec}", build, {"path": file, **options} if file else options)
    path, expected = _split_hash(spec)
    if spec == "yunet" and not Path(spec).is_file():
        path = _in_cache()
    elif not path.suffix and not path.exists():
        raise LimenError(f"detector: {spec!r} is neither a detector nor a file; {did_you_mean(spec, SPELLINGS)}")
    model = read_plain_file(path, LARGEST)
    found = hashlib.sha256(model).hexdigest()
    if model.startswith(b"version https://git-lfs"):
        raise LimenError(f"{path}: is a Git LFS pointer and not the model itself; download the raw file")
    if expected not in (None, found):
        raise LimenError(f"{path}: has the SHA-256 {found}, not {expected}; fetch it again, or correct the hash")
    if expected is None and found not in YUNET:
        raise LimenError(
            f"{path}: its SHA-256 {found} is of no detector known here, so it may be damaged; {FETCH}; or, where it is as it should be, "
            f"give {path}:{found}"
        )
    return YuNet(model, name=f"yunet {found[:16]}", where=str(path), **options)


def _split_hash(spec: str) -> tuple[Path, str | None]:
    parts = re.fullmatch(r"(.+):([0-9a-fA-F]{64})", spec)
    return (Path(parts[1]), parts[2].lower()) if parts else (Path(spec), None)


def _in_cache() -> Path:
    """The first file of a known name in the cache folder."""
    folder = cache_folder()
    for name in YUNET.values():
        if (folder / name).is_file():
            return folder / name
    raise LimenError(f"detector yunet: its file is not in {folder}; {FETCH}, put it there, or give its path (--detector FILE)")
