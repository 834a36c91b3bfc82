"""Faces of people who do not exist, with the truth about every image; and `degrade`, the same losses for any image."""

from limen.data.synthetic.conditions import Conditions, Occlusion
from limen.data.synthetic.degrade import degrade
from limen.data.synthetic.folder import save_folder
from limen.data.synthetic.source import SyntheticFaces

__all__ = ["Conditions", "Occlusion", "SyntheticFaces", "degrade", "save_folder"]
