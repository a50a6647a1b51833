"""Profiles from files: what is shipped, what a site adds, and every fault with file, key, value and remedy."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from recorder.edge.files import EdgeFiles, read_files, renew_files
from recorder.edge.profile import ANY_CLIENT, PeerProfile, ProfileTable, Source
from recorder.edge.profile_files import MAX_FILES, load_profiles, shipped_directory
from recorder.errors import ConfigError
from recorder.settings import Settings
from signaling.sip import Request, parse_message
from signaling.siprec.media_types import METADATA, METADATA_XML

VENDOR = Path(__file__).parents[3] / "corpus" / "vendor"


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def named(table: ProfileTable) -> dict[str, PeerProfile]:
    return {profile.name: profile for profile in table}


def request(headers: str, uri: str = "sip:srs@192.0.2.40") -> Request:
    text = (
        f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.30;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
        f"To: <sip:c@d>\r\nCall-ID: x@y\r\nCSeq: 1 INVITE\r\n{headers}\r\n"
    )
    parsed = parse_message(text.encode())
    assert isinstance(parsed, Request)
    return parsed


# What is shipped


def test_the_shipped_profiles_are_those_of_the_support_matrix() -> None:
    assert set(named(load_profiles())) == {
        "default", "genesys-mcp", "opensips", "opensips-older", "opensips-unnamed", "oracle", "audiocodes",
        "cisco-cube", "cisco-nbr", "cucm-bib", "broadworks", "avaya", "ribbon", "metaswitch",
    }  # fmt: skip


def test_the_shipped_default_says_what_the_program_does_anyway() -> None:
    default = load_profiles().named("default")
    assert default.parties == (0, 1)
    assert default.answer == ANY_CLIENT.answer
    assert default.record_identifier == ANY_CLIENT.record_identifier
    assert (default.strict, default.plain_invites, default.own_offers) == (False, True, "unknown")


@pytest.mark.parametrize("path", sorted(shipped_directory().glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_file_is_named_as_its_profile_and_says_why(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert tomllib.loads(text)["name"] == path.stem
    assert tomllib.loads(text)["description"]
    assert text.startswith("#")


@pytest.mark.parametrize(
    ("headers", "uri", "profile"),
    [
        ("", "sip:record=01EXAMPLE@192.0.2.40;dn=1", "genesys-mcp"),
        ("User-Agent: OpenSIPS (3.6.8 (x86_64/linux))\r\n", "sip:srs@192.0.2.40", "opensips"),
        ("User-Agent: OpenSIPS (4.1.0-dev (x86_64/linux))\r\n", "sip:srs@192.0.2.40", "opensips"),
        ("User-Agent: OpenSIPS (3.4.1 (x86_64/linux))\r\n", "sip:srs@192.0.2.40", "opensips-older"),
        ("X-Cisco-Recording-Participant: sip:1@2;media-index=0 1\r\n", "sip:1@192.0.2.40", "cisco-nbr"),
        ("User-Agent: something else\r\n", "sip:srs@192.0.2.40", "default"),
    ],
)
def test_clients_are_known_by_their_marks(headers: str, uri: str, profile: str) -> None:
    assert load_profiles().choose(request(headers, uri), "192.0.2.30").name == profile


@pytest.mark.parametrize(("body", "profile"), [("opensips", "opensips-unnamed"), ("ribbon", "ribbon")])
def test_clients_are_known_by_the_boundary_that_they_always_use(body: str, profile: str) -> None:
    content_type = (VENDOR / f"{body}.mime").read_text(encoding="utf-8", errors="replace").splitlines()[0]
    assert load_profiles().choose(request(f"{content_type}\r\n"), "192.0.2.30").name == profile


def test_the_built_in_bridge_is_known_by_its_call_reference() -> None:
    given = request("").headers.replacing_first("From", "<sip:1@2;x-nearend;x-refci=25471>;tag=9")
    bridged = Request("INVITE", request("").uri, given)
    chosen = load_profiles().choose(bridged, "192.0.2.30")
    assert (chosen.name, chosen.call_uuid) == ("cucm-bib", (Source("from", "x-refci"),))


def test_what_the_resource_manager_adds_is_kept_of_media_servers() -> None:
    headers = request("X-Genesys-RM-Application-dbid: 105\r\nX-Other: 1\r\n").headers
    assert load_profiles().named("genesys-mcp").call_data_in(headers) == (("X-Genesys-RM-Application-dbid", "105"),)
    assert load_profiles().named("default").call_data_in(headers) == ()


# What a site adds


def test_a_profile_of_the_site_comes_first_and_says_only_what_differs(tmp_path: Path) -> None:
    write(
        tmp_path,
        "sbc",
        'name = "site-sbc"\nextends = "opensips-older"\n[match]\nuser_agent = ["OpenSIPS*"]\n'
        '[session]\nparties = [1, 0]\n[answer]\ncodecs = ["pcma"]\nanswer_codecs = "all"\n',
    )
    table = load_profiles(str(tmp_path))
    chosen = table.choose(request("User-Agent: OpenSIPS (3.6.1)\r\n"), "192.0.2.30")
    assert chosen.name == "site-sbc"
    assert (chosen.parties, chosen.own_offers, chosen.answer_delay_ms) == ((1, 0), "none", 10)
    assert (chosen.answer.codecs, chosen.answer.answer_codecs, chosen.answer.codec_order) == (("PCMA",), "all", "offer")


def test_a_profile_of_the_site_replaces_the_shipped_one_of_the_same_name(tmp_path: Path) -> None:
    write(tmp_path, "default", 'name = "default"\n[session]\nplain_invites = false\n')
    table = named(load_profiles(str(tmp_path)))
    assert not table["default"].plain_invites
    # What extends it follows, unless it says otherwise itself.
    assert not table["oracle"].plain_invites
    assert table["cisco-nbr"].plain_invites


def test_the_order_decides_between_profiles_of_the_site(tmp_path: Path) -> None:
    marks = '[match]\nnetwork = ["192.0.2.0/24"]\n'
    write(tmp_path, "a", f'name = "a"\n{marks}')
    write(tmp_path, "b", f'name = "b"\norder = 10\n{marks}')
    assert load_profiles(str(tmp_path)).choose(request(""), "192.0.2.30").name == "b"


# Faults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = 'Site SBC'\n", ["name = 'Site SBC'", "pattern"]),
        ("name = 'x'\n[match]\nnetwork = ['10.0.0.1/8']\n", ["match.network.0 = '10.0.0.1/8'", "write 10.0.0.0/8"]),
        ("name = 'x'\n[match]\nuser_agent = ['*']\n", ["match.user_agent.0 = '*'", "fits every client"]),
        ("name = 'x'\n[match]\nheader = ['bad name: x']\n", ["match.header.0", "write 'Name'"]),
        ("name = 'x'\n[session]\nrecord_identifier = ['cookie']\n", ["record_identifier.0 = 'cookie'", "known:"]),
        ("name = 'x'\n[session]\nrecord_identifier = []\n", ["session.record_identifier = []", "at least 1"]),
        ("name = 'x'\n[session]\nown_offers = 'maybe'\n", ["session.own_offers = 'maybe'", "'reinvite', 'update'"]),
        ("name = 'x'\n[answer]\ncodecs = ['MP3']\n", ["answer.codecs.0 = 'MP3'", "known: PCMU, PCMA"]),
        ("name = 'x'\n[answer]\ncodex = ['PCMU']\n", ["answer.codex: unknown key; remove it"]),
        ("name = 'x'\nextends = 'nobody'\n", ["extends = 'nobody': there is no such profile; known: audiocodes"]),
        ("name = 'x'\nextends = 'x'\n", ["extends = 'x': a circle"]),
        ("name = \n", ["not valid TOML", "line 1"]),
    ],
)
def test_a_fault_names_file_key_value_and_remedy(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = write(tmp_path, "site", text)
    with pytest.raises(ConfigError) as caught:
        load_profiles(str(tmp_path))
    for part in [*expected, str(path)]:
        assert part in str(caught.value)


def test_two_files_with_one_name_are_told(tmp_path: Path) -> None:
    first, second = write(tmp_path, "a", "name = 'x'\n"), write(tmp_path, "b", "name = 'x'\n")
    with pytest.raises(ConfigError) as caught:
        load_profiles(str(tmp_path))
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)


def test_an_absent_directory_is_named_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"profiles\.directory = '.*absent': No such file"):
        load_profiles(str(tmp_path / "absent"))


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 1):
        write(tmp_path, str(number), "")
    with pytest.raises(ConfigError, match=r"501 profiles, at most 500"):
        load_profiles(str(tmp_path))


def test_metadata_types_that_can_be_asked_for_are_those_that_signaling_knows(tmp_path: Path) -> None:
    for number, kind in enumerate([METADATA, METADATA_XML, "mirror"]):
        write(tmp_path, str(number), f"name = 'p{number}'\n[session]\nmetadata_type = '{kind}'\n")
    assert {profile.metadata_type for profile in load_profiles(str(tmp_path))} == {METADATA, METADATA_XML, "mirror"}


# Handed to the frontends


def test_files_survive_the_way_to_another_process(tmp_path: Path) -> None:
    write(tmp_path, "sbc", 'name = "site-sbc"\n')
    files = read_files(Settings(profiles={"directory": str(tmp_path)}))
    assert EdgeFiles.decode(files.encode()) == files


def test_a_renewal_takes_what_is_sound_and_keeps_the_rest(tmp_path: Path) -> None:
    path = write(tmp_path, "sbc", 'name = "site-sbc"\n')
    settings = Settings(profiles={"directory": str(tmp_path)})
    files = read_files(settings)
    path.write_text("name = ")
    kept, faults = renew_files(settings, files)
    assert kept == files
    assert str(path) in faults[0]
    path.write_text('name = "other"\n')
    renewed, faults = renew_files(settings, files)
    assert faults == []
    assert renewed != files
