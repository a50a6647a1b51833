"""Types of settings: values that are checked once, with errors that say what is wanted."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict

from recorder.edge.networks import network

_STORE_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
_TAKEN_STORE_NAMES: Final = ("local", "s3", "captures")
_NODE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


def ip_address(value: str) -> str:
    """Return the address in its usual form."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address, not a name") from None


def _ip_address_or_empty(value: str) -> str:
    return ip_address(value) if value else value


def _node_name(value: str) -> str:
    if not _NODE_NAME.match(value):
        raise ValueError("must be 1 to 63 letters, digits, '.', '_' or '-'")
    return value


def _store_name(value: str) -> str:
    if not _STORE_NAME.match(value) or value in _TAKEN_STORE_NAMES:
        raise ValueError(
            f"must be 1 to 31 small letters, digits or '-', beginning with a letter, and none of {_TAKEN_STORE_NAMES}"
        )
    return value


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


def _absolute_or_empty(value: str) -> str:
    return str(_absolute(Path(value))) if value else value


IpAddress = Annotated[str, AfterValidator(ip_address)]
OptionalIpAddress = Annotated[str, AfterValidator(_ip_address_or_empty)]
NodeName = Annotated[str, AfterValidator(_node_name)]
StoreName = Annotated[str, AfterValidator(_store_name)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
OptionalFile = Annotated[str, AfterValidator(_absolute_or_empty)]
NetworkText = Annotated[str, AfterValidator(lambda value: str(network(value)))]


class Table(BaseModel):
    """A table of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
