"""The recorder's settings, a class for each table of the file. Every default is safe for a trial on one machine.

`recorder.config` reads them. Every process has them, so nothing may be imported here that only reading needs.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from recorder.edge.networks import EVERYWHERE
from recorder.ha.settings import HaSettings
from recorder.retention_settings import RetentionSettings
from recorder.settings_kit import (
    AbsolutePath,
    IpAddress,
    NetworkText,
    NodeName,
    OptionalFile,
    OptionalIpAddress,
    StoreName,
    Table,
)
from storage.files.layout import DEFAULT_TEMPLATE, Layout


def default_state_dir() -> Path:
    """Return where state lives when nothing says otherwise: /var/lib for root, the XDG state directory for a user."""
    if os.geteuid() == 0:
        return Path("/var/lib/tandem-recorder")
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "tandem-recorder"


class SipSettings(Table):
    """Where recording clients reach the signalling frontend."""

    host: IpAddress = Field("0.0.0.0", description="address to listen on, UDP and TCP alike")  # noqa: S104
    port: int = Field(5060, ge=1, le=65535, description="UDP and TCP port; both are always opened (RFC 3261 18.2.1)")
    frontends: int = Field(2, ge=1, le=8, description="frontend processes; one is active, the others stand by")
    advertised_host: OptionalIpAddress = Field(
        "", description="address put into Contact and SDP; empty: the address that each client called"
    )
    answer_delay_ms: float = Field(
        3.0, ge=0, le=1000, description="shortest time between an INVITE and its 200; some clients lose a faster answer"
    )
    tls_port: int = Field(0, ge=0, le=65535, description="port of SIP over TLS, usually 5061; 0 switches TLS off")
    tls_certificate: OptionalFile = Field(
        "", description="PEM file with our certificate and those that lead to its authority"
    )
    tls_key: OptionalFile = Field("", description="PEM file with the key of that certificate, without a passphrase")
    tls_client_ca: OptionalFile = Field(
        "", description="PEM file with the authorities that sign certificates of clients"
    )
    tls_client_certificate: Literal["none", "optional", "required"] = Field(
        "none", description="whether a client must show a certificate: none, optional or required (mutual TLS)"
    )
    digest_logins: OptionalFile = Field(
        "", description="file of users and password hashes that answer challenges to our own requests; empty: none"
    )

    @model_validator(mode="after")
    def _tls_is_complete(self) -> SipSettings:
        if self.tls_port and not (self.tls_certificate and self.tls_key):
            missing = "tls_key" if self.tls_certificate else "tls_certificate"
            raise ValueError(f"tls_port = {self.tls_port} needs {missing}: give a PEM file, or set tls_port = 0")
        if self.tls_port == self.port:
            raise ValueError(f"tls_port = {self.tls_port} is the port of TCP as well; give TLS one of its own")
        if self.tls_client_certificate != "none" and not self.tls_client_ca:
            raise ValueError(
                f"tls_client_certificate = {self.tls_client_certificate!r} needs tls_client_ca: give the PEM file of"
                " the authorities that clients' certificates are signed by"
            )
        return self


class MediaSettings(Table):
    """The pool of RTP writers and what they may use."""

    host: IpAddress = Field("0.0.0.0", description="address the RTP and RTCP sockets are bound to")  # noqa: S104
    advertised_host: OptionalIpAddress = Field(
        "", description="address of the writers in SDP; empty: sip.advertised_host, else the address that was called"
    )
    first_port: int = Field(20000, ge=1024, le=65534, description="lowest RTP port; even")
    last_port: int = Field(29999, ge=1025, le=65535, description="highest port that may be bound")
    writers: int = Field(2, ge=1, le=64, description="RTP writer processes")
    max_streams: int = Field(
        1000, ge=2, le=60000, description="RTP streams of the whole pool; a two-party session needs two"
    )
    source: Literal["sockets", "ring"] = Field(
        "sockets", description="how packets are read; ring needs CAP_NET_RAW, and without it sockets are used"
    )
    ring_mb: int = Field(
        64, ge=1, le=4096, description="memory of each writer's packet ring, in MB; 1 MB holds 2,730 packets"
    )
    sync_interval_ms: float = Field(
        500.0,
        ge=50,
        le=1000,
        description="how often a writer reads what waits in the kernel and syncs it; a power loss costs at most this",
    )
    report_interval_s: float = Field(
        5.0, ge=0, le=600, description="shortest time between RTCP receiver reports on a stream; 0 sends none"
    )
    port_cooldown_s: float = Field(5.0, ge=0, le=600, description="time before a used port serves another session")
    min_free_mb: int = Field(
        512, ge=0, description="free space of the capture disk, in MB, below which new sessions get 503"
    )

    @model_validator(mode="after")
    def _range_fits(self) -> MediaSettings:
        if self.first_port % 2:
            raise ValueError(f"first_port = {self.first_port} must be even: RTP uses even ports, RTCP the next odd one")
        if self.last_port - self.first_port + 1 < 2 * self.max_streams:
            raise ValueError(
                f"ports {self.first_port}-{self.last_port} hold fewer than max_streams = {self.max_streams} pairs;"
                " widen the range or lower max_streams"
            )
        return self


class DatabaseSettings(Table):
    """The PostgreSQL catalog."""

    dsn: str = Field(
        "",
        repr=False,
        description="postgresql://... of an existing server; empty: an embedded server under the state directory",
    )
    pool_size: int = Field(8, ge=2, le=100, description="connections of the frontend")

    @field_validator("dsn")
    @classmethod
    def _dsn_is_a_uri(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must be postgresql://user@host/name, or empty for an embedded server")
        return value


class CheckpointSettings(Table):
    """What is kept of live sessions, so that another process can go on with them."""

    key_file: AbsolutePath | None = Field(
        None,
        description="file of the keys that seal checkpoints; hosts that take over from each other need the same one",
    )


class AccessSettings(Table):
    """Who may use the SIP ports, how often, and with which proof."""

    allow: list[NetworkText] = Field(
        list(EVERYWHERE),
        min_length=1,
        description="networks that may send SIP by UDP and TCP; the kernel drops all others",
    )
    allow_tls: list[NetworkText] = Field(
        list(EVERYWHERE), min_length=1, description="networks that may send SIP by TLS"
    )
    tls_identities: list[str] = Field(
        [], description="names of which a client's certificate must bear one, with * for anything; empty: any name"
    )
    requests_per_s: float = Field(
        500.0, ge=0, le=1e6, description="requests of one source per second, outside of its sessions; 0: no limit"
    )
    burst: int = Field(
        1000, ge=1, le=1_000_000, description="requests of one source at once; as many more get 503, then nothing"
    )
    total_requests_per_s: float = Field(
        1000.0, ge=0, le=1e6, description="requests of all sources per second, outside of sessions; 0: no limit"
    )
    max_sessions: int = Field(0, ge=0, description="sessions at the same time; 0: as many as media.max_streams allows")
    max_sessions_per_source: int = Field(0, ge=0, description="sessions of one client's address; 0: no limit")
    digest_users: OptionalFile = Field(
        "", description="file of users and password hashes; empty: nobody is asked for a password"
    )
    digest_realm: str = Field("tandem", min_length=1, max_length=64, description="realm that users are asked for")
    digest_methods: list[Literal["INVITE", "OPTIONS"]] = Field(
        ["INVITE"], description="requests outside of sessions that need a password"
    )

    @field_validator("digest_realm")
    @classmethod
    def _realm_is_simple(cls, value: str) -> str:
        if not value.isprintable() or ":" in value or '"' in value or not value.isascii():
            raise ValueError("must be printable ASCII without ':' and '\"'")
        return value


class ProfileSettings(Table):
    """How different kinds of recording clients are treated."""

    directory: OptionalFile = Field(
        "", description="directory of the site's own profiles, tried before the shipped ones; empty: none"
    )


class TraceSettings(Table):
    """The SIP messages of each recording, for `recorder-admin recordings trace`."""

    enabled: bool = Field(True, description="keep every SIP message of a session in the catalog, secrets masked")


class MetadataSettings(Table):
    """What is kept of SIPREC metadata (RFC 7865 section 10: not more than is needed)."""

    keep_raw: bool = Field(
        True, description="keep each metadata document as it came; else only its digest, also in SIP traces"
    )


class HttpSettings(Table):
    """Health and metrics."""

    host: IpAddress = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="TCP port; 0 switches the HTTP interface off")


class RecordingSettings(Table):
    """The finished recordings."""

    root: AbsolutePath | None = Field(None, description="directory; default: recordings/ under the state directory")
    shared: bool = Field(
        True,
        description="every host of the site sees root and archives at the same path; false: they are this host's own",
    )
    archives: dict[StoreName, AbsolutePath] = Field(
        {}, description="further directories by name, for `recorder-admin storage rebalance`"
    )
    format: Literal["g711", "pcm16", "flac", "opus"] = Field(
        "g711", description="g711 keeps the received bytes in a mu-law or A-law stereo WAV"
    )
    layout: str = Field(
        DEFAULT_TEMPLATE, description="template of folders and names, such as {year}/{month}/{day}/{identifier}"
    )
    store: Literal["local", "s3"] = Field("local", description="where finished files are kept: here, or in [s3]")
    encrypt_to: list[OptionalFile] = Field(
        [], description="PEM files of certificates or X25519 public keys that audio is encrypted to; empty: in clear"
    )

    @field_validator("layout")
    @classmethod
    def _layout_is_usable(cls, value: str) -> str:
        Layout(value)
        return value


class S3Settings(Table):
    """The S3-compatible object store of finished files, with recordings.store = "s3"."""

    bucket: str = Field("", description="name of the bucket")
    endpoint: str = Field("", pattern=r"^(https?://.+)?$", description="https://host:port; empty: Amazon S3")
    region: str = Field("us-east-1", min_length=1, description="region of the bucket")
    prefix: str = Field("", description="folder inside the bucket; empty: its top")
    access_key_id: str = Field("", description="access key; empty: AWS_* variables or the machine's role")
    secret_access_key: str = Field(
        "", repr=False, description="its secret; better given as RECORDER_S3_SECRET_ACCESS_KEY than in a file"
    )
    part_mb: int = Field(16, ge=5, le=1024, description="MiB of a part of a multipart upload")
    timeout_s: float = Field(30.0, gt=0, le=600, description="time of one request with its retries")
    lock: Literal["none", "governance", "compliance"] = Field(
        "none", description="object lock of stored files; the bucket must have been made with it"
    )
    lock_days: int = Field(
        0, ge=0, le=36500, description="days for which a stored file is locked; 0: the bucket's own rule"
    )

    @model_validator(mode="after")
    def _lock_is_whole(self) -> S3Settings:
        if self.lock_days and self.lock == "none":
            raise ValueError(f"lock_days = {self.lock_days} needs lock = 'governance' or 'compliance'")
        return self


class CopySettings(Table):
    """Recordings of one call under different record identifiers (docs/copies.md)."""

    keys: list[Literal["call", "connection", "identifier-prefix", "session"]] = Field(
        ["call", "connection", "identifier-prefix", "session"],
        description="call data that make recordings candidates, the most telling first; empty: nothing is paired",
    )
    policy: Literal["keep", "master", "best"] = Field(
        "keep",
        description="keep all copies beside the healed master; keep the master, and the copies for keep_days;"
        " or do not heal and keep the best copy, and the others for keep_days",
    )
    keep_days: int = Field(30, ge=0, le=36500, description="days that copies are kept for, counted from their healing")


class CuratorSettings(Table):
    """Background work: captures into recordings, and what follows."""

    processes: int = Field(1, ge=1, le=64, description="curator processes; each takes at most one core")


class ShutdownSettings(Table):
    """What SIGTERM waits for."""

    drain_limit_s: float = Field(30.0, ge=0, le=86400, description="time running sessions get to end by themselves")
    finalise_limit_s: float = Field(30.0, ge=0, le=86400, description="time the curator gets to finish ended sessions")


class LogSettings(Table):
    """Logs go to standard error."""

    format: Literal["console", "json"] = Field("console", description="console for people, json for collectors")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level that is written")


class Settings(Table):
    """All settings of one node."""

    state_dir: AbsolutePath = Field(
        default_factory=default_state_dir, description="everything the recorder writes lives under this directory"
    )
    node: NodeName = Field(
        default_factory=socket.gethostname, description="name of this host in the catalog; unique per site"
    )
    sip: SipSettings = SipSettings()
    access: AccessSettings = AccessSettings()
    profiles: ProfileSettings = ProfileSettings()
    trace: TraceSettings = TraceSettings()
    metadata: MetadataSettings = MetadataSettings()
    media: MediaSettings = MediaSettings()
    database: DatabaseSettings = DatabaseSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    ha: HaSettings = HaSettings()
    http: HttpSettings = HttpSettings()
    recordings: RecordingSettings = RecordingSettings()
    s3: S3Settings = S3Settings()
    curator: CuratorSettings = CuratorSettings()
    copies: CopySettings = CopySettings()
    retention: RetentionSettings = RetentionSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _one_family(self) -> Settings:
        sip, media = ipaddress.ip_address(self.sip.host), ipaddress.ip_address(self.media.host)
        if sip.version != media.version:
            raise ValueError(
                f"sip.host = {sip} and media.host = {media} are of different IP versions: a client of one would be told"
                " to send its media to the other"
            )
        return self

    @model_validator(mode="after")
    def _a_site_has_what_it_needs(self) -> Settings:
        if self.ha.listen and not self.database.dsn:
            raise ValueError("ha.listen needs database.dsn: the hosts of a site share one PostgreSQL")
        if self.ha.listen and not self.checkpoints.key_file:
            raise ValueError(
                "ha.listen needs checkpoints.key_file: the hosts of a site read each other's dialogs with the same key"
            )
        if self.ha.listen and not self.media.advertised_host:
            raise ValueError(
                "ha.listen needs media.advertised_host: media go to the address of their host, not to one that moves"
            )
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Settings:
        for key, port in (("sip.port", self.sip.port), ("sip.tls_port", self.sip.tls_port)):
            if self.media.first_port <= port <= self.media.last_port:
                raise ValueError(f"{key} = {port} lies inside the RTP range; move one of them")
        return self

    @model_validator(mode="after")
    def _bucket_is_named(self) -> Settings:
        if self.recordings.store == "s3" and not self.s3.bucket:
            raise ValueError("recordings.store = 's3' needs s3.bucket: name the bucket")
        return self

    @model_validator(mode="after")
    def _identities_are_shown(self) -> Settings:
        if self.access.tls_identities and self.sip.tls_client_certificate != "required":
            raise ValueError(
                f"access.tls_identities = {self.access.tls_identities!r} needs sip.tls_client_certificate ="
                " 'required': without a certificate there is no name"
            )
        return self
