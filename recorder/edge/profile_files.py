"""Peer profiles from TOML files: those shipped in `config/profiles`, and those of the site, which come first.

A file says only what differs from what it extends. Every fault is named with file, key, value and remedy.
"""

from __future__ import annotations

import re
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from media.srtp import SUITES
from recorder.edge.networks import Network, network
from recorder.edge.profile import DEFAULT, Match, PeerProfile, ProfileTable, Source, pattern
from recorder.errors import ConfigError
from signaling.sdp.offer_answer import AnswerPolicy
from signaling.sip.syntax import is_token

MAX_FILES: Final = 500
"""Profiles of one directory; every INVITE is held against all of them until one fits."""
_CODECS: Final = AnswerPolicy().codecs

Pattern = Annotated[re.Pattern[str], BeforeValidator(pattern)]
AnyNetwork = Annotated[Network, BeforeValidator(network)]
AnySource = Annotated[Source, BeforeValidator(Source.parse)]


def _header(text: Any) -> tuple[str, re.Pattern[str]]:
    name, colon, value = str(text).partition(":")
    if not is_token(name.strip()):
        raise ValueError(f"{text!r}: write 'Name' or 'Name: value with *'")
    return name.strip(), pattern(value.strip()) if colon else re.compile("")


def _codec(name: str) -> str:
    if name.upper() not in _CODECS:
        raise ValueError(f"{name!r} cannot be recorded; known: {', '.join(_CODECS)}")
    return name.upper()


def _suite(name: str) -> str:
    if name.upper() not in SUITES:
        raise ValueError(f"{name!r} cannot be decrypted; known: {', '.join(SUITES)}")
    return name.upper()


Header = Annotated[tuple[str, re.Pattern[str]], BeforeValidator(_header)]
CodecName = Annotated[str, AfterValidator(_codec)]
SuiteName = Annotated[str, AfterValidator(_suite)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class _Match(_Table):
    network: tuple[AnyNetwork, ...] = ()
    user_agent: tuple[Pattern, ...] = ()
    header: tuple[Header, ...] = ()
    request_uri: tuple[Pattern, ...] = ()


class _Session(_Table):
    record_identifier: tuple[AnySource, ...] | None = Field(None, min_length=1)
    call_uuid: tuple[AnySource, ...] | None = None
    call_headers: tuple[Pattern, ...] | None = None
    parties: tuple[Annotated[int, Field(ge=0, le=63)], ...] | None = None
    answer_delay_ms: float | None = Field(None, ge=0, le=1000)
    metadata_type: Literal["mirror", "application/rs-metadata", "application/rs-metadata+xml"] | None = None
    strict: bool | None = None
    own_offers: Literal["reinvite", "update", "none", "unknown"] | None = None
    digest_user: str | None = None
    snapshot_requests: bool | None = None
    mask_events: bool | None = None
    plain_invites: bool | None = None


class _Answer(_Table):
    codecs: tuple[CodecName, ...] | None = Field(None, min_length=1)
    codec_order: Literal["offer", "policy"] | None = None
    answer_codecs: Literal["one", "all"] | None = None
    rtcp_mux: bool | None = None
    srtp: Literal["refuse", "allow", "require"] | None = None
    crypto_suites: tuple[SuiteName, ...] | None = Field(None, min_length=1)
    remapped_payloads: Literal["refuse", "follow"] | None = None
    zero_address_pauses: bool | None = None


class _File(_Table):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    description: str = ""
    extends: str = DEFAULT
    order: int = Field(100, ge=0, le=1000, description="place in the order of trying, lowest first")
    match: _Match = _Match()
    session: _Session = _Session()
    answer: _Answer = _Answer()


def shipped_directory() -> Path:
    """Return where the profiles of this program are: in the source tree, or where it was installed."""
    source = Path(__file__).parents[2] / "config" / "profiles"
    return source if source.is_dir() else Path(sysconfig.get_path("data")) / "share" / "tandem-recorder" / "profiles"


class ProfileText(msgspec.Struct, frozen=True):
    """One file as it was read."""

    path: str
    text: str
    shipped: bool = False


def load_profiles(directory: str = "") -> ProfileTable:
    """Read the shipped profiles and those of a directory; see `read_profiles` and `parse_profiles`."""
    return parse_profiles(read_profiles(directory))


def read_profiles(directory: str = "") -> tuple[ProfileText, ...]:
    """Read the files of the shipped profiles and of the site's.

    Raises:
        ConfigError: names what cannot be read.

    """
    faults: list[str] = []
    found = [*_read_directory(shipped_directory(), faults, shipped=True)]
    if directory:
        found += _read_directory(Path(directory), faults)
    if faults:
        raise ConfigError(faults)
    return tuple(found)


def parse_profiles(texts: Iterable[ProfileText]) -> ProfileTable:
    """Make profiles of files; the site's are tried before the shipped ones and replace those of the same name.

    Raises:
        ConfigError: names every faulty file and key.

    """
    faults: list[str] = []
    files: dict[str, tuple[ProfileText, _File]] = {}
    for text in sorted(texts, key=lambda one: not one.shipped):
        file = _parse(text, faults)
        if file is None:
            continue
        present = files.get(file.name)
        if present is not None and present[0].shipped == text.shipped:
            faults.append(f"{text.path}: name = {file.name!r}: {present[0].path} has it already; choose another")
        files[file.name] = (text, file)
    known = {name: file for name, (_, file) in files.items()}
    profiles = []
    for text, file in sorted(files.values(), key=lambda entry: (entry[0].shipped, entry[1].order, entry[1].name)):
        try:
            profiles.append(_profile(file, known))
        except ValueError as error:
            faults.append(f"{text.path}: {error}")
    if faults:
        raise ConfigError(faults)
    return ProfileTable(profiles)


def _read_directory(place: Path, faults: list[str], *, shipped: bool = False) -> Iterator[ProfileText]:
    try:
        paths = sorted(path for path in place.iterdir() if path.suffix == ".toml")
    except OSError as error:
        faults.append(f"profiles.directory = '{place}': {error.strerror}; give a directory of *.toml files")
        return
    if len(paths) > MAX_FILES:
        faults.append(f"profiles.directory = '{place}': {len(paths)} profiles, at most {MAX_FILES}; remove some")
        return
    for path in paths:
        try:
            yield ProfileText(str(path), path.read_text(encoding="utf-8"), shipped)
        except OSError as error:
            faults.append(f"{path}: {error.strerror}; make it readable for this user")
        except UnicodeDecodeError as error:
            faults.append(f"{path}: not valid TOML: {error}")


def _parse(text: ProfileText, faults: list[str]) -> _File | None:
    try:
        return _File.model_validate(tomllib.loads(text.text))
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{text.path}: not valid TOML: {error}")
    except ValidationError as error:
        faults.extend(_explain(error, text.path))
    return None


def _explain(error: ValidationError, path: str) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            yield f"{path}: {key}: unknown key; remove it or correct its name"
        else:
            yield f"{path}: {key} = {fault['input']!r}: {fault['msg'].removeprefix('Value error, ')}"


def _profile(file: _File, known: dict[str, _File]) -> PeerProfile:
    """Put a profile together from what it extends, outermost first; marks are not inherited.

    Raises:
        ValueError: it extends what does not exist, or itself.

    """
    chain = [file]
    while chain[-1].name != DEFAULT and chain[-1].extends in known:
        chain.append(known[chain[-1].extends])
        if len(chain) > len(known):
            raise ValueError(f"extends = {file.extends!r}: a circle; let one of them extend {DEFAULT!r}")
    base = chain[-1].extends
    if chain[-1].name != DEFAULT and base != DEFAULT:
        raise ValueError(f"extends = {base!r}: there is no such profile; known: {', '.join(sorted(known))}")
    profile = PeerProfile(name=file.name, description=file.description, match=_match(file.match))
    for layer in reversed(chain):
        profile = msgspec.structs.replace(
            profile,
            answer=msgspec.structs.replace(profile.answer, **_given(layer.answer)),
            **_given(layer.session),
        )
    return profile


def _given(table: _Table) -> dict[str, Any]:
    return {name: value for name in type(table).model_fields if (value := getattr(table, name)) is not None}


def _match(marks: _Match) -> Match:
    return Match(
        networks=marks.network, user_agents=marks.user_agent, headers=marks.header, request_uris=marks.request_uri
    )
