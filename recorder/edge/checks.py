"""What `recorder check-config` looks at beyond the settings themselves: the files that they name."""

from __future__ import annotations

from collections.abc import Callable

from recorder.config import Settings
from recorder.edge.profile_files import load_profiles
from recorder.edge.tls import read_material
from recorder.errors import ConfigError


def check_files(settings: Settings) -> None:
    """Read every file that the settings name and prove that it can be used.

    Raises:
        ConfigError: names each faulty key, its value and the remedy.

    """
    faults: list[str] = []
    reads: tuple[Callable[[], object], ...] = (
        lambda: read_material(settings.sip),
        lambda: load_profiles(settings.profiles.directory),
    )
    for read in reads:
        try:
            read()
        except ConfigError as error:
            faults.extend(error.faults)
    if faults:
        raise ConfigError(faults)
