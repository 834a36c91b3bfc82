"""Photos: faces found, aligned and handed on as images of any source, or written to a folder."""

from limen.data.photos.folder import align_folder
from limen.data.photos.landmarks import GivenLandmarks
from limen.data.photos.source import AlignedSource, FaceFinder
from limen.data.photos.unacquired import unacquired

__all__ = ["AlignedSource", "FaceFinder", "GivenLandmarks", "align_folder", "unacquired"]
