"""Durable publication of files: where they go, how they get there, and the proof that they are what they were.

`layout` names them, `durable` writes them. Knows nothing of the catalog: it returns facts that the caller records only
after the bytes are synced.
"""

from storage.files.durable import FileStore, PendingFile, PublishedFile, copy_durably
from storage.files.layout import directory_of, file_name

__all__ = ["FileStore", "PendingFile", "PublishedFile", "copy_durably", "directory_of", "file_name"]
