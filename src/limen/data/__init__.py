"""Readers of faces, synthetic faces, augmentation and the training feed."""

from limen.data.augmentation import Augmentation, create_augmentation
from limen.data.feed.adaptive_sampling import AdaptiveDataSampler
from limen.data.feed.loader import Batch, BatchReader, make_loader, normalise
from limen.data.feed.order import BatchOrder, BatchPlan
from limen.data.feed.suspects import Suspects
from limen.data.images import decode_image, read_image
from limen.data.joint import JointSource
from limen.data.pairs import PairSet, make_pairs, open_pairs, pairs_of, save_pairs
from limen.data.photos import AlignedSource, FaceFinder, GivenLandmarks, align_folder
from limen.data.readers import FileSource, FolderSource, RecordIOSource, list_images, write_recordio
from limen.data.source import FaceSource, ImageSource, open_source
from limen.data.synthetic import SyntheticFaces

__all__ = [
    "AdaptiveDataSampler",
    "AlignedSource",
    "Augmentation",
    "Batch",
    "BatchOrder",
    "BatchPlan",
    "BatchReader",
    "FaceFinder",
    "FaceSource",
    "FileSource",
    "FolderSource",
    "GivenLandmarks",
    "ImageSource",
    "JointSource",
    "PairSet",
    "RecordIOSource",
    "Suspects",
    "SyntheticFaces",
    "align_folder",
    "create_augmentation",
    "decode_image",
    "list_images",
    "make_loader",
    "make_pairs",
    "normalise",
    "open_pairs",
    "open_source",
    "pairs_of",
    "read_image",
    "save_pairs",
    "write_recordio",
]
