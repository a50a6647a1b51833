"""Settings of a site: hosts that take over from each other."""

from __future__ import annotations

import ipaddress
from typing import Final

from pydantic import Field, field_validator, model_validator

from recorder.ha.lease import LeaseTiming
from recorder.settings_kit import NodeName, OptionalFile, Table, ip_address

_LEASE: Final = "frontend"
"""`storage.catalog.records.FRONTEND_LEASE`; every process reads settings, and only some may load a database library."""


class HaSettings(Table):
    """The site: hosts that take over from each other (docs/operations/cluster.md)."""

    site: NodeName = Field(
        "default", description="name of the site; its hosts share the catalog, and one of them is active"
    )
    listen: str = Field(
        "", description="address:port at which the site's other hosts reach this one; empty: this host is alone"
    )
    certificate: OptionalFile = Field("", description="PEM file with the certificate of this host inside the site")
    key: OptionalFile = Field("", description="PEM file with the key of that certificate, without a passphrase")
    ca: OptionalFile = Field(
        "", description="PEM file with the site's own authority; whoever it has signed may command writers"
    )
    lease_s: float = Field(2.0, ge=0.5, le=60, description="time without a sign of life after which a host is replaced")
    renew_s: float = Field(0.25, gt=0, le=10, description="time between two signs of life of the active frontend")
    answer_s: float = Field(0.5, gt=0, le=10, description="longest wait for an answer of catalog or standby")
    margin_s: float = Field(0.25, gt=0, le=10, description="time before the end of its lease at which a host stops")
    heartbeat_ms: float = Field(50.0, ge=20, le=5000, description="time between two heartbeats of a host with writers")
    lost_after_ms: float = Field(
        300.0, ge=60, le=60000, description="silence after which the media of a host go to others"
    )
    address: str = Field("", description="floating SIP address with its prefix length, for example 192.0.2.10/24")
    interface: str = Field("", description="network interface that the active host gives the floating address to")
    address_hook: OptionalFile = Field(
        "", description="program run as HOOK acquire|release SITE NODE when the address has to move; for clouds"
    )

    @field_validator("listen")
    @classmethod
    def _listen_is_an_endpoint(cls, value: str) -> str:
        if value:
            host, _, port = value.rpartition(":")
            if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
                raise ValueError("must be ADDRESS:PORT, for example 10.0.0.1:5070")
            ip_address(host.strip("[]"))
        return value

    @field_validator("address")
    @classmethod
    def _address_has_a_prefix(cls, value: str) -> str:
        if value and "/" not in value:
            raise ValueError("must have a prefix length, for example 192.0.2.10/24")
        return str(ipaddress.ip_interface(value)) if value else value

    @model_validator(mode="after")
    def _is_complete(self) -> HaSettings:
        LeaseTiming(ttl_s=self.lease_s, renew_s=self.renew_s, answer_s=self.answer_s, margin_s=self.margin_s)
        if self.lost_after_ms < 3 * self.heartbeat_ms:
            raise ValueError(
                f"lost_after_ms = {self.lost_after_ms:g} must hold three heartbeats of {self.heartbeat_ms:g} ms"
            )
        if self.listen and not (self.certificate and self.key and self.ca):
            raise ValueError("listen needs certificate, key and ca: hosts of a site know each other by certificates")
        if self.address and not self.interface:
            raise ValueError(f"address = {self.address} needs interface: the one that gets the address")
        return self

    @property
    def timing(self) -> LeaseTiming:
        """Times of the lease."""
        return LeaseTiming(ttl_s=self.lease_s, renew_s=self.renew_s, answer_s=self.answer_s, margin_s=self.margin_s)

    @property
    def lease(self) -> str:
        """Name of the site's lease in the catalog."""
        return _LEASE if self.site == "default" else f"{_LEASE}:{self.site}"
