"""The stores of the settings: directories by the names that the catalog has for them, and the object store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from recorder.errors import ConfigError
from recorder.settings import Settings
from recorder.state_dir import recordings_root
from storage.encryption import load_recipients
from storage.errors import StorageMisused
from storage.files import Store
from storage.files.object_lock import ObjectLock
from storage.files.object_store import S3Options, S3Store

LOCAL: Final = "local"
"""The directory in which files are made."""


def store_name(settings: Settings, name: str = LOCAL) -> str:
    """Return how the catalog calls a directory: with the host's name where it is this host's own."""
    return name if settings.recordings.shared else f"{name}@{settings.node}"


def directories(settings: Settings) -> dict[str, Path]:
    """Return the directories of finished files by the names of their stores; the first is where files are made."""
    named = {LOCAL: recordings_root(settings), **settings.recordings.archives}
    return {store_name(settings, name): path for name, path in named.items()}


def s3_options(settings: Settings) -> S3Options | None:
    """Return how to reach the bucket; None when none is configured."""
    table = settings.s3
    if not table.bucket:
        return None
    return S3Options(
        bucket=table.bucket,
        endpoint=table.endpoint,
        region=table.region,
        prefix=table.prefix,
        access_key_id=table.access_key_id,
        secret_access_key=table.secret_access_key,
        part_mb=table.part_mb,
        timeout_s=table.timeout_s,
        lock=table.lock,
        lock_days=table.lock_days,
    )


def open_remote(options: S3Options | None) -> Store | None:
    """Return the object store; `StorageMisused` when it needs a library that is not installed."""
    if options is None:
        return None
    return S3Store(options, lock=ObjectLock(options) if options.lock != "none" else None)


def directory_faults(settings: Settings) -> list[str]:
    """Say which directories that the settings name for finished files cannot be used, and what to do."""
    named = {f"recordings.archives.{name}": path for name, path in settings.recordings.archives.items()}
    faults = [
        f"{key} = {path}: is not there; mount the disk, or correct the path"
        for key, path in named.items()
        if not os.path.isdir(path)
    ]
    root = settings.recordings.root
    if root is not None:
        # It is made with the first file: until then, what would hold it counts.
        standing = next(one for one in (root, *root.parents) if os.path.exists(one))
        if not standing.is_dir():
            faults.append(f"recordings.root = {root}: {standing} is not a directory; correct the path")
        elif not os.access(standing, os.W_OK | os.X_OK):
            faults.append(
                f"recordings.root = {root}: {standing} is not writable for this user; change its owner or mode"
            )
    return faults


def check_directories(settings: Settings) -> None:
    """Raise `ConfigError` with all that `directory_faults` finds."""
    if faults := directory_faults(settings):
        raise ConfigError(faults)


def check_storage(settings: Settings) -> None:
    """Prove that the settings of finished files can be used: recipients read, libraries installed.

    Raises:
        ConfigError: names the faulty key and the remedy.

    """
    try:
        load_recipients([Path(path) for path in settings.recordings.encrypt_to])
    except StorageMisused as error:
        raise ConfigError([f"recordings.encrypt_to: {error}"]) from None
    try:
        open_remote(s3_options(settings))
    except StorageMisused as error:
        raise ConfigError([f"s3: {error}"]) from None
