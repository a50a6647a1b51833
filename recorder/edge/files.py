"""The files behind the edge, read and proved once, and handed to the frontends in memory.

A frontend that starts while a file is being edited has the last good one all the same. Does not watch files.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from recorder.edge import logins
from recorder.edge.profile_files import ProfileText, parse_profiles, read_profiles
from recorder.edge.tls import TlsMaterial, read_material
from recorder.edge.users import parse_users, read_users
from recorder.errors import ConfigError
from recorder.settings import Settings

T = TypeVar("T")

_KEY_LENGTH: Final = 32
"""Bytes; as long as the SHA-256 that seals a nonce."""
_NO_PROFILES: Final[tuple[ProfileText, ...]] = ()


class EdgeFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Content of the files that may change without a restart."""

    tls: TlsMaterial | None
    """None where TLS is off."""
    profiles: tuple[ProfileText, ...]
    users: str = ""
    """Text of the users file; empty where no credentials are asked for."""
    logins: str = ""
    """Text of the file of logins; empty where challenges to our requests are refusals."""
    nonce_key: bytes
    """Secret behind the nonces of digest authentication, the same for all frontends of one supervisor."""

    def encode(self) -> bytes:
        """Return it as bytes for another process; they hold keys."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> EdgeFiles:
        """Return what `encode` was given."""
        return msgspec.msgpack.decode(data, type=cls)


def read_files(settings: Settings) -> EdgeFiles:
    """Read every file that the settings name, and prove that it can be used.

    Raises:
        ConfigError: names each faulty key or file, its value and the remedy.

    """
    faults: list[str] = []
    tls = _or_fault(lambda: read_material(settings.sip), None, faults)
    profiles = _or_fault(lambda: _read_profiles(settings), _NO_PROFILES, faults)
    users = _or_fault(lambda: _read_users(settings), "", faults)
    login_text = _or_fault(lambda: _read_logins(settings), "", faults)
    if faults:
        raise ConfigError(faults)
    key = secrets.token_bytes(_KEY_LENGTH)
    return EdgeFiles(tls=tls, profiles=profiles, users=users, logins=login_text, nonce_key=key)


def renew_files(settings: Settings, present: EdgeFiles) -> tuple[EdgeFiles, list[str]]:
    """Read the files again; of those that are broken the present content stays. Also returns what is broken."""
    faults: list[str] = []
    renewed = EdgeFiles(
        tls=_or_fault(lambda: read_material(settings.sip), present.tls, faults),
        profiles=_or_fault(lambda: _read_profiles(settings), present.profiles, faults),
        users=_or_fault(lambda: _read_users(settings), present.users, faults),
        logins=_or_fault(lambda: _read_logins(settings), present.logins, faults),
        nonce_key=present.nonce_key,
    )
    return renewed, faults


def _read_profiles(settings: Settings) -> tuple[ProfileText, ...]:
    texts = read_profiles(settings.profiles.directory)
    parse_profiles(texts)
    return texts


def _read_users(settings: Settings) -> str:
    access = settings.access
    if not access.digest_users:
        return ""
    text = read_users(access.digest_users)
    parse_users(text, realm=access.digest_realm, path=access.digest_users)
    return text


def _read_logins(settings: Settings) -> str:
    path = settings.sip.digest_logins
    if not path:
        return ""
    text = read_users(path, setting=logins.KEY)
    logins.parse_logins(text, path=path)
    return text


def _or_fault(read: Callable[[], T], otherwise: T, faults: list[str]) -> T:
    try:
        return read()
    except ConfigError as error:
        faults.extend(error.faults)
        return otherwise
