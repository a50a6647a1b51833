"""Keeps the files behind the edge as the frontends are to have them: certificates, profiles, users."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from recorder.edge.files import EdgeFiles, read_files, renew_files
from recorder.edge.tls import TlsMaterial, facts
from recorder.settings import Settings

_log = structlog.get_logger()

_SOON: Final = timedelta(days=21)
"""Three working weeks to renew a certificate; authorities that issue for 90 days renew 30 days ahead."""


class SharedEdgeFiles:
    """The files in use.

    Raises:
        ConfigError: one cannot be used. Better no start than, say, a port on which every handshake fails.

    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = read_files(settings)
        self.descriptor = _in_memory(self._files)
        """Memory that holds the encoded `EdgeFiles`."""
        _describe(self._files.tls)

    def renew(self) -> None:
        """Read the files again; what is broken stays as it was, and is said."""
        renewed, faults = renew_files(self._settings, self._files)
        for fault in faults:
            _log.error("file not taken; what is in use stays", fault=fault)
        if renewed == self._files:
            return
        if renewed.tls != self._files.tls:
            _describe(renewed.tls)
        former, self.descriptor = self.descriptor, _in_memory(renewed)
        os.close(former)
        self._files = renewed


def _in_memory(files: EdgeFiles) -> int:
    descriptor = os.memfd_create("edge", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(descriptor), "wb") as memory:
        memory.write(files.encode())
    return descriptor


def _describe(tls: TlsMaterial | None) -> None:
    if tls is None:
        return
    about = facts(tls)
    log = _log.bind(names=list(about.names), not_after=about.not_after.isoformat())
    if not about.in_force:
        log.error("certificate is out of its dates: clients will refuse it")
    elif about.not_after - datetime.now(UTC) < _SOON:
        log.warning("certificate expires soon; renew it and send SIGHUP")
    else:
        log.info("certificate in use")
