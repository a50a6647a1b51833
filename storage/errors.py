"""Errors of the storage package: one root, with leaves for misuse, exhausted resources and lost connections.

"Lost the race" is never an error here but a value; an exception means that the caller's request was wrong, could not
be served, or that its outcome is not known.

    StorageError
        StorageMisused          we were called wrongly; a defect or a wrong argument
            InputMissing
        StorageRefused          resource: full, forbidden, not ready
            StoreFull, StoreForbidden, StoreFailed, AlreadyPublished, IntegrityBroken, WrongKey
            UnderLegalHold, RecordingErased, CaptureOutOfReach
            SchemaMismatch, EmbeddedPostgresFailed
        StorageLost             lease or connection is gone
            StaleEpoch, CatalogUnreachable, StoreUnreachable
"""

from __future__ import annotations


class StorageError(Exception):
    """Root of everything that this package raises on purpose."""


class StorageMisused(StorageError):
    """Local: the call breaks a rule of the API (an unknown segment, a path outside the store)."""


class InputMissing(StorageMisused):
    """A file or folder that a person named is not there, or cannot be opened."""


class StorageRefused(StorageError):
    """Resource: the store cannot do it now; nothing was changed."""


class StoreFull(StorageRefused):
    """The file system has no space (ENOSPC) or no quota (EDQUOT) left."""


class StoreForbidden(StorageRefused):
    """The file system does not let us write there (EACCES, EPERM, EROFS)."""


class StoreFailed(StorageRefused):
    """The file system failed (EIO or another error); what was written there must not be trusted."""


class AlreadyPublished(StorageRefused):
    """Another file with other content already has this name; it was left as it is."""


class IntegrityBroken(StorageRefused):
    """A file is not what the catalog says: missing, of another length, or of another digest."""


class UnderLegalHold(StorageRefused):
    """A legal hold keeps the recording, its files and its captures from being removed."""


class RecordingErased(StorageRefused):
    """The recording, or what it would take, is deleted: no way leads back."""


class CaptureOutOfReach(StorageRefused):
    """A capture that the catalog keeps cannot be read here: without it a result would have less than was recorded."""


class WrongKey(StorageRefused):
    """The private key is none of those to which the recording is encrypted."""


class SchemaMismatch(StorageRefused):
    """The database's migrations are not those of this program: newer, edited, or not applied."""


class EmbeddedPostgresFailed(StorageRefused):
    """The embedded PostgreSQL could not be created or started; the message carries its last log lines."""


class StorageLost(StorageError):
    """Lost: the lease or the connection is gone."""


class StaleEpoch(StorageLost):
    """A newer holder has the lease: stop writing at once. Nothing was changed."""

    def __init__(self, lease: str, epoch: int) -> None:
        super().__init__(
            f"epoch {epoch} of lease {lease!r} is no longer valid: a newer holder has it; nothing was written"
        )
        self.lease = lease
        self.epoch = epoch


class CatalogUnreachable(StorageLost):
    """PostgreSQL cannot be reached or went away in the middle; whether the last write happened is not known.

    Every write of this package may be repeated with the same arguments: it then takes effect once.
    """


class StoreUnreachable(StorageLost):
    """An object store is away or does not answer in time; nothing is known of the last request. Try again later."""
