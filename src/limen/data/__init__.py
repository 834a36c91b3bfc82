"""Readers of faces, synthetic faces, augmentation and the training feed."""

from limen.data.folder import FileSource, FolderSource, list_images
from limen.data.images import decode_image, read_image
from limen.data.recordio import RecordIOSource, write_recordio
from limen.data.source import FaceSource, ImageSource, open_source

__all__ = [
    "FaceSource",
    "FileSource",
    "FolderSource",
    "ImageSource",
    "RecordIOSource",
    "decode_image",
    "list_images",
    "open_source",
    "read_image",
    "write_recordio",
]
