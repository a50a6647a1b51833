"""Reads the settings: one TOML file, environment overrides, command-line overrides, validated once.

Precedence, highest first: command line, environment (`RECORDER_STATE_DIR`, `RECORDER_SIP_PORT`, ... that is
`RECORDER_` + table + `_` + key), the TOML file, the defaults of `recorder.settings`. `config/recorder.toml` shows every
key; a test keeps the two equal.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from recorder.errors import ConfigError, SettingsMissingError
from recorder.settings import Settings
from recorder.settings_kit import Table


def load_settings(path: Path | None, overrides: dict[str, Any] | None = None) -> Settings:
    """Read and validate the settings.

    Args:
        path: the TOML file, or None for defaults and environment only.
        overrides: nested tables that beat every other source, such as ``{"sip": {"port": 5070}}``.

    Raises:
        ConfigError: names every faulty key, its value and what to do about it.

    """

    class _Sources(BaseSettings, Settings):
        model_config = SettingsConfigDict(env_prefix="RECORDER_", env_nested_delimiter="_", env_nested_max_split=1)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file = (TomlConfigSettingsSource(settings_cls, toml_file=path),) if path else ()
            return init_settings, env_settings, *file

    if path is not None:
        _check_readable(path)
    try:
        loaded = _Sources(**(overrides or {}))
    except ValidationError as error:
        raise ConfigError(_explain(error, path, overrides or {})) from None
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})


def _check_readable(path: Path) -> None:
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsMissingError([f"{path}: {error.strerror}; give a readable file with --config"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from None


def _explain(error: ValidationError, path: Path | None, overrides: dict[str, Any]) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(part) for part in fault["loc"]) or "settings"
        source = _source_of(fault["loc"], path, overrides)
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            known = ", ".join(sorted(_keys_at(fault["loc"])))
            lines.append(f"{key}: unknown key; remove it or correct its name; known here: {known}{source}")
            continue
        field = _field(fault["loc"])
        secret = field is not None and not field.repr
        value = "" if secret or isinstance(fault["input"], dict | Table) else f" = {fault['input']!r}"
        purpose = f" ({key}: {field.description})" if field and field.description else ""
        lines.append(f"{key}{value}: {message}{purpose}{source}")
    return lines


def _source_of(location: tuple[int | str, ...], path: Path | None, overrides: dict[str, Any]) -> str:
    """Say where a value came from: the command line beats the environment, and that the file."""
    given: Any = overrides
    for part in location:
        given = given.get(part) if isinstance(given, dict) else None
    if location and given is not None:
        return "; command line"
    variable = "RECORDER_" + "_".join(str(part) for part in location[:2]).upper()
    if variable in os.environ:
        return f"; environment variable {variable}"
    return f"; file {path}" if path else ""


def _keys_at(location: tuple[int | str, ...]) -> dict[str, FieldInfo]:
    """Return the fields of the table that holds the key at `location`; empty where there is no such table."""
    fields: dict[str, FieldInfo] = dict(Settings.model_fields)
    for part in location[:-1]:
        annotation = fields[str(part)].annotation if str(part) in fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return {}
        fields = dict(annotation.model_fields)
    return fields


def _field(location: tuple[int | str, ...]) -> FieldInfo | None:
    return _keys_at(location).get(str(location[-1])) if location else None
