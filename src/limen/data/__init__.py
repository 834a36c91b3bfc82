"""Readers of faces, synthetic faces, augmentation and the training feed."""

from limen.data.folder import FileSource, FolderSource, list_images
from limen.data.images import decode_image, read_image
from limen.data.pairs import PairSet, make_pairs, open_pairs, pairs_of
from limen.data.recordio import RecordIOSource, write_recordio
from limen.data.source import FaceSource, ImageSource, open_source

__all__ = [
    "FaceSource",
    "FileSource",
    "FolderSource",
    "ImageSource",
    "PairSet",
    "RecordIOSource",
    "decode_image",
    "list_images",
    "make_pairs",
    "open_pairs",
    "open_source",
    "pairs_of",
    "read_image",
    "write_recordio",
]
