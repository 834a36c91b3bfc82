"""Small trees of benchmarks, made in the tests: people who do not exist, drawn by limen itself, and a model that knows nobody."""

import functools

import cv2
import numpy as np
import torch

from limen.data.synthetic import SyntheticFaces
from limen.models.bundle import Architecture, Bundle, save_bundle

PEOPLE, EACH = 12, 6
FACES = SyntheticFaces(PEOPLE, EACH, difficulty=0.3)
NAMES = ["Ann_Example", "Bo_Sample", "Cy_Madeup_Jr", "Di_O'Test", "Ed_Nobody", "Fay_Invented", "Gus_None", "Hal_Void", "Ida_Blank"]


def face(person, number):
    """(112, 112, 3) uint8 RGB of a made-up person, images from 1."""
    return drawn(person % PEOPLE * EACH + (number - 1) % EACH)


drawn = functools.cache(FACES.image)


def write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    path.write_bytes(encoded.tobytes())


def write_face(path, person, number):
    write_image(path, face(person, number))


def write_lines(path, *lines, end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + end).encode())


def tiny_model(folder):
    """The path of an untrained model in `folder`."""
    torch.manual_seed(1)
    backbone = Architecture("tiny", 16).build()
    backbone(torch.randn(16, 3, 112, 112))  # gives the batch norms statistics
    path = folder / "tiny.safetensors"
    save_bundle(path, Bundle(Architecture("tiny", 16), {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}))
    return path


def pairs_as_named(task):
    """What a PairSet says: for each pair where its images come from, and whether they are of one person."""
    source = task.source
    places = [(source.locate(int(one)), source.locate(int(other))) for one, other in zip(task.first, task.second, strict=True)]
    return list(zip(places, np.asarray(task.same).tolist(), strict=True))
