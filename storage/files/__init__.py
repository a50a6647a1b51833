"""Durable publication of files: where they go, how they get there, and the stores that keep them.

`layout` names them, `port` says what a store can do, `durable` is the directory and the place where files are made,
`object_store` (with `object_lock`) the S3-compatible one; `bundle` is the file that takes a recording elsewhere. Knows
nothing of the catalog: it returns facts that the caller records only after the bytes are synced.
"""

from storage.files.durable import FileStore, PendingFile, PublishedFile, copy_durably
from storage.files.layout import directory_of, file_name
from storage.files.port import Store, StoredFile

__all__ = [
    "FileStore",
    "PendingFile",
    "PublishedFile",
    "Store",
    "StoredFile",
    "copy_durably",
    "directory_of",
    "file_name",
]
