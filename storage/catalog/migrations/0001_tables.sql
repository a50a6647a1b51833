-- Tables of the catalog. Text columns hold what came from the network, escaped by storage.catalog.text and bounded to
-- 512 characters where they are indexed, so that no input can exceed a b-tree entry.

-- Who may write. The epoch rises with every acquisition; each frontend write names the epoch it believes in.
CREATE TABLE leases (
    name text COLLATE "C" CONSTRAINT leases_pkey PRIMARY KEY,
    holder text NOT NULL,
    epoch bigint NOT NULL CONSTRAINT leases_epoch_positive CHECK (epoch > 0),
    acquired_at timestamptz NOT NULL DEFAULT now()
);

-- One row for each record identifier; all sessions that bear it are its segments.
CREATE TABLE recordings (
    id uuid CONSTRAINT recordings_pkey PRIMARY KEY,
    record_identifier text COLLATE "C" NOT NULL,
    door text NOT NULL CONSTRAINT recordings_door_known CHECK (door IN ('msr', 'siprec', 'sip')),
    state text NOT NULL CONSTRAINT recordings_state_known
        CHECK (state IN ('recording', 'finalising', 'complete', 'interrupted', 'no-media', 'failed')),
    call_uuid text COLLATE "C",
    conn_id text COLLATE "C",
    ani text COLLATE "C",
    dnis text COLLATE "C",
    dn text COLLATE "C",
    other_dn text COLLATE "C",
    record_dn text COLLATE "C",
    agent_id text COLLATE "C",
    sips_app_name text COLLATE "C",
    tenant text COLLATE "C",
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    duration_s double precision CONSTRAINT recordings_duration_not_negative CHECK (duration_s >= 0),
    parameters jsonb NOT NULL,        -- [[name, value], ...] of the first session, in the order received
    warnings jsonb NOT NULL,          -- [text, ...] from the doors
    render_warnings jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    finalised_at timestamptz,
    CONSTRAINT recordings_record_identifier_key UNIQUE (record_identifier)
);
CREATE INDEX recordings_started_idx ON recordings (started_at DESC, id DESC);
CREATE INDEX recordings_call_uuid_idx ON recordings (call_uuid, started_at DESC) WHERE call_uuid IS NOT NULL;
CREATE INDEX recordings_dn_idx ON recordings (dn, started_at DESC) WHERE dn IS NOT NULL;
CREATE INDEX recordings_other_dn_idx ON recordings (other_dn, started_at DESC) WHERE other_dn IS NOT NULL;
CREATE INDEX recordings_ani_idx ON recordings (ani, started_at DESC) WHERE ani IS NOT NULL;
CREATE INDEX recordings_dnis_idx ON recordings (dnis, started_at DESC) WHERE dnis IS NOT NULL;
-- The rare states are those that people and curators look for.
CREATE INDEX recordings_state_idx ON recordings (state, started_at DESC) WHERE state <> 'complete';

-- One recording session: one dialog, one capture. The id is the session's id in every message and file name.
CREATE TABLE segments (
    id uuid CONSTRAINT segments_pkey PRIMARY KEY,
    recording_id uuid NOT NULL CONSTRAINT segments_recording_fkey REFERENCES recordings (id),
    ordinal integer NOT NULL CONSTRAINT segments_ordinal_positive CHECK (ordinal > 0),
    door text NOT NULL CONSTRAINT segments_door_known CHECK (door IN ('msr', 'siprec', 'sip')),
    state text NOT NULL CONSTRAINT segments_state_known CHECK (state IN ('open', 'closed', 'interrupted', 'finalised')),
    interrupted boolean NOT NULL DEFAULT false,   -- survives finalising
    epoch bigint NOT NULL,
    writer text NOT NULL,
    host text NOT NULL,
    capture_path text NOT NULL,
    earlier_captures jsonb NOT NULL DEFAULT '[]', -- [{writer, host, path}, ...] when the session moved
    sip_call_id text COLLATE "C" NOT NULL,
    local_tag text NOT NULL,
    remote_tag text NOT NULL,
    dialog_id text COLLATE "C" NOT NULL,
    parameters jsonb NOT NULL,
    descriptor jsonb NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    end_cause text,
    CONSTRAINT segments_ordinal_key UNIQUE (recording_id, ordinal),
    CONSTRAINT segments_closed_has_time CHECK ((state = 'open') = (closed_at IS NULL))
);
CREATE INDEX segments_open_idx ON segments (opened_at) WHERE state = 'open';
CREATE INDEX segments_sip_call_id_idx ON segments (sip_call_id);

-- Streams and dialogs have no foreign key: only functions write them, together with or after a look at their segment,
-- and checking it again took a fifth of the time before each 200.
CREATE TABLE streams (
    segment_id uuid NOT NULL,
    m_line integer NOT NULL CONSTRAINT streams_m_line_not_negative CHECK (m_line >= 0),
    party integer NOT NULL CONSTRAINT streams_party_not_negative CHECK (party >= 0),
    label text NOT NULL,
    media text NOT NULL,
    participant jsonb,
    payload_types jsonb,
    descriptor jsonb,
    quality jsonb,                    -- after rendering
    CONSTRAINT streams_pkey PRIMARY KEY (segment_id, m_line)
);

-- What a party's timeline holds instead of received audio.
CREATE TABLE gaps (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT gaps_pkey PRIMARY KEY,
    recording_id uuid NOT NULL CONSTRAINT gaps_recording_fkey REFERENCES recordings (id),
    segment_id uuid CONSTRAINT gaps_segment_fkey REFERENCES segments (id),
    party integer NOT NULL,
    start_s double precision NOT NULL CONSTRAINT gaps_start_not_negative CHECK (start_s >= 0),
    duration_s double precision NOT NULL CONSTRAINT gaps_duration_positive CHECK (duration_s > 0),
    kind text NOT NULL CONSTRAINT gaps_kind_known CHECK (kind IN ('lost', 'silent', 'paused')),
    cause text NOT NULL
);
CREATE INDEX gaps_recording_idx ON gaps (recording_id, start_s);

-- A row claims bytes that are synced under their final name; nothing else may be written here.
CREATE TABLE files (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT files_pkey PRIMARY KEY,
    recording_id uuid NOT NULL CONSTRAINT files_recording_fkey REFERENCES recordings (id),
    kind text NOT NULL,
    store text NOT NULL,
    path text COLLATE "C" NOT NULL,
    format text NOT NULL,
    sample_rate integer NOT NULL,
    channels integer NOT NULL,
    frames bigint NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 bytea NOT NULL CONSTRAINT files_sha256_length CHECK (octet_length(sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT files_path_key UNIQUE (store, path)
);
CREATE INDEX files_recording_idx ON files (recording_id);

-- What a takeover restores. Rewritten often: room on the page keeps updates out of the indexes.
CREATE TABLE dialogs (
    dialog_id text COLLATE "C" CONSTRAINT dialogs_pkey PRIMARY KEY,
    lease text NOT NULL,
    epoch bigint NOT NULL,
    writer text NOT NULL,
    segment_id uuid NOT NULL,
    snapshot bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
) WITH (fillfactor = 60, toast_tuple_target = 8160);
-- Snapshots stay in the row, uncompressed: each 200 waits for this write.
ALTER TABLE dialogs ALTER COLUMN snapshot SET STORAGE EXTERNAL;

CREATE TABLE metadata_revisions (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT metadata_revisions_pkey PRIMARY KEY,
    segment_id uuid NOT NULL CONSTRAINT metadata_revisions_segment_fkey REFERENCES segments (id),
    received_at timestamptz NOT NULL,
    content_type text NOT NULL,
    body bytea,                       -- null where policy forbids to keep it
    sha256 bytea NOT NULL CONSTRAINT metadata_revisions_sha256_length CHECK (octet_length(sha256) = 32),
    -- A repeated write (unknown outcome) is the same revision.
    CONSTRAINT metadata_revisions_key UNIQUE (segment_id, received_at, sha256)
);

CREATE TABLE sip_messages (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT sip_messages_pkey PRIMARY KEY,
    segment_id uuid NOT NULL CONSTRAINT sip_messages_segment_fkey REFERENCES segments (id),
    at timestamptz NOT NULL,
    inbound boolean NOT NULL,
    flow text NOT NULL,
    message bytea NOT NULL
);
CREATE INDEX sip_messages_segment_idx ON sip_messages (segment_id, at);

-- Background work. A finished job is deleted; a dead one waits for a human.
CREATE TABLE jobs (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT jobs_pkey PRIMARY KEY,
    kind text NOT NULL,
    dedupe_key text COLLATE "C" NOT NULL,         -- kind:key; unique among unfinished jobs
    payload jsonb NOT NULL,
    state text NOT NULL DEFAULT 'queued' CONSTRAINT jobs_state_known CHECK (state IN ('queued', 'running', 'dead')),
    again boolean NOT NULL DEFAULT false,         -- asked for while running: run once more afterwards
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 8,
    run_after timestamptz NOT NULL DEFAULT now(),
    claims bigint NOT NULL DEFAULT 0,             -- fencing number of the present claim
    locked_by text,
    locked_until timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT jobs_running_is_locked CHECK ((state = 'running') = (locked_by IS NOT NULL AND locked_until IS NOT NULL))
);
-- Without the kind as a column of its own: an index on it lures the planner into reading the whole queue at each claim.
CREATE UNIQUE INDEX jobs_unfinished_key ON jobs (dedupe_key) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_queued_idx ON jobs (run_after, id) WHERE state = 'queued';
CREATE INDEX jobs_dead_idx ON jobs (dedupe_key) WHERE state = 'dead';
CREATE INDEX jobs_running_idx ON jobs (locked_until) WHERE state = 'running';
