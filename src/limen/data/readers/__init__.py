"""Readers of faces: one file a format. `limen.data.source.READERS` names them."""

from limen.data.readers.folder import FileSource, FolderSource
from limen.data.readers.people import each_person, list_images
from limen.data.readers.recordio import RecordIOSource
from limen.data.readers.recordio_writer import write_recordio

__all__ = ["FileSource", "FolderSource", "RecordIOSource", "each_person", "list_images", "write_recordio"]
