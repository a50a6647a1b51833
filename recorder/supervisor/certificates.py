"""The TLS files of the SIP port as the frontends are to have them: read and proved here, handed over in memory."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from recorder.config import SipSettings
from recorder.edge.tls import facts, read_material
from recorder.errors import ConfigError

_log = structlog.get_logger()

_SOON: Final = timedelta(days=21)
"""Three working weeks to renew a certificate; authorities that issue for 90 days renew 30 days ahead."""


class Certificates:
    """The certificate in use. With TLS switched off there is none, and nothing here does anything.

    Raises:
        ConfigError: the files cannot be used. Better no start than a port on which every handshake fails.

    """

    def __init__(self, settings: SipSettings) -> None:
        self._settings = settings
        self.descriptors: tuple[int, ...] = ()
        """Memory that holds the encoded `TlsMaterial`; empty where TLS is off."""
        self._read()

    def renew(self) -> None:
        """Read the files again; if they are broken, keep what there is and say so."""
        try:
            self._read()
        except ConfigError as error:
            for fault in error.faults:
                _log.error("certificate not renewed; the one in use stays", fault=fault)

    def _read(self) -> None:
        material = read_material(self._settings)
        if material is None:
            return
        descriptor = os.memfd_create("tls-material", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(descriptor), "wb") as memory:
            memory.write(material.encode())
        for former in self.descriptors:
            os.close(former)
        self.descriptors = (descriptor,)
        about = facts(material)
        log = _log.bind(names=list(about.names), not_after=about.not_after.isoformat())
        if not about.in_force:
            log.error("certificate is out of its dates: clients will refuse it")
        elif about.not_after - datetime.now(UTC) < _SOON:
            log.warning("certificate expires soon; renew it and send SIGHUP")
        else:
            log.info("certificate in use")
