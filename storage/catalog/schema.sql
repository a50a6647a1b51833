-- The catalog's schema as it stands, each thing once: for reading, and for a database that is created by hand (it then has
-- to be marked as migrated). The numbered migrations are what is applied; a test proves that both lead to the same schema.

-- Functions stand with what they are about, some before what they call.
SET check_function_bodies = off;


-- Tables of the catalog. Text columns hold what came from the network, escaped by storage.catalog.text and bounded to
-- 512 characters where they are indexed, so that no input can exceed a b-tree entry.

-- Who may write. The epoch rises with every acquisition; each frontend write names the epoch it believes in.
CREATE TABLE leases (
    name text COLLATE "C" CONSTRAINT leases_pkey PRIMARY KEY,
    holder text NOT NULL,
    epoch bigint NOT NULL CONSTRAINT leases_epoch_positive CHECK (epoch > 0),
    acquired_at timestamptz NOT NULL DEFAULT now(),
    node text NOT NULL DEFAULT '',        -- the holder's host; empty when it gave the lease back
    -- Whoever wants the lease watches this on a clock of his own; no time stamp says when it ends.
    renewals bigint NOT NULL DEFAULT 0
);

-- One row for each record identifier; all sessions that bear it are its segments.
CREATE TABLE recordings (
    id uuid CONSTRAINT recordings_pkey PRIMARY KEY,
    record_identifier text COLLATE "C" NOT NULL,
    door text NOT NULL CONSTRAINT recordings_door_known CHECK (door IN ('msr', 'siprec', 'sip')),
    state text NOT NULL CONSTRAINT recordings_state_known
        CHECK (state IN (
            'recording', 'finalising', 'complete', 'interrupted', 'no-media', 'failed', 'deleting', 'deleted')),
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
    lost_s double precision,          -- over all parties; null until rendered
    sealed_at timestamptz,            -- takes no further session: its identifier opens a new recording
    captures text NOT NULL DEFAULT 'kept'
        CONSTRAINT recordings_captures_known CHECK (captures IN ('kept', 'erasing', 'erased')),
    -- What it is to people: the recording of its call, one of several copies of it, the master healed from them, or a
    -- master whose copies were separated again.
    role text NOT NULL DEFAULT 'recording'
        CONSTRAINT recordings_role_known CHECK (role IN ('recording', 'copy', 'master', 'withdrawn')),
    -- What stands for a copy: a healed master, or the best copy.
    master_id uuid CONSTRAINT recordings_master_fkey REFERENCES recordings (id),
    -- True until a curator has looked for copies by the call data as they are.
    pairing_due boolean NOT NULL DEFAULT true,
    CONSTRAINT recordings_erased_is_sealed CHECK (
        sealed_at IS NOT NULL OR (captures = 'kept' AND state NOT IN ('deleting', 'deleted'))),
    CONSTRAINT recordings_copy_has_master CHECK ((role = 'copy') = (master_id IS NOT NULL))
);

CREATE INDEX recordings_started_idx ON recordings (started_at DESC, id DESC);

CREATE INDEX recordings_call_uuid_idx ON recordings (call_uuid, started_at DESC) WHERE call_uuid IS NOT NULL;

-- The rare states are those that people and curators look for.
CREATE INDEX recordings_state_idx ON recordings (state, started_at DESC) WHERE state <> 'complete';

-- One recording session: one dialog, one capture. The id is the session's id in every message and file name.
CREATE TABLE segments (
    id uuid CONSTRAINT segments_pkey PRIMARY KEY,
    recording_id uuid NOT NULL CONSTRAINT segments_recording_fkey REFERENCES recordings (id),
    ordinal integer NOT NULL CONSTRAINT segments_ordinal_positive CHECK (ordinal > 0),
    door text NOT NULL CONSTRAINT segments_door_known CHECK (door IN ('msr', 'siprec', 'sip')),
    state text NOT NULL CONSTRAINT segments_state_known
        CHECK (state IN ('open', 'closed', 'interrupted', 'finalised', 'deleted')),
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
    -- When the client says that it ended a session (Date of its BYE, RFC 7865 section 6.1.1). What it says of the
    -- beginning is with the parameters. Our own times stay those of our clock, which the audio is placed by.
    client_closed_at timestamptz,
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
    -- In the row, uncompressed: each 200 waits for this write.
    snapshot bytea STORAGE EXTERNAL NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    -- When the state was made: epoch of its maker, and its number there. 0 in a row of an older program: anything replaces
    -- it.
    made_epoch bigint NOT NULL DEFAULT 0,
    made_number bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 60, toast_tuple_target = 8160);

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
    claimed_at timestamptz,                       -- of the present or last claim
    CONSTRAINT jobs_running_is_locked CHECK ((state = 'running') = (locked_by IS NOT NULL AND locked_until IS NOT NULL))
);

-- Without the kind as a column of its own: an index on it lures the planner into reading the whole queue at each claim.
CREATE UNIQUE INDEX jobs_unfinished_key ON jobs (dedupe_key) WHERE state IN ('queued', 'running');

CREATE INDEX jobs_queued_idx ON jobs (run_after, id) WHERE state = 'queued';

CREATE INDEX jobs_dead_idx ON jobs (dedupe_key) WHERE state = 'dead';

CREATE INDEX jobs_running_idx ON jobs (locked_until) WHERE state = 'running';


-- The job queue. Functions carry a version in their name so that old and new programs run side by side.

-- Queue a job, or make sure that an unfinished one with the same key runs (again).
CREATE FUNCTION enqueue_job_v1(p_kind text, p_key text, p_payload jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO jobs AS j (kind, dedupe_key, payload) VALUES (p_kind, p_kind || ':' || p_key, p_payload)
    ON CONFLICT (dedupe_key) WHERE state IN ('queued', 'running') DO UPDATE
        -- A running job may have read its input already: it has to look once more.
        SET again = (j.state = 'running'),
            run_after = CASE WHEN j.state = 'queued' THEN least(j.run_after, now()) ELSE j.run_after END
    RETURNING j.id INTO v_id;
    PERFORM pg_notify('tandem_jobs', p_kind);
    RETURN v_id;
END $$;

-- Lock order is recording, then job, everywhere: a function that ends a job first locks what the job is about.
CREATE FUNCTION lock_subject_v1(p_id bigint) RETURNS void
LANGUAGE sql AS $$
    SELECT FROM recordings WHERE id = (
        SELECT (payload ->> 'recording_id')::uuid FROM jobs WHERE jobs.id = p_id AND kind = 'finalise') FOR UPDATE
$$;

-- Put a job on the dead letter list; a finalise job takes its recording to `failed`.
CREATE FUNCTION bury_job_v1(p_id bigint, p_error text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    UPDATE jobs SET state = 'dead', again = false, locked_by = NULL, locked_until = NULL, last_error = p_error
    WHERE id = p_id RETURNING * INTO v_job;
    IF v_job.kind = 'finalise' THEN
        UPDATE recordings SET state = 'failed'
        WHERE id = (v_job.payload ->> 'recording_id')::uuid AND state = 'finalising';
    END IF;
END $$;

-- Take the job that is due longest, or one whose worker has not beaten in time. Null when there is none.
-- Never by sorting: before its first analyze the planner takes a long queue for a short one.
CREATE FUNCTION claim_job_v1(p_worker text, p_kinds text[], p_lease interval) RETURNS SETOF jobs
LANGUAGE plpgsql SET enable_sort = off AS $$
DECLARE
    v_job jobs;
BEGIN
    -- What took its worker down (or was abandoned) once too often.
    FOR v_job IN
        SELECT * FROM jobs
        WHERE state = 'running' AND locked_until < now() AND attempts >= max_attempts AND kind = ANY (p_kinds)
    LOOP
        PERFORM lock_subject_v1(v_job.id);
        PERFORM FROM jobs WHERE id = v_job.id AND state = 'running' AND claims = v_job.claims FOR UPDATE SKIP LOCKED;
        IF FOUND THEN
            PERFORM bury_job_v1(v_job.id, format('abandoned by %s in attempt %s', v_job.locked_by, v_job.attempts));
        END IF;
    END LOOP;
    -- Two index scans rather than one OR; abandoned jobs first, they have waited longest.
    SELECT * INTO v_job FROM jobs
    WHERE state = 'running' AND locked_until < now() AND attempts < max_attempts AND kind = ANY (p_kinds)
    ORDER BY locked_until LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        SELECT * INTO v_job FROM jobs
        WHERE state = 'queued' AND run_after <= now() AND kind = ANY (p_kinds)
        ORDER BY run_after, id LIMIT 1 FOR UPDATE SKIP LOCKED;
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    UPDATE jobs SET state = 'running', again = false, attempts = attempts + 1, claims = claims + 1,
        locked_by = p_worker, locked_until = now() + p_lease, claimed_at = now()
    WHERE id = v_job.id RETURNING *;
END $$;

-- True while the claim is the caller's.
CREATE FUNCTION beat_job_v1(p_id bigint, p_worker text, p_claim bigint, p_lease interval) RETURNS boolean
LANGUAGE sql AS $$
    WITH beaten AS (
        UPDATE jobs SET locked_until = now() + p_lease
        WHERE id = p_id AND state = 'running' AND locked_by = p_worker AND claims = p_claim RETURNING 1
    ) SELECT EXISTS (SELECT FROM beaten)
$$;

-- Finish a job, or queue it once more if it was asked for meanwhile. False when another worker has it.
CREATE FUNCTION complete_job_v1(p_id bigint, p_worker text, p_claim bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    SELECT * INTO v_job FROM jobs
    WHERE id = p_id AND state = 'running' AND locked_by = p_worker AND claims = p_claim FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF v_job.again THEN
        UPDATE jobs SET state = 'queued', again = false, attempts = 0, run_after = now(), locked_by = NULL,
            locked_until = NULL
        WHERE id = p_id;
        PERFORM pg_notify('tandem_jobs', v_job.kind);
    ELSE
        DELETE FROM jobs WHERE id = p_id;
    END IF;
    RETURN true;
END $$;

-- Give a job back: 'retry' with back-off 2, 4, 8 ... seconds up to 15 minutes (spread by a quarter), 'dead', or 'lost'.
CREATE FUNCTION fail_job_v1(p_id bigint, p_worker text, p_claim bigint, p_error text, p_retry boolean)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    PERFORM lock_subject_v1(p_id);
    SELECT * INTO v_job FROM jobs
    WHERE id = p_id AND state = 'running' AND locked_by = p_worker AND claims = p_claim FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'lost';
    END IF;
    -- One that was asked for again meanwhile has new input: it starts afresh.
    IF NOT v_job.again AND (NOT p_retry OR v_job.attempts >= v_job.max_attempts) THEN
        PERFORM bury_job_v1(p_id, p_error);
        RETURN 'dead';
    END IF;
    UPDATE jobs SET state = 'queued', locked_by = NULL, locked_until = NULL, last_error = p_error,
        attempts = CASE WHEN v_job.again THEN 0 ELSE attempts END,
        run_after = now() + make_interval(secs => least(2 ^ least(v_job.attempts, 10), 900) * (0.75 + random() / 2))
    WHERE id = p_id;
    RETURN 'retry';
END $$;

-- Queue a dead job again with all its attempts. False when it is not dead.
CREATE FUNCTION retry_job_v1(p_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    PERFORM lock_subject_v1(p_id);
    DELETE FROM jobs WHERE id = p_id AND state = 'dead' RETURNING * INTO v_job;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF v_job.kind = 'finalise' THEN
        UPDATE recordings SET state = 'finalising'
        WHERE id = (v_job.payload ->> 'recording_id')::uuid AND state = 'failed';
    END IF;
    PERFORM enqueue_job_v1(v_job.kind, substr(v_job.dedupe_key, length(v_job.kind) + 2), v_job.payload);
    RETURN true;
END $$;


-- Writes of the signalling frontend, one function each: one round trip, one transaction, and no statement of a frozen
-- client can leave a lock behind.

-- Refuse writes of a holder that has been replaced. Shared with other writes, excluded by acquire_lease_v1: after an
-- acquisition no write of the former holder can still commit. (A row lock would do as well, but every write would then
-- dirty the one lease row.)
CREATE FUNCTION require_lease_v1(p_lease text, p_epoch bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('tandem:lease:' || p_lease, 0));
    IF NOT EXISTS (SELECT FROM leases WHERE name = p_lease AND epoch <= p_epoch) THEN
        RAISE EXCEPTION 'stale epoch' USING ERRCODE = 'TD001';
    END IF;
END $$;

CREATE FUNCTION acquire_lease_v1(p_lease text, p_holder text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_epoch bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tandem:lease:' || p_lease, 0));
    INSERT INTO leases AS l (name, holder, epoch) VALUES (p_lease, p_holder, 1)
    ON CONFLICT (name) DO UPDATE SET holder = p_holder, epoch = l.epoch + 1, acquired_at = now()
    RETURNING l.epoch INTO v_epoch;
    RETURN v_epoch;
END $$;

-- Insert or replace streams of a segment from [{index, party, label, media, participant, payload_types, descriptor}].
CREATE FUNCTION write_streams_v1(p_segment uuid, p_streams jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO streams (segment_id, m_line, party, label, media, participant, payload_types, descriptor)
    SELECT p_segment, s.index, s.party, s.label, s.media, s.participant, s.payload_types, s.descriptor
    FROM jsonb_to_recordset(p_streams) AS s (
        index integer, party integer, label text, media text, participant jsonb, payload_types jsonb, descriptor jsonb)
    ON CONFLICT (segment_id, m_line) DO UPDATE SET
        party = EXCLUDED.party, label = EXCLUDED.label, media = EXCLUDED.media, descriptor = EXCLUDED.descriptor,
        participant = coalesce(EXCLUDED.participant, streams.participant),
        payload_types = coalesce(EXCLUDED.payload_types, streams.payload_types);
END $$;

-- Everything that must be durable before the 200 to an INVITE. Repeating it with the same segment changes nothing. A
-- sealed recording is not continued.
CREATE FUNCTION open_segment_v1(
    p_lease text, p_epoch bigint, p_segment uuid, p_identifier text, p_door text,
    p_call_uuid text, p_conn_id text, p_ani text, p_dnis text, p_dn text, p_other_dn text, p_record_dn text,
    p_agent_id text, p_sips_app_name text, p_tenant text, p_parameters jsonb, p_warnings jsonb,
    p_opened_at timestamptz, p_writer text, p_host text, p_capture_path text, p_sip_call_id text, p_local_tag text,
    p_remote_tag text, p_dialog_id text, p_snapshot bytea, p_descriptor jsonb, p_streams jsonb,
    OUT recording_id uuid, OUT ordinal integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_recording uuid;
    v_new boolean;
    v_ordinal integer := 1;
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    -- The row lock of this statement orders the segments of one identifier. A continued recording keeps the facts of
    -- its first session; what was missing is filled in.
    INSERT INTO recordings AS r (id, record_identifier, door, state, call_uuid, conn_id, ani, dnis, dn, other_dn,
        record_dn, agent_id, sips_app_name, tenant, started_at, parameters, warnings)
    VALUES (gen_random_uuid(), p_identifier, p_door, 'recording', p_call_uuid, p_conn_id, p_ani, p_dnis, p_dn,
        p_other_dn, p_record_dn, p_agent_id, p_sips_app_name, p_tenant, p_opened_at, p_parameters, p_warnings)
    ON CONFLICT (record_identifier) WHERE sealed_at IS NULL DO UPDATE SET
        call_uuid = coalesce(r.call_uuid, EXCLUDED.call_uuid), conn_id = coalesce(r.conn_id, EXCLUDED.conn_id),
        ani = coalesce(r.ani, EXCLUDED.ani), dnis = coalesce(r.dnis, EXCLUDED.dnis),
        dn = coalesce(r.dn, EXCLUDED.dn), other_dn = coalesce(r.other_dn, EXCLUDED.other_dn),
        record_dn = coalesce(r.record_dn, EXCLUDED.record_dn), agent_id = coalesce(r.agent_id, EXCLUDED.agent_id),
        sips_app_name = coalesce(r.sips_app_name, EXCLUDED.sips_app_name), tenant = coalesce(r.tenant, EXCLUDED.tenant)
    RETURNING r.id, r.xmax = 0 INTO v_recording, v_new;
    IF NOT v_new THEN
        SELECT s.recording_id, s.ordinal INTO recording_id, ordinal FROM segments s WHERE s.id = p_segment;
        IF FOUND THEN
            RETURN;
        END IF;
        SELECT coalesce(max(s.ordinal), 0) + 1 INTO v_ordinal FROM segments s WHERE s.recording_id = v_recording;
        UPDATE recordings SET state = 'recording', ended_at = NULL, warnings = warnings || p_warnings
        WHERE id = v_recording;
    END IF;
    INSERT INTO segments (id, recording_id, ordinal, door, state, epoch, writer, host, capture_path, sip_call_id,
        local_tag, remote_tag, dialog_id, parameters, descriptor, opened_at)
    VALUES (p_segment, v_recording, v_ordinal, p_door, 'open', p_epoch, p_writer, p_host, p_capture_path, p_sip_call_id,
        p_local_tag, p_remote_tag, p_dialog_id, p_parameters, p_descriptor, p_opened_at);
    PERFORM write_streams_v1(p_segment, p_streams);
    INSERT INTO dialogs (dialog_id, lease, epoch, writer, segment_id, snapshot)
    VALUES (p_dialog_id, p_lease, p_epoch, p_writer, p_segment, p_snapshot)
    ON CONFLICT (dialog_id) DO UPDATE SET lease = EXCLUDED.lease, epoch = EXCLUDED.epoch, writer = EXCLUDED.writer,
        segment_id = EXCLUDED.segment_id, snapshot = EXCLUDED.snapshot, updated_at = now(), ended_at = NULL;
    recording_id := v_recording;
    ordinal := v_ordinal;
END $$;

-- Streams as they are from now on, facts that came late. A stream that has gone keeps its row: it was recorded.
CREATE FUNCTION change_streams_v1(
    p_lease text, p_epoch bigint, p_segment uuid, p_streams jsonb,
    p_call_uuid text, p_conn_id text, p_ani text, p_dnis text, p_dn text, p_other_dn text, p_record_dn text,
    p_agent_id text, p_sips_app_name text, p_tenant text, p_warnings jsonb
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    UPDATE recordings r SET
        call_uuid = coalesce(r.call_uuid, p_call_uuid), conn_id = coalesce(r.conn_id, p_conn_id),
        ani = coalesce(r.ani, p_ani), dnis = coalesce(r.dnis, p_dnis), dn = coalesce(r.dn, p_dn),
        other_dn = coalesce(r.other_dn, p_other_dn), record_dn = coalesce(r.record_dn, p_record_dn),
        agent_id = coalesce(r.agent_id, p_agent_id), sips_app_name = coalesce(r.sips_app_name, p_sips_app_name),
        tenant = coalesce(r.tenant, p_tenant), warnings = r.warnings || p_warnings
    WHERE r.id = (SELECT recording_id FROM segments WHERE id = p_segment);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM write_streams_v1(p_segment, p_streams);
    RETURN true;
END $$;

-- The dialog as it will be once the message that promises it has left; the segment follows its writer. False when
-- the segment is unknown. A state that comes behind a later one, or behind the end, says no more than which captures
-- there are.
CREATE FUNCTION save_dialog_v2(
    p_lease text, p_epoch bigint, p_dialog_id text, p_segment uuid, p_snapshot bytea, p_made_epoch bigint,
    p_made_number bigint, p_writer text, p_host text, p_capture_path text, p_streams jsonb
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    IF NOT EXISTS (SELECT FROM segments WHERE id = p_segment) THEN
        RETURN false;
    END IF;
    INSERT INTO dialogs AS d (dialog_id, lease, epoch, writer, segment_id, snapshot, made_epoch, made_number)
    VALUES (p_dialog_id, p_lease, p_epoch, p_writer, p_segment, p_snapshot, p_made_epoch, p_made_number)
    ON CONFLICT (dialog_id) DO UPDATE SET lease = EXCLUDED.lease, epoch = EXCLUDED.epoch, writer = EXCLUDED.writer,
        segment_id = EXCLUDED.segment_id, snapshot = EXCLUDED.snapshot, updated_at = now(),
        made_epoch = EXCLUDED.made_epoch, made_number = EXCLUDED.made_number
    WHERE d.ended_at IS NULL
        AND (d.made_epoch, d.made_number) <= (EXCLUDED.made_epoch, EXCLUDED.made_number);
    IF NOT FOUND THEN
        UPDATE segments SET earlier_captures = earlier_captures
            || jsonb_build_object('writer', p_writer, 'host', coalesce(p_host, host), 'path', p_capture_path)
        WHERE id = p_segment AND state = 'open' AND p_capture_path IS NOT NULL
            AND (capture_path <> p_capture_path OR host <> coalesce(p_host, host))
            AND NOT earlier_captures @> jsonb_build_array(
                jsonb_build_object('host', coalesce(p_host, host), 'path', p_capture_path));
        RETURN true;
    END IF;
    IF p_streams IS NOT NULL THEN
        PERFORM write_streams_v1(p_segment, p_streams);
    END IF;
    -- A capture that stays behind on another writer is still part of the segment.
    UPDATE segments SET
        earlier_captures = CASE WHEN capture_path <> coalesce(p_capture_path, capture_path)
                                  OR host <> coalesce(p_host, host)
            THEN earlier_captures || jsonb_build_object('writer', writer, 'host', host, 'path', capture_path)
            ELSE earlier_captures END,
        writer = p_writer, epoch = p_epoch, host = coalesce(p_host, host),
        capture_path = coalesce(p_capture_path, capture_path)
    WHERE id = p_segment AND state = 'open'
        AND (writer <> p_writer OR host <> coalesce(p_host, host)
            OR capture_path <> coalesce(p_capture_path, capture_path));
    RETURN true;
END $$;

-- For hosts with an older program.
CREATE FUNCTION save_dialog_v1(
    p_lease text, p_epoch bigint, p_dialog_id text, p_segment uuid, p_snapshot bytea, p_writer text, p_host text,
    p_capture_path text
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    IF NOT EXISTS (SELECT FROM segments WHERE id = p_segment) THEN
        RETURN false;
    END IF;
    INSERT INTO dialogs (dialog_id, lease, epoch, writer, segment_id, snapshot)
    VALUES (p_dialog_id, p_lease, p_epoch, p_writer, p_segment, p_snapshot)
    ON CONFLICT (dialog_id) DO UPDATE SET lease = EXCLUDED.lease, epoch = EXCLUDED.epoch, writer = EXCLUDED.writer,
        segment_id = EXCLUDED.segment_id, snapshot = EXCLUDED.snapshot, updated_at = now(),
        made_epoch = 0, made_number = 0;
    -- A capture that stays behind on another writer is still part of the segment.
    UPDATE segments SET
        earlier_captures = CASE WHEN capture_path <> coalesce(p_capture_path, capture_path)
                                  OR host <> coalesce(p_host, host)
            THEN earlier_captures || jsonb_build_object('writer', writer, 'host', host, 'path', capture_path)
            ELSE earlier_captures END,
        writer = p_writer, epoch = p_epoch, host = coalesce(p_host, host),
        capture_path = coalesce(p_capture_path, capture_path)
    WHERE id = p_segment AND state = 'open'
        AND (writer <> p_writer OR host <> coalesce(p_host, host)
            OR capture_path <> coalesce(p_capture_path, capture_path));
    RETURN true;
END $$;

CREATE FUNCTION end_dialog_v1(p_lease text, p_epoch bigint, p_dialog_id text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    UPDATE dialogs SET ended_at = now(), updated_at = now() WHERE dialog_id = p_dialog_id AND ended_at IS NULL;
END $$;

CREATE FUNCTION forget_dialogs_v1(p_lease text, p_epoch bigint, p_before timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    DELETE FROM dialogs WHERE ended_at < p_before;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- What comes late from a journal is not kept for a session that is deleted.
CREATE FUNCTION add_metadata_v1(
    p_lease text, p_epoch bigint, p_segment uuid, p_received_at timestamptz, p_content_type text, p_body bytea,
    p_sha256 bytea
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    INSERT INTO metadata_revisions (segment_id, received_at, content_type, body, sha256)
    SELECT p_segment, p_received_at, p_content_type, p_body, p_sha256
    WHERE NOT EXISTS (SELECT FROM segments WHERE id = p_segment AND state = 'deleted')
    ON CONFLICT ON CONSTRAINT metadata_revisions_key DO NOTHING;
END $$;


-- Writes of the curator.

-- Queue the finalise job of a recording (again). False while a segment is open, null for an unknown recording.
CREATE FUNCTION enqueue_finalise_v1(p_recording uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM segments WHERE recording_id = p_recording AND state = 'open') THEN
        RETURN false;
    END IF;
    UPDATE recordings SET state = 'finalising' WHERE id = p_recording;
    PERFORM enqueue_job_v1('finalise', p_recording::text, jsonb_build_object('recording_id', p_recording));
    RETURN true;
END $$;

-- Replace the result of a recording; what is deleted stays deleted. `refused` is null on success, else the name of the
-- race that was lost; `superseded` lists [[store, path], ...] that the catalog no longer claims.
CREATE FUNCTION publish_v1(
    p_recording uuid, p_segments uuid[], p_state text, p_started_at timestamptz, p_duration_s double precision,
    p_files jsonb, p_gaps jsonb, p_streams jsonb, p_warnings jsonb,
    p_job bigint, p_worker text, p_claim bigint,
    OUT refused text, OUT superseded jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_segments uuid[];
    v_count integer;
BEGIN
    superseded := '[]';
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    IF NOT FOUND THEN
        refused := 'unknown-recording';
        RETURN;
    END IF;
    IF p_job IS NOT NULL AND NOT EXISTS (
        SELECT FROM jobs WHERE id = p_job AND state = 'running' AND locked_by = p_worker AND claims = p_claim) THEN
        refused := 'job-lost';
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM recordings WHERE id = p_recording AND state IN ('deleting', 'deleted')) THEN
        refused := 'deleted';
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM segments WHERE recording_id = p_recording AND state = 'open') THEN
        refused := 'reopened';
        RETURN;
    END IF;
    SELECT array_agg(id ORDER BY id) INTO v_segments FROM segments WHERE recording_id = p_recording;
    IF v_segments IS DISTINCT FROM (SELECT array_agg(s ORDER BY s) FROM unnest(p_segments) AS s) THEN
        refused := 'segments-changed';
        RETURN;
    END IF;
    WITH gone AS (
        DELETE FROM files f WHERE f.recording_id = p_recording AND NOT EXISTS (
            SELECT FROM jsonb_to_recordset(p_files) AS n (store text, path text)
            WHERE n.store = f.store AND n.path = f.path)
        RETURNING f.store, f.path
    ) SELECT coalesce(jsonb_agg(jsonb_build_array(store, path) ORDER BY store, path), '[]') INTO superseded FROM gone;
    DELETE FROM gaps WHERE recording_id = p_recording;
    INSERT INTO files AS f (recording_id, kind, store, path, format, sample_rate, channels, frames, size_bytes, sha256)
    SELECT p_recording, n.kind, n.store, n.path, n.format, n.sample_rate, n.channels, n.frames, n.size_bytes,
        decode(n.sha256, 'hex')
    FROM jsonb_to_recordset(p_files) AS n (kind text, store text, path text, format text, sample_rate integer,
        channels integer, frames bigint, size_bytes bigint, sha256 text)
    ON CONFLICT ON CONSTRAINT files_path_key DO UPDATE SET kind = EXCLUDED.kind, format = EXCLUDED.format,
        sample_rate = EXCLUDED.sample_rate, channels = EXCLUDED.channels, frames = EXCLUDED.frames,
        size_bytes = EXCLUDED.size_bytes, sha256 = EXCLUDED.sha256
        WHERE f.recording_id = EXCLUDED.recording_id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count <> jsonb_array_length(p_files) THEN
        -- The layout rules such a collision out: fail rather than steal another recording's file.
        RAISE EXCEPTION 'another recording claims this path' USING ERRCODE = 'TD002';
    END IF;
    INSERT INTO gaps (recording_id, segment_id, party, start_s, duration_s, kind, cause)
    SELECT p_recording, n.segment_id, n.party, n.start_s, n.duration_s, n.kind, n.cause
    FROM jsonb_to_recordset(p_gaps) AS n (segment_id uuid, party integer, start_s double precision,
        duration_s double precision, kind text, cause text);
    UPDATE streams t SET quality = n.quality
    FROM jsonb_to_recordset(p_streams) AS n (segment_id uuid, index integer, quality jsonb)
    WHERE t.segment_id = n.segment_id AND t.m_line = n.index AND t.segment_id = ANY (p_segments);
    UPDATE segments SET state = 'finalised' WHERE recording_id = p_recording;
    UPDATE recordings SET state = p_state, started_at = p_started_at, duration_s = p_duration_s,
        render_warnings = p_warnings, finalised_at = now()
    WHERE id = p_recording;
    -- An earlier attempt that was given up is settled by this one.
    DELETE FROM jobs WHERE dedupe_key = 'finalise:' || p_recording AND state = 'dead';
    IF p_job IS NOT NULL THEN
        PERFORM complete_job_v1(p_job, p_worker, p_claim);
    END IF;
END $$;


-- The audit log: who did what to which recording, and why. Each entry's digest covers the one before it
-- (docs/integrity.md), so that a changed, removed or added entry shows.
CREATE TABLE audit_log (
    number bigint CONSTRAINT audit_log_pkey PRIMARY KEY,
    entry_id uuid NOT NULL CONSTRAINT audit_log_entry_key UNIQUE,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text COLLATE "C" NOT NULL
        CONSTRAINT audit_log_action_is_a_word CHECK (action ~ '^[a-z][a-z0-9.-]{0,63}$'),
    subject text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    details text NOT NULL,            -- JSON, as text: the very characters that were digested
    previous bytea NOT NULL CONSTRAINT audit_log_previous_length CHECK (octet_length(previous) = 32),
    digest bytea NOT NULL CONSTRAINT audit_log_digest_length CHECK (octet_length(digest) = 32)
);

CREATE INDEX audit_log_subject_idx ON audit_log (subject, number);

-- The one row that orders the writers of the log.
CREATE TABLE audit_head (
    one boolean DEFAULT true CONSTRAINT audit_head_pkey PRIMARY KEY CONSTRAINT audit_head_is_one CHECK (one),
    number bigint NOT NULL,
    digest bytea NOT NULL
);

INSERT INTO audit_head (number, digest) VALUES (0, sha256('tandem-audit/1'));

CREATE FUNCTION refuse_audit_change_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the audit log are never changed or removed' USING ERRCODE = 'TD003';
END $$;

CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change_v1();

CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change_v1();

CREATE FUNCTION audit_field_v1(p_text text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT int4send(octet_length(convert_to(p_text, 'UTF8'))) || convert_to(p_text, 'UTF8')
$$;

-- Append an entry and return its number; an entry id that is there already is not appended again. The head's row is
-- locked until the transaction ends: call this last, after every other lock (recording, then job, then audit log).
CREATE FUNCTION append_audit_v1(
    p_entry uuid, p_actor text, p_action text, p_subject text, p_reason text, p_details jsonb
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_head audit_head;
    v_number bigint;
    v_entry uuid := coalesce(p_entry, gen_random_uuid());
    v_at timestamptz;
    v_details text := coalesce(p_details, '{}')::text;
    v_digest bytea;
BEGIN
    SELECT * INTO v_head FROM audit_head FOR UPDATE;
    SELECT number INTO v_number FROM audit_log WHERE entry_id = v_entry;
    IF FOUND THEN
        RETURN v_number;
    END IF;
    v_number := v_head.number + 1;
    v_at := clock_timestamp();
    v_digest := sha256(v_head.digest || audit_field_v1(v_number::text) || audit_field_v1(v_entry::text)
        || audit_field_v1(to_char(v_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
        || audit_field_v1(p_actor) || audit_field_v1(p_action) || audit_field_v1(p_subject)
        || audit_field_v1(p_reason) || audit_field_v1(v_details));
    INSERT INTO audit_log (number, entry_id, at, actor, action, subject, reason, details, previous, digest)
    VALUES (v_number, v_entry, v_at, p_actor, p_action, p_subject, p_reason, v_details, v_head.digest, v_digest);
    UPDATE audit_head SET number = v_number, digest = v_digest;
    RETURN v_number;
END $$;


-- Legal hold: what a court or an authority may ask for stays, whoever wants to remove it. The guards are triggers, so
-- that they also stop a wrong program and a person at psql.

-- One decision of one person about one recording. Several may stand at once; the recording is held by each of them.
CREATE TABLE legal_holds (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT legal_holds_pkey PRIMARY KEY,
    recording_id uuid NOT NULL CONSTRAINT legal_holds_recording_fkey REFERENCES recordings (id),
    matter text COLLATE "C" NOT NULL,             -- the case it is for; empty when nobody named one
    reason text NOT NULL CONSTRAINT legal_holds_reason_given CHECK (reason <> ''),
    placed_by text NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT now(),
    released_by text,
    release_reason text,
    released_at timestamptz,
    CONSTRAINT legal_holds_released_whole CHECK (num_nonnulls(released_by, release_reason, released_at) IN (0, 3))
);

-- Asking twice for the same is one hold; for another matter or reason it is another.
CREATE UNIQUE INDEX legal_holds_standing_key ON legal_holds (recording_id, matter, md5(reason))
    WHERE released_at IS NULL;

CREATE INDEX legal_holds_recording_idx ON legal_holds (recording_id);

-- The recordings that a hold on one of them protects: itself; its copies and their healed master, from any of them; and
-- the other one of two of which nobody knows yet whether they are copies.
CREATE FUNCTION held_together_v1(p_recording uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    WITH subject AS (SELECT coalesce(master_id, id) AS master FROM recordings WHERE id = p_recording),
    family AS (
        SELECT p_recording AS id
        UNION SELECT master FROM subject
        UNION SELECT r.id FROM recordings r JOIN subject s ON r.master_id = s.master
    )
    SELECT id FROM family
    UNION
    SELECT CASE p.one WHEN p_recording THEN p.other ELSE p.one END FROM copy_pairs p
    WHERE p_recording IN (p.one, p.other) AND p.state IN ('candidate', 'undecided')
$$;

CREATE FUNCTION is_held_v1(p_recording uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM held_together_v1(p_recording) AS t (id) JOIN legal_holds h ON h.recording_id = t.id
        WHERE h.released_at IS NULL)
$$;

-- Place a hold. `refused` is null on success: then `hold` is its number, and `placed` false when it stood already.
CREATE FUNCTION place_hold_v1(
    p_recording uuid, p_matter text, p_reason text, p_by text, OUT refused text, OUT hold bigint, OUT placed boolean
) LANGUAGE plpgsql AS $$
DECLARE
    v_state text;
BEGIN
    -- The guards below take the same lock: a removal that is under way ends first, and is seen here.
    SELECT state INTO v_state FROM recordings WHERE id = p_recording FOR UPDATE;
    IF NOT FOUND THEN
        refused := 'unknown-recording';
        RETURN;
    END IF;
    IF v_state IN ('deleting', 'deleted') THEN
        refused := v_state;
        RETURN;
    END IF;
    INSERT INTO legal_holds (recording_id, matter, reason, placed_by) VALUES (p_recording, p_matter, p_reason, p_by)
    ON CONFLICT (recording_id, matter, md5(reason)) WHERE released_at IS NULL DO NOTHING
    RETURNING id INTO hold;
    placed := hold IS NOT NULL;
    IF NOT placed THEN
        SELECT h.id INTO hold FROM legal_holds h WHERE h.recording_id = p_recording AND h.matter = p_matter
            AND h.reason = p_reason AND h.released_at IS NULL;
        RETURN;
    END IF;
    PERFORM append_audit_v1(NULL, p_by, 'hold', p_recording::text, p_reason,
        jsonb_build_object('hold', hold, 'case', p_matter));
END $$;

-- Release one standing hold. False when it does not stand (any more).
CREATE FUNCTION release_hold_v1(p_hold bigint, p_reason text, p_by text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_hold legal_holds;
BEGIN
    UPDATE legal_holds SET released_by = p_by, release_reason = p_reason, released_at = now()
    WHERE id = p_hold AND released_at IS NULL RETURNING * INTO v_hold;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM append_audit_v1(NULL, p_by, 'release', v_hold.recording_id::text, p_reason,
        jsonb_build_object('hold', p_hold, 'case', v_hold.matter));
    RETURN true;
END $$;

-- A deletion that has begun is carried through: no hold and no rendering comes in between any more.
CREATE FUNCTION require_no_hold_v1(p_recording uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording AND state <> 'deleting' FOR SHARE;
    IF FOUND AND is_held_v1(p_recording) THEN
        RAISE EXCEPTION 'recording % is under legal hold', p_recording USING ERRCODE = 'TD004';
    END IF;
END $$;

-- The argument names the column with the recording's id.
CREATE FUNCTION guard_held_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_no_hold_v1((to_jsonb(OLD) ->> TG_ARGV[0])::uuid);
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

-- A file that a further rendering replaces stays claimed while the recording is held: what publishes runs with the
-- setting; any other removal is refused.
CREATE FUNCTION guard_held_file_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('tandem.replaced_files_of_held', true) = 'keep' AND is_held_v1(OLD.recording_id) THEN
        UPDATE files SET kind = 'superseded' WHERE id = OLD.id;
        RETURN NULL;
    END IF;
    PERFORM require_no_hold_v1(OLD.recording_id);
    RETURN OLD;
END $$;

CREATE FUNCTION guard_truncate_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM legal_holds WHERE released_at IS NULL) THEN
        RAISE EXCEPTION 'recordings are under legal hold' USING ERRCODE = 'TD004';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER recordings_held BEFORE DELETE ON recordings
    FOR EACH ROW EXECUTE FUNCTION guard_held_v1('id');

CREATE TRIGGER recordings_held_state BEFORE UPDATE OF state ON recordings
    FOR EACH ROW WHEN (NEW.state IN ('deleting', 'deleted') AND NEW.state <> OLD.state)
    EXECUTE FUNCTION guard_held_v1('id');

CREATE TRIGGER segments_held BEFORE DELETE ON segments
    FOR EACH ROW EXECUTE FUNCTION guard_held_v1('recording_id');

CREATE TRIGGER files_held BEFORE DELETE ON files
    FOR EACH ROW EXECUTE FUNCTION guard_held_file_v1();

CREATE TRIGGER files_held_owner BEFORE UPDATE OF recording_id ON files
    FOR EACH ROW WHEN (NEW.recording_id <> OLD.recording_id) EXECUTE FUNCTION guard_held_v1('recording_id');

CREATE TRIGGER legal_holds_standing BEFORE DELETE ON legal_holds
    FOR EACH ROW WHEN (OLD.released_at IS NULL) EXECUTE FUNCTION guard_held_v1('recording_id');

CREATE TRIGGER recordings_held_all BEFORE TRUNCATE ON recordings EXECUTE FUNCTION guard_truncate_v1();

CREATE TRIGGER segments_held_all BEFORE TRUNCATE ON segments EXECUTE FUNCTION guard_truncate_v1();

CREATE TRIGGER files_held_all BEFORE TRUNCATE ON files EXECUTE FUNCTION guard_truncate_v1();

CREATE TRIGGER legal_holds_standing_all BEFORE TRUNCATE ON legal_holds EXECUTE FUNCTION guard_truncate_v1();

-- Also while rows are applied by replication.
ALTER TABLE recordings ENABLE ALWAYS TRIGGER recordings_held, ENABLE ALWAYS TRIGGER recordings_held_state,
    ENABLE ALWAYS TRIGGER recordings_held_all;

ALTER TABLE segments ENABLE ALWAYS TRIGGER segments_held, ENABLE ALWAYS TRIGGER segments_held_all;

ALTER TABLE files ENABLE ALWAYS TRIGGER files_held, ENABLE ALWAYS TRIGGER files_held_owner,
    ENABLE ALWAYS TRIGGER files_held_all;

ALTER TABLE legal_holds ENABLE ALWAYS TRIGGER legal_holds_standing, ENABLE ALWAYS TRIGGER legal_holds_standing_all;


-- The ledger: what became of every frame of every party's timeline, and the totals that reports are made from.

-- Frames by kind, {recorded, silent, paused, lost}; null unless the intervals are in order and every one has a fact.
CREATE FUNCTION ledger_sums_v1(p_ends bigint[], p_facts smallint[], p_kinds text[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN bool_and(coalesce(i.end_frame > i.start_frame AND p_kinds[i.fact] IS NOT NULL, false)) THEN ARRAY[
        coalesce(sum(i.end_frame - i.start_frame) FILTER (WHERE p_kinds[i.fact] = 'recorded'), 0)::bigint,
        coalesce(sum(i.end_frame - i.start_frame) FILTER (WHERE p_kinds[i.fact] = 'silent'), 0)::bigint,
        coalesce(sum(i.end_frame - i.start_frame) FILTER (WHERE p_kinds[i.fact] = 'paused'), 0)::bigint,
        coalesce(sum(i.end_frame - i.start_frame) FILTER (WHERE p_kinds[i.fact] = 'lost'), 0)::bigint] END
    FROM (
        SELECT end_frame, fact, lag(end_frame, 1, 0::bigint) OVER (ORDER BY position) AS start_frame
        FROM unnest(p_ends, p_facts) WITH ORDINALITY AS u (end_frame, fact, position)
    ) AS i
$$;

-- One row for each party of a rendered recording. An interval begins where the one before it ends and the first begins
-- at frame 0, so that a hole or an overlap cannot be written down; the check sees to it that they end with the timeline.
CREATE TABLE ledger (
    recording_id uuid NOT NULL CONSTRAINT ledger_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    party integer NOT NULL CONSTRAINT ledger_party_not_negative CHECK (party >= 0),
    sample_rate integer NOT NULL CONSTRAINT ledger_sample_rate_positive CHECK (sample_rate > 0),
    frames bigint NOT NULL CONSTRAINT ledger_frames_positive CHECK (frames > 0),
    recorded bigint NOT NULL,         -- frames of each kind
    silent bigint NOT NULL,
    paused bigint NOT NULL,
    lost bigint NOT NULL,
    ends bigint[] NOT NULL,           -- frame at which each interval ends, exclusive
    facts smallint[] NOT NULL,        -- for each interval: position in the three lists below, from 1
    kinds text[] NOT NULL,
    causes text[] NOT NULL,
    sources text[] NOT NULL,
    CONSTRAINT ledger_pkey PRIMARY KEY (recording_id, party),
    CONSTRAINT ledger_adds_up CHECK (
        (recorded + silent + paused + lost = frames
            AND ledger_sums_v1(ends, facts, kinds) = ARRAY[recorded, silent, paused, lost]
            AND cardinality(kinds) = cardinality(causes) AND cardinality(kinds) = cardinality(sources)) IS TRUE)
);

-- The ledger for people: one row for each interval.
CREATE VIEW ledger_intervals AS
SELECT l.recording_id, l.party, i.position::integer AS position, i.start_frame, i.end_frame, l.sample_rate,
    i.start_frame::double precision / l.sample_rate AS start_s,
    (i.end_frame - i.start_frame)::double precision / l.sample_rate AS duration_s,
    l.kinds[i.fact] AS kind, l.causes[i.fact] AS cause, l.sources[i.fact] AS source
FROM ledger l CROSS JOIN LATERAL (
    SELECT u.position, u.end_frame, u.fact, lag(u.end_frame, 1, 0::bigint) OVER (ORDER BY u.position) AS start_frame
    FROM unnest(l.ends, l.facts) WITH ORDINALITY AS u (end_frame, fact, position)
) AS i;

-- Totals per day (UTC, of the start), door and agent. Frames keep their sample rate, so that sums stay exact. A row whose
-- recordings have all moved elsewhere stays with zeros.
CREATE TABLE completeness_days (
    day date NOT NULL,
    door text NOT NULL,
    agent_id text COLLATE "C" NOT NULL,           -- empty: not known
    kind text NOT NULL,
    cause text NOT NULL,
    sample_rate integer NOT NULL,
    frames bigint NOT NULL,
    intervals bigint NOT NULL,
    recordings bigint NOT NULL,
    CONSTRAINT completeness_days_pkey PRIMARY KEY (day, door, agent_id, kind, cause, sample_rate)
) WITH (fillfactor = 70);

CREATE TABLE recording_days (
    day date NOT NULL,
    door text NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    state text NOT NULL,
    recordings bigint NOT NULL,
    milliseconds bigint NOT NULL,     -- of timeline; of session where no audio arrived
    size_bytes bigint NOT NULL,
    CONSTRAINT recording_days_pkey PRIMARY KEY (day, door, agent_id, state)
) WITH (fillfactor = 70);

-- Under which key a recording is counted: it is taken out there before it is counted anew.
CREATE TABLE ledger_counted (
    recording_id uuid CONSTRAINT ledger_counted_pkey PRIMARY KEY
        CONSTRAINT ledger_counted_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    day date NOT NULL,
    door text NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    state text NOT NULL,
    milliseconds bigint NOT NULL,
    size_bytes bigint NOT NULL
);

-- What a recording adds to completeness_days.
CREATE FUNCTION ledger_shares_v1(p_recording uuid) RETURNS SETOF completeness_days
LANGUAGE sql STABLE AS $$
    SELECT c.day, c.door, c.agent_id, i.kind, i.cause, i.sample_rate,
        sum(i.end_frame - i.start_frame)::bigint, count(*), 1::bigint
    FROM ledger_counted c JOIN ledger_intervals i ON i.recording_id = c.recording_id
    WHERE c.recording_id = p_recording
    GROUP BY c.day, c.door, c.agent_id, i.kind, i.cause, i.sample_rate
$$;

-- Replace the ledger of a recording by [{party, sample_rate, frames, ends, facts, kinds, causes, sources}, ...] and count
-- it anew under its present day, door, agent and state; with p_counted false it is only kept (a copy that another
-- recording stands for). The caller has locked the row of the recording.
CREATE FUNCTION write_ledger_v1(p_recording uuid, p_parties jsonb, p_counted boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_counted ledger_counted;
    v_shares completeness_days[];
BEGIN
    SELECT * INTO v_counted FROM ledger_counted WHERE recording_id = p_recording;
    SELECT array_agg(s) INTO v_shares FROM ledger_shares_v1(p_recording) AS s;
    DELETE FROM ledger_counted WHERE recording_id = p_recording;
    DELETE FROM ledger WHERE recording_id = p_recording;
    INSERT INTO ledger (recording_id, party, sample_rate, frames, recorded, silent, paused, lost, ends, facts, kinds,
        causes, sources)
    SELECT p_recording, n.party, n.sample_rate, n.frames, n.sums[1], n.sums[2], n.sums[3], n.sums[4], n.ends, n.facts,
        n.kinds, n.causes, n.sources
    FROM (
        SELECT p.*, ledger_sums_v1(p.ends, p.facts, p.kinds) AS sums
        FROM jsonb_to_recordset(p_parties) AS p (party integer, sample_rate integer, frames bigint, ends bigint[],
            facts smallint[], kinds text[], causes text[], sources text[])
    ) AS n;
    UPDATE recordings SET lost_s = (
        SELECT coalesce(sum(l.lost::double precision / l.sample_rate), 0) FROM ledger l
        WHERE l.recording_id = p_recording)
    WHERE id = p_recording;
    IF p_counted THEN
        INSERT INTO ledger_counted (recording_id, day, door, agent_id, state, milliseconds, size_bytes)
        SELECT r.id, (r.started_at AT TIME ZONE 'UTC')::date, r.door, coalesce(r.agent_id, ''), r.state,
            round(1000 * coalesce(nullif(r.duration_s, 0), extract(epoch FROM r.ended_at - r.started_at), 0)),
            (SELECT coalesce(sum(f.size_bytes), 0) FROM files f WHERE f.recording_id = r.id)
        FROM recordings r WHERE r.id = p_recording;
    END IF;
    -- What goes and what comes in one statement each, in the order of the keys: two curators never wait for each other.
    INSERT INTO recording_days AS d (day, door, agent_id, state, recordings, milliseconds, size_bytes)
    SELECT c.day, c.door, c.agent_id, c.state, sum(c.sign), sum(c.sign * c.milliseconds), sum(c.sign * c.size_bytes)
    FROM (
        SELECT 1 AS sign, n.* FROM ledger_counted n WHERE n.recording_id = p_recording
        UNION ALL SELECT -1, v_counted.* WHERE v_counted.recording_id IS NOT NULL
    ) AS c
    GROUP BY c.day, c.door, c.agent_id, c.state
    ORDER BY c.day, c.door, c.agent_id, c.state
    ON CONFLICT ON CONSTRAINT recording_days_pkey DO UPDATE SET recordings = d.recordings + EXCLUDED.recordings,
        milliseconds = d.milliseconds + EXCLUDED.milliseconds, size_bytes = d.size_bytes + EXCLUDED.size_bytes;
    INSERT INTO completeness_days AS d (day, door, agent_id, kind, cause, sample_rate, frames, intervals, recordings)
    SELECT s.day, s.door, s.agent_id, s.kind, s.cause, s.sample_rate, sum(s.sign * s.frames), sum(s.sign * s.intervals),
        sum(s.sign * s.recordings)
    FROM (
        SELECT 1 AS sign, n.* FROM ledger_shares_v1(p_recording) AS n
        UNION ALL SELECT -1, o.* FROM unnest(v_shares) AS o
    ) AS s
    GROUP BY s.day, s.door, s.agent_id, s.kind, s.cause, s.sample_rate
    HAVING sum(s.sign * s.frames) <> 0 OR sum(s.sign * s.intervals) <> 0 OR sum(s.sign * s.recordings) <> 0
    ORDER BY s.day, s.door, s.agent_id, s.kind, s.cause, s.sample_rate
    ON CONFLICT ON CONSTRAINT completeness_days_pkey DO UPDATE SET frames = d.frames + EXCLUDED.frames,
        intervals = d.intervals + EXCLUDED.intervals, recordings = d.recordings + EXCLUDED.recordings;
END $$;

CREATE INDEX recordings_lost_idx ON recordings (lost_s, started_at DESC) WHERE lost_s > 0;

-- write_ledger_v1 on its own. False for an unknown recording.
CREATE FUNCTION replace_ledger_v1(p_recording uuid, p_parties jsonb, p_counted boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM write_ledger_v1(p_recording, p_parties, p_counted);
    RETURN true;
END $$;

-- publish_v1, and the ledger in the same transaction. Sessions of one recording that ran at the same time may have other
-- parties: which channel a stream belongs to is known only when the recording was made. The result says so for every
-- session that the stream is of.
CREATE FUNCTION publish_v2(
    p_recording uuid, p_segments uuid[], p_state text, p_started_at timestamptz, p_duration_s double precision,
    p_files jsonb, p_gaps jsonb, p_streams jsonb, p_warnings jsonb,
    p_job bigint, p_worker text, p_claim bigint, p_ledger jsonb,
    OUT refused text, OUT superseded jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_published record;
BEGIN
    PERFORM set_config('tandem.replaced_files_of_held', 'keep', true);
    SELECT * INTO v_published FROM publish_v1(p_recording, p_segments, p_state, p_started_at, p_duration_s, p_files,
        p_gaps, p_streams, p_warnings, p_job, p_worker, p_claim);
    PERFORM set_config('tandem.replaced_files_of_held', '', true);
    refused := v_published.refused;
    superseded := v_published.superseded;
    IF refused IS NULL THEN
        UPDATE streams t SET party = n.party
        FROM jsonb_to_recordset(p_streams) AS n (segment_ids uuid[], index integer, party integer)
        WHERE t.segment_id = ANY (n.segment_ids) AND t.m_line = n.index AND t.party <> n.party;
        PERFORM write_ledger_v1(p_recording, p_ledger, (SELECT role <> 'copy' FROM recordings WHERE id = p_recording));
    END IF;
END $$;


-- What recording clients made of our own offers: decides, also after a takeover, how a session can still be moved.

-- One row for each client, its software and our method. A client is known by the address that its sessions come from;
-- its software counts as well, because several clients may stand behind one proxy, and because an upgrade changes much.
CREATE TABLE peer_capabilities (
    peer text COLLATE "C" NOT NULL,
    product text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL
        CONSTRAINT peer_capabilities_method_known CHECK (method IN ('INVITE', 'UPDATE')),
    outcome text NOT NULL
        CONSTRAINT peer_capabilities_outcome_known CHECK (outcome IN ('answered', 'refused', 'ignored')),
    status integer,
    learnt_at timestamptz NOT NULL,
    CONSTRAINT peer_capabilities_pkey PRIMARY KEY (peer, product, method)
);

-- Keep what was learnt last; a journaled write may come late.
CREATE FUNCTION learn_capability_v1(
    p_lease text, p_epoch bigint, p_peer text, p_product text, p_method text, p_outcome text, p_status integer,
    p_learnt_at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    INSERT INTO peer_capabilities AS c (peer, product, method, outcome, status, learnt_at)
    VALUES (p_peer, p_product, p_method, p_outcome, p_status, p_learnt_at)
    ON CONFLICT ON CONSTRAINT peer_capabilities_pkey DO UPDATE
    SET outcome = EXCLUDED.outcome, status = EXCLUDED.status, learnt_at = EXCLUDED.learnt_at
    WHERE c.learnt_at < EXCLUDED.learnt_at;
END $$;

-- Peaks of concurrent sessions are read by time. Rows come in that order, so that block ranges do, and cost an INVITE
-- nothing.
CREATE INDEX segments_opened_idx ON segments USING brin (opened_at) WITH (pages_per_range = 16, autosummarize = on);


-- Deletion, in the order that survives a crash at any point: intent in the catalog, files erased and their directories
-- synced on each host, tombstone. A sealed recording takes no further session: its identifier opens a new recording.

CREATE UNIQUE INDEX recordings_open_identifier_key ON recordings (record_identifier) WHERE sealed_at IS NULL;

CREATE INDEX recordings_identifier_idx ON recordings (record_identifier);

-- Who had a recording deleted and why, and what it was. The row of the recording stays, without what was in it.
CREATE TABLE deletions (
    recording_id uuid CONSTRAINT deletions_pkey PRIMARY KEY
        CONSTRAINT deletions_recording_fkey REFERENCES recordings (id),
    requested_by text NOT NULL,
    reason text NOT NULL CONSTRAINT deletions_reason_given CHECK (reason <> ''),
    rule text NOT NULL,               -- name of the retention rule; empty when a person asked for it
    requested_at timestamptz NOT NULL DEFAULT now(),
    files jsonb NOT NULL,             -- [{kind, store, format, size_bytes, sha256}, ...]
    captures integer NOT NULL,        -- how many there were
    deleted_at timestamptz
);

-- What each host has to erase: its captures, and for a deletion also its copies of the files.
CREATE TABLE erasures (
    recording_id uuid NOT NULL CONSTRAINT erasures_recording_fkey REFERENCES recordings (id),
    host text COLLATE "C" NOT NULL,
    CONSTRAINT erasures_pkey PRIMARY KEY (recording_id, host)
);

-- Every capture of a recording's segments.
CREATE FUNCTION captures_of_v1(p_recording uuid) RETURNS TABLE (segment_id uuid, writer text, host text, path text)
LANGUAGE sql STABLE AS $$
    SELECT s.id, c.writer, c.host, c.path
    FROM segments s CROSS JOIN LATERAL (
        SELECT s.writer, s.host, s.capture_path AS path
        UNION ALL
        SELECT e.writer, e.host, e.path
        FROM jsonb_to_recordset(s.earlier_captures) AS e (writer text, host text, path text)
    ) AS c
    WHERE s.recording_id = p_recording AND c.path <> ''
$$;

-- Hosts that have something of a recording get a job of their own kind, which only they take: whoever has captures of
-- it, and whoever has files of it in a directory of its own. Erasing waits for stores that keep their objects for a time
-- (object lock): its jobs are never given up.
CREATE FUNCTION enqueue_erasures_v1(p_recording uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO erasures (recording_id, host)
    SELECT DISTINCT p_recording, c.host FROM captures_of_v1(p_recording) AS c
    UNION
    SELECT DISTINCT p_recording, store_host_v1(f.store) FROM files f
    WHERE f.recording_id = p_recording AND store_host_v1(f.store) IS NOT NULL
    ON CONFLICT DO NOTHING;
    -- One without sessions (healed from copies) has its files wherever a curator runs.
    IF NOT EXISTS (SELECT FROM erasures WHERE recording_id = p_recording) THEN
        INSERT INTO erasures (recording_id, host) VALUES (p_recording, '');
    END IF;
    PERFORM enqueue_patient_job_v1('erase@' || e.host, p_recording::text, jsonb_build_object('recording_id', p_recording))
    FROM erasures e WHERE e.recording_id = p_recording ORDER BY e.host;
END $$;

-- Decide to delete a recording. `refused` is null on success (also when it is under way already), else why not.
CREATE FUNCTION begin_deletion_v1(
    p_recording uuid, p_by text, p_reason text, p_rule text, OUT refused text, OUT begun boolean
) LANGUAGE plpgsql AS $$
DECLARE
    v_state text;
BEGIN
    begun := false;
    SELECT state INTO v_state FROM recordings WHERE id = p_recording FOR UPDATE;
    IF NOT FOUND THEN
        refused := 'unknown-recording';
    ELSIF v_state IN ('recording', 'finalising') THEN
        refused := v_state;
    ELSIF v_state NOT IN ('deleting', 'deleted') AND is_held_v1(p_recording) THEN
        refused := 'legal-hold';
    END IF;
    IF refused IS NOT NULL OR v_state IN ('deleting', 'deleted') THEN
        RETURN;
    END IF;
    begun := true;
    INSERT INTO deletions (recording_id, requested_by, reason, rule, files, captures)
    SELECT p_recording, p_by, p_reason, p_rule,
        (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', f.kind, 'store', f.store, 'format', f.format,
            'size_bytes', f.size_bytes, 'sha256', encode(f.sha256, 'hex')) ORDER BY f.id), '[]')
         FROM files f WHERE f.recording_id = p_recording),
        (SELECT count(*) FROM captures_of_v1(p_recording));
    UPDATE recordings SET state = 'deleting', sealed_at = coalesce(sealed_at, now()) WHERE id = p_recording;
    -- What was given up before is settled by this.
    DELETE FROM jobs WHERE dedupe_key = 'finalise:' || p_recording AND state = 'dead';
    PERFORM enqueue_erasures_v1(p_recording);
    PERFORM append_audit_v1(NULL, p_by, 'delete', p_recording::text, p_reason,
        (SELECT jsonb_build_object('rule', d.rule, 'files', d.files, 'captures', d.captures)
         FROM deletions d WHERE d.recording_id = p_recording));
END $$;

-- Decide to erase the captures of a finished recording: from now on it cannot be rendered again, nor go on.
CREATE FUNCTION begin_capture_erasure_v1(
    p_recording uuid, p_by text, p_reason text, OUT refused text, OUT begun boolean
) LANGUAGE plpgsql AS $$
DECLARE
    v_recording recordings;
BEGIN
    begun := false;
    SELECT * INTO v_recording FROM recordings WHERE id = p_recording FOR UPDATE;
    IF NOT FOUND THEN
        refused := 'unknown-recording';
    ELSIF v_recording.captures = 'erased' OR v_recording.state IN ('deleting', 'deleted') THEN
        RETURN;
    ELSIF v_recording.state NOT IN ('complete', 'interrupted', 'no-media') THEN
        refused := v_recording.state;
    ELSIF is_held_v1(p_recording) THEN
        refused := 'legal-hold';
    ELSIF v_recording.captures = 'kept' AND captures_needed_v1(p_recording) THEN
        refused := 'captures-needed';
    END IF;
    IF refused IS NOT NULL THEN
        RETURN;
    END IF;
    begun := v_recording.captures = 'kept';
    UPDATE recordings SET captures = 'erasing', sealed_at = coalesce(sealed_at, now()) WHERE id = p_recording;
    PERFORM enqueue_erasures_v1(p_recording);
    IF begun THEN
        PERFORM append_audit_v1(NULL, p_by, 'erase-captures', p_recording::text, p_reason, NULL);
    END IF;
END $$;

-- What a host has to erase now; not due when it is done, or when a hold came in between.
CREATE FUNCTION erasure_v1(p_recording uuid, p_host text, OUT due boolean, OUT captures text[], OUT files jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    v_recording recordings;
BEGIN
    due := false;
    captures := '{}';
    files := '[]';
    SELECT * INTO v_recording FROM recordings WHERE id = p_recording FOR SHARE;
    IF NOT EXISTS (SELECT FROM erasures WHERE recording_id = p_recording AND host = p_host) THEN
        RETURN;
    END IF;
    IF v_recording.state = 'deleting' THEN
        SELECT coalesce(jsonb_agg(jsonb_build_array(f.store, f.path) ORDER BY f.id), '[]') INTO files
        FROM files f WHERE f.recording_id = p_recording AND coalesce(store_host_v1(f.store), p_host) = p_host;
    ELSIF v_recording.captures <> 'erasing' OR is_held_v1(p_recording) THEN
        RETURN;
    END IF;
    due := true;
    SELECT coalesce(array_agg(c.path ORDER BY c.path), '{}') INTO captures
    FROM captures_of_v1(p_recording) AS c WHERE c.host = p_host;
END $$;

-- Take out of the catalog what was in a recording. Its row, its sessions' times and the tombstone stay; of the call's
-- data what policy names.
CREATE FUNCTION forget_content_v1(p_recording uuid, p_keep text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM files WHERE recording_id = p_recording;
    DELETE FROM gaps WHERE recording_id = p_recording;
    -- Totals of its day stay: what was recorded then was recorded.
    DELETE FROM ledger WHERE recording_id = p_recording;
    DELETE FROM ledger_counted WHERE recording_id = p_recording;
    DELETE FROM streams WHERE segment_id IN (SELECT id FROM segments WHERE recording_id = p_recording);
    DELETE FROM dialogs WHERE segment_id IN (SELECT id FROM segments WHERE recording_id = p_recording);
    DELETE FROM metadata_revisions WHERE segment_id IN (SELECT id FROM segments WHERE recording_id = p_recording);
    DELETE FROM sip_messages WHERE segment_id IN (SELECT id FROM segments WHERE recording_id = p_recording);
    UPDATE segments SET state = 'deleted', capture_path = '', earlier_captures = '[]', sip_call_id = '',
        local_tag = '', remote_tag = '', dialog_id = '', parameters = '[]', descriptor = '{}'
    WHERE recording_id = p_recording;
    UPDATE recordings SET state = 'deleted', captures = 'erased', parameters = '[]', warnings = '[]',
        render_warnings = '[]',
        call_uuid = CASE WHEN 'call_uuid' = ANY (p_keep) THEN call_uuid END,
        conn_id = CASE WHEN 'conn_id' = ANY (p_keep) THEN conn_id END,
        ani = CASE WHEN 'ani' = ANY (p_keep) THEN ani END,
        dnis = CASE WHEN 'dnis' = ANY (p_keep) THEN dnis END,
        dn = CASE WHEN 'dn' = ANY (p_keep) THEN dn END,
        other_dn = CASE WHEN 'other_dn' = ANY (p_keep) THEN other_dn END,
        record_dn = CASE WHEN 'record_dn' = ANY (p_keep) THEN record_dn END,
        agent_id = CASE WHEN 'agent_id' = ANY (p_keep) THEN agent_id END,
        sips_app_name = CASE WHEN 'sips_app_name' = ANY (p_keep) THEN sips_app_name END,
        tenant = CASE WHEN 'tenant' = ANY (p_keep) THEN tenant END
    WHERE id = p_recording;
END $$;

-- A host has erased its part, durably. With the last part the deletion becomes final. True when nothing is left.
CREATE FUNCTION host_erased_v1(
    p_recording uuid, p_host text, p_keep text[], p_job bigint, p_worker text, p_claim bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_recording recordings;
BEGIN
    SELECT * INTO v_recording FROM recordings WHERE id = p_recording FOR UPDATE;
    IF p_job IS NOT NULL AND NOT EXISTS (
        SELECT FROM jobs WHERE id = p_job AND state = 'running' AND locked_by = p_worker AND claims = p_claim) THEN
        RETURN false;
    END IF;
    DELETE FROM erasures WHERE recording_id = p_recording AND host = p_host;
    IF p_job IS NOT NULL THEN
        PERFORM complete_job_v1(p_job, p_worker, p_claim);
    END IF;
    IF EXISTS (SELECT FROM erasures WHERE recording_id = p_recording) THEN
        RETURN false;
    END IF;
    IF v_recording.state = 'deleting' THEN
        PERFORM forget_content_v1(p_recording, p_keep);
        UPDATE deletions SET deleted_at = now() WHERE recording_id = p_recording;
        PERFORM append_audit_v1(NULL, p_worker, 'deleted', p_recording::text, '', NULL);
    ELSIF v_recording.captures = 'erasing' THEN
        UPDATE recordings SET captures = 'erased' WHERE id = p_recording;
    END IF;
    RETURN true;
END $$;

-- The argument names the column with the recording's id.
CREATE FUNCTION guard_deleted_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    v_recording uuid := (to_jsonb(NEW) ->> TG_ARGV[0])::uuid;
BEGIN
    PERFORM FROM recordings WHERE id = v_recording AND state IN ('deleting', 'deleted') FOR SHARE;
    IF FOUND THEN
        RAISE EXCEPTION 'recording % is deleted', v_recording USING ERRCODE = 'TD005';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER files_not_of_deleted BEFORE INSERT OR UPDATE OF recording_id ON files
    FOR EACH ROW EXECUTE FUNCTION guard_deleted_v1('recording_id');

-- No way leads back.
CREATE FUNCTION guard_life_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'deleted' OR (OLD.state = 'deleting' AND NEW.state <> 'deleted') THEN
        RAISE EXCEPTION 'recording % is deleted', OLD.id USING ERRCODE = 'TD005';
    END IF;
    IF NEW.state = 'finalising' AND OLD.captures <> 'kept' THEN
        RAISE EXCEPTION 'the captures of recording % are erased', OLD.id USING ERRCODE = 'TD005';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER recordings_life BEFORE UPDATE OF state ON recordings
    FOR EACH ROW WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION guard_life_v1();

CREATE TRIGGER recordings_held_captures BEFORE UPDATE OF captures ON recordings
    FOR EACH ROW WHEN (OLD.captures = 'kept' AND NEW.captures <> 'kept' AND NEW.state <> 'deleted')
    EXECUTE FUNCTION guard_held_v1('id');

ALTER TABLE recordings ENABLE ALWAYS TRIGGER recordings_life, ENABLE ALWAYS TRIGGER recordings_held_captures;

ALTER TABLE files ENABLE ALWAYS TRIGGER files_not_of_deleted;


-- Copies: recordings of one call under different record identifiers, what is known of each pair of them, and the
-- healed masters that stand for them.

CREATE INDEX recordings_pairing_due_idx ON recordings (started_at) WHERE pairing_due;

CREATE INDEX recordings_master_idx ON recordings (master_id) WHERE master_id IS NOT NULL;

-- Values that recordings of one call have in common; text as bounded as in the recordings.
CREATE TABLE recording_keys (
    recording_id uuid NOT NULL
        CONSTRAINT recording_keys_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    kind text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    CONSTRAINT recording_keys_pkey PRIMARY KEY (recording_id, kind, value)
);

CREATE INDEX recording_keys_value_idx ON recording_keys (value, kind);

-- Recordings that pairs connect; what is decided about copies is decided for a group at a time.
CREATE TABLE copy_members (
    recording_id uuid CONSTRAINT copy_members_pkey PRIMARY KEY
        CONSTRAINT copy_members_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    group_id uuid NOT NULL,
    joined_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX copy_members_group_idx ON copy_members (group_id);

-- Two recordings that may be copies, and what became of it.
CREATE TABLE copy_pairs (
    one uuid NOT NULL CONSTRAINT copy_pairs_one_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    other uuid NOT NULL CONSTRAINT copy_pairs_other_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'candidate'
        CONSTRAINT copy_pairs_state_known CHECK (state IN ('candidate', 'confirmed', 'rejected', 'undecided')),
    key_kind text NOT NULL,           -- as in recording_keys, or 'operator'
    key_reason text NOT NULL,         -- why it is a candidate, in words
    reason text NOT NULL DEFAULT '',  -- of the state, in words and figures
    decided_by text CONSTRAINT copy_pairs_decider_known CHECK (decided_by IN ('audio', 'operator')),
    decided_at timestamptz,
    base uuid,                        -- the one of the two whose timeline the comparison is on
    comparison jsonb,                 -- figures of the sound
    one_sha256 bytea,                 -- the files that were compared
    other_sha256 bytea,
    noted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT copy_pairs_pkey PRIMARY KEY (one, other),
    CONSTRAINT copy_pairs_ordered CHECK (one < other),
    CONSTRAINT copy_pairs_decided CHECK ((decided_by IS NULL) = (decided_at IS NULL)
        AND (state = 'candidate') = (decided_by IS NULL))
);

CREATE INDEX copy_pairs_other_idx ON copy_pairs (other);

-- What a healed master was made from.
CREATE TABLE copy_sources (
    master_id uuid NOT NULL CONSTRAINT copy_sources_master_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    recording_id uuid NOT NULL CONSTRAINT copy_sources_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    position integer NOT NULL,        -- 0 is the best copy
    sha256 bytea,                     -- null for a copy without audio
    offset_s double precision,        -- of the copy's beginning from the master's; null without audio
    given_s double precision NOT NULL,-- audio that the master has from it, all parties together
    -- Where it lies on its master (media.healing.correspondence); null in masters that were healed before that was kept.
    placed jsonb,
    CONSTRAINT copy_sources_pkey PRIMARY KEY (master_id, recording_id)
);

CREATE INDEX copy_sources_recording_idx ON copy_sources (recording_id);

-- Where each stretch of a healed master comes from; with its gaps it covers each party's timeline.
CREATE TABLE provenance (
    recording_id uuid NOT NULL CONSTRAINT provenance_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    party integer NOT NULL,
    start_s double precision NOT NULL,
    duration_s double precision NOT NULL,
    copy_id uuid NOT NULL,
    copy_party integer NOT NULL,
    copy_start_s double precision NOT NULL,
    exact boolean NOT NULL,           -- samples as they are, moved by whole frames
    CONSTRAINT provenance_pkey PRIMARY KEY (recording_id, party, start_s)
);

-- Call data that came late, or a recording that goes on: look for copies (again).
CREATE FUNCTION pairing_is_due_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.pairing_due := true;
    RETURN NEW;
END $$;

CREATE TRIGGER recordings_pairing_is_due BEFORE UPDATE ON recordings FOR EACH ROW
WHEN (NOT NEW.pairing_due AND NEW.role IN ('recording', 'copy') AND NEW.state NOT IN ('deleting', 'deleted') AND (
    (OLD.call_uuid, OLD.conn_id, OLD.sips_app_name, OLD.record_dn, OLD.dn, OLD.other_dn)
        IS DISTINCT FROM (NEW.call_uuid, NEW.conn_id, NEW.sips_app_name, NEW.record_dn, NEW.dn, NEW.other_dn)
    OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS NULL)))
EXECUTE FUNCTION pairing_is_due_v1();

-- Decide about a group, once every pair of it that can be decided is.
CREATE FUNCTION enqueue_pair_v1(p_group uuid) RETURNS void LANGUAGE sql AS $$
    SELECT enqueue_job_v1('pair', p_group::text, jsonb_build_object('group_id', p_group))
$$;

-- In the transaction that publishes a recording: no end of a copy can be missed.
CREATE FUNCTION pair_when_finalised_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM enqueue_pair_v1(group_id) FROM copy_members WHERE recording_id = NEW.id;
    RETURN NULL;
END $$;

CREATE TRIGGER recordings_pair_when_finalised AFTER UPDATE OF finalised_at ON recordings FOR EACH ROW
WHEN (NEW.role IN ('recording', 'copy') AND OLD.finalised_at IS DISTINCT FROM NEW.finalised_at)
EXECUTE FUNCTION pair_when_finalised_v1();

-- Replace the keys of a recording.
CREATE FUNCTION set_keys_v1(p_recording uuid, p_kinds text[], p_values text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM recording_keys k WHERE k.recording_id = p_recording AND NOT EXISTS (
        SELECT FROM unnest(p_kinds, p_values) AS n (kind, value) WHERE n.kind = k.kind AND n.value = k.value);
    INSERT INTO recording_keys (recording_id, kind, value)
    SELECT p_recording, n.kind, n.value FROM unnest(p_kinds, p_values) AS n (kind, value)
    ON CONFLICT DO NOTHING;
END $$;

-- Put two recordings into one group; groups that meet become one. The caller holds the lock of pairs.
CREATE FUNCTION join_copies_v1(p_one uuid, p_other uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_one uuid := (SELECT group_id FROM copy_members WHERE recording_id = p_one);
    v_other uuid := (SELECT group_id FROM copy_members WHERE recording_id = p_other);
    v_group uuid := coalesce(v_one, v_other, gen_random_uuid());
BEGIN
    IF v_one <> v_other THEN
        UPDATE copy_members SET group_id = v_one WHERE group_id = v_other;
        -- Jobs of the group that is gone will find nothing.
        PERFORM enqueue_pair_v1(v_one);
    END IF;
    INSERT INTO copy_members (recording_id, group_id) VALUES (p_one, v_group), (p_other, v_group)
    ON CONFLICT (recording_id) DO NOTHING;
    RETURN v_group;
END $$;

-- Changes of groups come one at a time: two that join the same recordings would otherwise wait for each other.
CREATE FUNCTION lock_pairs_v1() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(7161721)
$$;

-- Note two recordings that may be copies; false when they are noted already, whatever became of it.
CREATE FUNCTION note_pair_v1(p_one uuid, p_other uuid, p_kind text, p_reason text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_group uuid;
BEGIN
    IF EXISTS (SELECT FROM copy_pairs WHERE one = least(p_one, p_other) AND other = greatest(p_one, p_other)) THEN
        RETURN false;
    END IF;
    PERFORM lock_pairs_v1();
    -- Against a publication of either that has begun: whoever comes second sees the other's rows and queues the job.
    PERFORM FROM recordings WHERE id IN (p_one, p_other) ORDER BY id FOR SHARE;
    INSERT INTO copy_pairs (one, other, key_kind, key_reason)
    VALUES (least(p_one, p_other), greatest(p_one, p_other), p_kind, p_reason)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    v_group := join_copies_v1(p_one, p_other);
    IF NOT EXISTS (SELECT FROM recordings WHERE id IN (p_one, p_other) AND state IN ('recording', 'finalising')) THEN
        PERFORM enqueue_pair_v1(v_group);
    END IF;
    RETURN true;
END $$;

-- What the comparison of two files showed. A decision of an operator stays; the figures are kept, healing needs them.
CREATE FUNCTION decide_pair_v1(
    p_one uuid, p_other uuid, p_state text, p_reason text, p_base uuid, p_comparison jsonb, p_one_sha256 bytea,
    p_other_sha256 bytea
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE copy_pairs SET base = p_base, comparison = p_comparison, one_sha256 = p_one_sha256,
        other_sha256 = p_other_sha256,
        state = CASE WHEN decided_by = 'operator' THEN state ELSE p_state END,
        reason = CASE WHEN decided_by = 'operator' THEN reason ELSE p_reason END,
        decided_at = CASE WHEN decided_by = 'operator' THEN decided_at ELSE now() END,
        decided_by = coalesce(CASE WHEN decided_by = 'operator' THEN decided_by END, 'audio')
    WHERE one = p_one AND other = p_other;
    RETURN FOUND;
END $$;

-- What an operator says about pairs, remembered: no comparison overrides it. The group is looked at anew.
CREATE FUNCTION rule_pairs_v1(
    p_ones uuid[], p_others uuid[], p_state text, p_reason text, p_by text, p_action text
) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_group uuid;
    v_pair record;
BEGIN
    PERFORM lock_pairs_v1();
    FOR v_pair IN
        SELECT least(a, b) AS one, greatest(a, b) AS other FROM unnest(p_ones, p_others) AS p (a, b)
    LOOP
        INSERT INTO copy_pairs AS c (one, other, state, key_kind, key_reason, reason, decided_by, decided_at)
        VALUES (v_pair.one, v_pair.other, p_state, 'operator', 'an operator said so', p_reason, 'operator', now())
        ON CONFLICT ON CONSTRAINT copy_pairs_pkey DO UPDATE SET state = EXCLUDED.state, reason = EXCLUDED.reason,
            decided_by = EXCLUDED.decided_by, decided_at = EXCLUDED.decided_at;
        v_group := join_copies_v1(v_pair.one, v_pair.other);
    END LOOP;
    PERFORM enqueue_pair_v1(v_group);
    PERFORM append_audit_v1(NULL, p_by, p_action, p_ones[1]::text, p_reason,
        jsonb_build_object('recordings', p_ones, 'others', p_others, 'group', v_group));
    RETURN v_group;
END $$;

-- Publish a healed master: its row, file, gaps and provenance, and the copies that it stands for from now on; it has a
-- new result only after its file is claimed, and the file of a held master that this one replaces stays claimed, as with
-- publish_v1. `refused` names the race that was lost; `superseded` lists files that the catalog no longer claims.
CREATE FUNCTION publish_master_v1(
    p_master uuid, p_copies jsonb, p_state text, p_started_at timestamptz, p_duration_s double precision,
    p_file jsonb, p_gaps jsonb, p_provenance jsonb, p_ledger jsonb, p_warnings jsonb, p_job bigint, p_worker text,
    p_claim bigint, OUT refused text, OUT superseded jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[] := ARRAY(
        SELECT (c ->> 'id')::uuid FROM jsonb_array_elements(p_copies) WITH ORDINALITY AS t (c, n) ORDER BY n);
BEGIN
    superseded := '[]';
    PERFORM FROM recordings WHERE id = p_master OR id = ANY (v_ids) ORDER BY id FOR UPDATE;
    IF NOT EXISTS (
        SELECT FROM jobs WHERE id = p_job AND state = 'running' AND locked_by = p_worker AND claims = p_claim) THEN
        refused := 'job-lost';
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM recordings WHERE id = ANY (v_ids) AND state IN ('recording', 'finalising')) THEN
        refused := 'reopened';
    ELSIF EXISTS (
        SELECT FROM jsonb_array_elements(p_copies) AS c
        WHERE (SELECT encode(f.sha256, 'hex') FROM files f
               WHERE f.recording_id = (c ->> 'id')::uuid AND f.kind = 'master' ORDER BY f.id LIMIT 1)
            IS DISTINCT FROM (c ->> 'sha256')
    ) OR EXISTS (
        SELECT FROM copy_pairs WHERE one = ANY (v_ids) AND other = ANY (v_ids) AND state = 'rejected') THEN
        refused := 'segments-changed';
    ELSIF EXISTS (SELECT FROM recordings WHERE id = p_master AND state IN ('deleting', 'deleted')) THEN
        refused := 'deleted';
    END IF;
    IF refused IS NOT NULL THEN
        -- Nobody else makes this master while the claim stands: unless it is claimed already, its file is nobody's.
        IF NOT EXISTS (SELECT FROM files WHERE store = p_file ->> 'store' AND path = p_file ->> 'path') THEN
            superseded := jsonb_build_array(jsonb_build_array(p_file ->> 'store', p_file ->> 'path'));
        END IF;
        RETURN;
    END IF;
    INSERT INTO recordings AS r (id, record_identifier, door, state, call_uuid, conn_id, ani, dnis, dn, other_dn,
        record_dn, agent_id, sips_app_name, tenant, started_at, ended_at, duration_s, parameters, warnings,
        render_warnings, sealed_at, role, pairing_due)
    -- Sealed: a session that names its identifier opens a recording of its own.
    SELECT p_master, (array_agg(c.record_identifier ORDER BY c.started_at, c.id))[1] || '~healed',
        (array_agg(c.door ORDER BY n))[1], p_state,
        (array_agg(c.call_uuid ORDER BY n) FILTER (WHERE c.call_uuid IS NOT NULL))[1],
        (array_agg(c.conn_id ORDER BY n) FILTER (WHERE c.conn_id IS NOT NULL))[1],
        (array_agg(c.ani ORDER BY n) FILTER (WHERE c.ani IS NOT NULL))[1],
        (array_agg(c.dnis ORDER BY n) FILTER (WHERE c.dnis IS NOT NULL))[1],
        (array_agg(c.dn ORDER BY n) FILTER (WHERE c.dn IS NOT NULL))[1],
        (array_agg(c.other_dn ORDER BY n) FILTER (WHERE c.other_dn IS NOT NULL))[1],
        (array_agg(c.record_dn ORDER BY n) FILTER (WHERE c.record_dn IS NOT NULL))[1],
        (array_agg(c.agent_id ORDER BY n) FILTER (WHERE c.agent_id IS NOT NULL))[1],
        (array_agg(c.sips_app_name ORDER BY n) FILTER (WHERE c.sips_app_name IS NOT NULL))[1],
        (array_agg(c.tenant ORDER BY n) FILTER (WHERE c.tenant IS NOT NULL))[1],
        p_started_at, max(c.ended_at), p_duration_s, (array_agg(c.parameters ORDER BY n))[1], '[]', p_warnings, now(),
        'master', false
    FROM unnest(v_ids) WITH ORDINALITY AS m (id, n) JOIN recordings c ON c.id = m.id
    ON CONFLICT ON CONSTRAINT recordings_pkey DO UPDATE SET state = EXCLUDED.state, door = EXCLUDED.door,
        call_uuid = EXCLUDED.call_uuid, conn_id = EXCLUDED.conn_id, ani = EXCLUDED.ani, dnis = EXCLUDED.dnis,
        dn = EXCLUDED.dn, other_dn = EXCLUDED.other_dn, record_dn = EXCLUDED.record_dn, agent_id = EXCLUDED.agent_id,
        sips_app_name = EXCLUDED.sips_app_name, tenant = EXCLUDED.tenant, started_at = EXCLUDED.started_at,
        ended_at = EXCLUDED.ended_at, duration_s = EXCLUDED.duration_s, parameters = EXCLUDED.parameters,
        render_warnings = EXCLUDED.render_warnings, role = 'master';
    WITH gone AS (
        DELETE FROM files f WHERE f.recording_id = p_master AND (f.store, f.path) IS DISTINCT FROM
            (p_file ->> 'store', p_file ->> 'path')
        RETURNING f.store, f.path
    ) SELECT coalesce(jsonb_agg(jsonb_build_array(store, path) ORDER BY store, path), '[]') INTO superseded FROM gone;
    INSERT INTO files AS f (recording_id, kind, store, path, format, sample_rate, channels, frames, size_bytes, sha256)
    SELECT p_master, n.kind, n.store, n.path, n.format, n.sample_rate, n.channels, n.frames, n.size_bytes,
        decode(n.sha256, 'hex')
    FROM jsonb_to_record(p_file) AS n (kind text, store text, path text, format text, sample_rate integer,
        channels integer, frames bigint, size_bytes bigint, sha256 text)
    ON CONFLICT ON CONSTRAINT files_path_key DO NOTHING;
    IF NOT EXISTS (SELECT FROM files WHERE recording_id = p_master AND path = p_file ->> 'path') THEN
        RAISE EXCEPTION 'another recording claims this path' USING ERRCODE = 'TD002';
    END IF;
    DELETE FROM gaps WHERE recording_id = p_master;
    INSERT INTO gaps (recording_id, party, start_s, duration_s, kind, cause)
    SELECT p_master, n.party, n.start_s, n.duration_s, n.kind, n.cause
    FROM jsonb_to_recordset(p_gaps) AS n (party integer, start_s double precision, duration_s double precision,
        kind text, cause text);
    DELETE FROM provenance WHERE recording_id = p_master;
    INSERT INTO provenance (recording_id, party, start_s, duration_s, copy_id, copy_party, copy_start_s, exact)
    SELECT p_master, n.party, n.start_s, n.duration_s, n.copy_id, n.copy_party, n.copy_start_s, n.exact
    FROM jsonb_to_recordset(p_provenance) AS n (party integer, start_s double precision, duration_s double precision,
        copy_id uuid, copy_party integer, copy_start_s double precision, exact boolean);
    DELETE FROM copy_sources WHERE master_id = p_master;
    INSERT INTO copy_sources (master_id, recording_id, position, sha256, offset_s, given_s)
    SELECT p_master, (c ->> 'id')::uuid, n - 1, decode(c ->> 'sha256', 'hex'), (c ->> 'offset_s')::double precision,
        (c ->> 'given_s')::double precision
    FROM jsonb_array_elements(p_copies) WITH ORDINALITY AS t (c, n);
    -- Last: a new result voids every intent that is not claimed by now.
    UPDATE recordings SET finalised_at = now() WHERE id = p_master;
    PERFORM write_ledger_v1(p_master, p_ledger);
    PERFORM stand_for_v1(p_master, v_ids);
END $$;

-- What is deleted leaves nothing behind that names the call.
CREATE FUNCTION forget_pairing_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM recording_keys WHERE recording_id = NEW.id;
    DELETE FROM provenance WHERE recording_id = NEW.id;
    UPDATE copy_pairs SET key_reason = 'one of them was deleted' WHERE NEW.id IN (one, other);
    RETURN NULL;
END $$;

CREATE TRIGGER recordings_forget_pairing AFTER UPDATE OF state ON recordings FOR EACH ROW
WHEN (NEW.state = 'deleted' AND OLD.state <> 'deleted') EXECUTE FUNCTION forget_pairing_v1();

-- Count the ledger of a recording in the totals, or no longer; what it says stays.
CREATE FUNCTION count_ledger_v1(p_recording uuid, p_counted boolean) RETURNS void LANGUAGE sql AS $$
    SELECT write_ledger_v1(p_recording, jsonb_agg(to_jsonb(l)), p_counted) FROM ledger l
    WHERE l.recording_id = p_recording HAVING count(*) > 0
$$;

-- A recording is counted in the totals unless another one stands for it.
CREATE FUNCTION count_by_role_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count_ledger_v1(NEW.id, NEW.role IN ('recording', 'master'));
    RETURN NULL;
END $$;

CREATE TRIGGER recordings_count_by_role AFTER UPDATE OF role ON recordings FOR EACH ROW
WHEN ((OLD.role IN ('recording', 'master')) <> (NEW.role IN ('recording', 'master')))
EXECUTE FUNCTION count_by_role_v1();

-- From now on `p_master` stands for these copies and for no others; it may be one of them.
CREATE FUNCTION stand_for_v1(p_master uuid, p_copies uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_master OR id = ANY (p_copies) OR master_id = p_master ORDER BY id FOR UPDATE;
    -- A master that was healed from some of them before stands for nothing any more.
    UPDATE recordings SET role = 'withdrawn' WHERE role = 'master' AND id <> p_master AND id IN (
        SELECT master_id FROM recordings WHERE id = ANY (p_copies));
    UPDATE recordings SET role = 'recording', master_id = NULL
    WHERE master_id = p_master AND id <> ALL (p_copies);
    UPDATE recordings SET role = 'recording', master_id = NULL WHERE id = p_master AND role = 'copy';
    UPDATE recordings SET role = 'copy', master_id = p_master
    WHERE id = ANY (p_copies) AND id <> p_master AND role <> 'withdrawn' AND master_id IS DISTINCT FROM p_master;
END $$;

-- Copies that are none any more are recordings again; a healed master without copies is withdrawn.
CREATE FUNCTION stand_alone_v1(p_recordings uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_masters uuid[] := ARRAY(SELECT DISTINCT master_id FROM recordings WHERE id = ANY (p_recordings) AND role = 'copy');
BEGIN
    PERFORM FROM recordings WHERE id = ANY (p_recordings) OR id = ANY (v_masters) ORDER BY id FOR UPDATE;
    UPDATE recordings SET role = 'recording', master_id = NULL WHERE id = ANY (p_recordings) AND role = 'copy';
    UPDATE recordings r SET role = 'withdrawn' WHERE r.id = ANY (v_masters) AND r.role = 'master'
        AND NOT EXISTS (SELECT FROM recordings c WHERE c.master_id = r.id);
END $$;

-- Captures wait for their age: few at a time, whatever the size of the catalog.
CREATE INDEX recordings_captures_idx ON recordings (finalised_at, id)
    WHERE captures <> 'erased' AND state IN ('complete', 'interrupted', 'no-media');


-- Captures that are found on a disk: which session they belong to, and how they come back into the catalog.

-- Names of captures that were erased, so that a copy on an old disk does not bring back what was deleted. The names are
-- random and say nothing.
CREATE TABLE erased_captures (
    name text COLLATE "C" CONSTRAINT erased_captures_pkey PRIMARY KEY,
    recording_id uuid NOT NULL CONSTRAINT erased_captures_recording_fkey REFERENCES recordings (id)
);

CREATE FUNCTION capture_name_v1(p_path text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT regexp_replace(p_path, '^.*/', '')
$$;

CREATE FUNCTION note_erased_captures_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO erased_captures (name, recording_id)
    SELECT DISTINCT capture_name_v1(c.path), NEW.id FROM captures_of_v1(NEW.id) AS c
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER recordings_note_erased AFTER UPDATE OF state, captures ON recordings
    FOR EACH ROW WHEN ((NEW.state = 'deleting' AND OLD.state <> 'deleting')
        OR (NEW.captures = 'erasing' AND OLD.captures <> 'erasing'))
    EXECUTE FUNCTION note_erased_captures_v1();

-- The sessions that a capture of this name, or of this session, belongs to.
CREATE INDEX segments_capture_name_idx ON segments (capture_name_v1(capture_path));

-- What would become of a capture: `known` (as it is there), `moved` (known under another host or path), `joined` (of a
-- known session that does not know this capture), `new-session` of a known recording, `new-recording`; or why it is not
-- taken: `erased`, `sealed`.
CREATE FUNCTION find_capture_v1(
    p_name text, p_host text, p_path text, p_identifier text, p_sip_call_id text, p_opened_at timestamptz,
    OUT fate text, OUT recording_id uuid, OUT segment_id uuid
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_segment segments;
    v_recording uuid;
BEGIN
    SELECT e.recording_id INTO v_recording FROM erased_captures e WHERE e.name = p_name;
    IF FOUND THEN
        fate := 'erased';
        recording_id := v_recording;
        RETURN;
    END IF;
    SELECT s.* INTO v_segment FROM segments s WHERE capture_name_v1(s.capture_path) = p_name LIMIT 1;
    IF NOT FOUND THEN
        -- A session that has moved knows it among its earlier ones.
        SELECT s.* INTO v_segment FROM segments s
        WHERE s.sip_call_id = p_sip_call_id AND p_sip_call_id <> '' AND EXISTS (
            SELECT FROM jsonb_to_recordset(s.earlier_captures) AS e (path text) WHERE capture_name_v1(e.path) = p_name);
    END IF;
    IF FOUND THEN
        fate := CASE WHEN EXISTS (
            SELECT FROM captures_of_v1(v_segment.recording_id) AS c WHERE c.host = p_host AND c.path = p_path)
            THEN 'known' ELSE 'moved' END;
    ELSE
        SELECT s.* INTO v_segment FROM segments s JOIN recordings r ON r.id = s.recording_id
        WHERE s.sip_call_id = p_sip_call_id AND p_sip_call_id <> '' AND r.record_identifier = p_identifier
            AND s.opened_at <= p_opened_at + interval '1 minute'
        ORDER BY s.opened_at DESC LIMIT 1;
        fate := 'joined';
    END IF;
    IF v_segment.id IS NOT NULL THEN
        segment_id := v_segment.id;
        recording_id := v_segment.recording_id;
        IF fate <> 'known' AND EXISTS (
            SELECT FROM recordings r WHERE r.id = v_segment.recording_id AND r.sealed_at IS NOT NULL) THEN
            fate := 'sealed';
        END IF;
        RETURN;
    END IF;
    SELECT r.id INTO v_recording FROM recordings r WHERE r.record_identifier = p_identifier AND r.sealed_at IS NULL;
    fate := CASE WHEN FOUND THEN 'new-session' ELSE 'new-recording' END;
    -- A capture of a call that was deleted is not a new recording.
    IF fate = 'new-recording' THEN
        SELECT r.id INTO v_recording FROM recordings r
        WHERE r.record_identifier = p_identifier AND r.state IN ('deleting', 'deleted')
            AND p_opened_at BETWEEN r.started_at - interval '1 minute' AND coalesce(r.ended_at, r.started_at);
        fate := CASE WHEN FOUND THEN 'erased' ELSE fate END;
    END IF;
    recording_id := v_recording;
END $$;

-- Take a capture into the catalog: p_session is {session, record_identifier, door, sip_call_id, call, parameters,
-- streams}. Repeating it changes nothing. The recording is rendered again once none of its sessions is open.
CREATE FUNCTION take_capture_v1(
    p_name text, p_host text, p_path text, p_writer text, p_opened_at timestamptz, p_closed_at timestamptz,
    p_session jsonb, p_by text, OUT fate text, OUT recording_id uuid, OUT segment_id uuid
) LANGUAGE plpgsql AS $$
DECLARE
    v_found record;
    v_recording uuid;
    v_id uuid;
    v_segment segments;
    v_call jsonb := coalesce(p_session -> 'call', '{}');
BEGIN
    -- Two that take captures of one call at once would both find it unknown.
    PERFORM pg_advisory_xact_lock(hashtextextended('tandem:captures', 0));
    SELECT * INTO v_found FROM find_capture_v1(p_name, p_host, p_path, p_session ->> 'record_identifier',
        p_session ->> 'sip_call_id', p_opened_at) AS f;
    fate := v_found.fate;
    v_recording := v_found.recording_id;
    v_id := v_found.segment_id;
    recording_id := v_recording;
    segment_id := v_id;
    IF fate IN ('known', 'erased', 'sealed') THEN
        RETURN;
    END IF;
    IF fate = 'new-recording' THEN
        INSERT INTO recordings (id, record_identifier, door, state, call_uuid, conn_id, ani, dnis, dn, other_dn,
            record_dn, agent_id, sips_app_name, tenant, started_at, ended_at, parameters, warnings)
        VALUES (gen_random_uuid(), p_session ->> 'record_identifier', p_session ->> 'door', 'finalising',
            v_call ->> 'call_uuid', v_call ->> 'conn_id', v_call ->> 'ani', v_call ->> 'dnis', v_call ->> 'dn',
            v_call ->> 'other_dn', v_call ->> 'record_dn', v_call ->> 'agent_id', v_call ->> 'sips_app_name',
            v_call ->> 'tenant', p_opened_at, p_closed_at, coalesce(p_session -> 'parameters', '[]'),
            '["made from a capture that the catalog did not know"]')
        RETURNING id INTO v_recording;
        recording_id := v_recording;
    END IF;
    PERFORM FROM recordings r WHERE r.id = v_recording FOR UPDATE;
    IF fate IN ('new-recording', 'new-session') THEN
        v_id := (p_session ->> 'session')::uuid;
        IF EXISTS (SELECT FROM segments s WHERE s.id = v_id) THEN
            v_id := gen_random_uuid();
        END IF;
        segment_id := v_id;
        INSERT INTO segments (id, recording_id, ordinal, door, state, interrupted, epoch, writer, host, capture_path,
            sip_call_id, local_tag, remote_tag, dialog_id, parameters, descriptor, opened_at, closed_at, end_cause)
        VALUES (v_id, v_recording,
            (SELECT coalesce(max(s.ordinal), 0) + 1 FROM segments s WHERE s.recording_id = v_recording),
            p_session ->> 'door', 'interrupted', true, 0, p_writer, p_host, p_path, p_session ->> 'sip_call_id', '', '',
            '', coalesce(p_session -> 'parameters', '[]'), p_session - 'streams', p_opened_at,
            greatest(p_closed_at, p_opened_at), 'capture-salvaged');
        PERFORM write_streams_v1(v_id, p_session -> 'streams');
        UPDATE recordings r SET ended_at = greatest(r.ended_at, p_closed_at), started_at = least(r.started_at, p_opened_at)
        WHERE r.id = v_recording;
    ELSE
        SELECT s.* INTO v_segment FROM segments s WHERE s.id = v_id FOR UPDATE;
        IF fate = 'joined' THEN
            UPDATE segments s SET earlier_captures = s.earlier_captures
                || jsonb_build_object('writer', p_writer, 'host', p_host, 'path', p_path)
            WHERE s.id = v_id;
        ELSIF capture_name_v1(v_segment.capture_path) = p_name THEN
            -- Its host is gone: what it recorded last is the end of the session.
            UPDATE segments s SET host = p_host, capture_path = p_path,
                state = CASE WHEN s.state = 'open' THEN 'interrupted' ELSE s.state END,
                interrupted = s.interrupted OR s.state = 'open',
                closed_at = coalesce(s.closed_at, greatest(p_closed_at, s.opened_at)),
                end_cause = coalesce(s.end_cause, 'host-lost')
            WHERE s.id = v_id;
            UPDATE dialogs d SET ended_at = coalesce(d.ended_at, now()), updated_at = now()
            WHERE d.segment_id = v_id;
            UPDATE recordings r SET ended_at = greatest(r.ended_at, p_closed_at) WHERE r.id = v_recording
                AND v_segment.state = 'open';
        ELSE
            UPDATE segments s SET earlier_captures = (
                SELECT jsonb_agg(CASE WHEN capture_name_v1(e ->> 'path') = p_name
                    THEN e || jsonb_build_object('host', p_host, 'path', p_path) ELSE e END ORDER BY n)
                FROM jsonb_array_elements(s.earlier_captures) WITH ORDINALITY AS t (e, n))
            WHERE s.id = v_id;
        END IF;
    END IF;
    PERFORM enqueue_finalise_v1(v_recording);
    PERFORM append_audit_v1(NULL, p_by, 'adopt', v_recording::text, '',
        jsonb_build_object('capture', p_name, 'host', p_host, 'fate', fate));
END $$;


-- Search by any metadata: each recording has a row of terms `name=value` in small letters, by month, kept behind the
-- writes by whoever calls index_recordings_v1. See docs/catalog.md and ADR 0011.

-- What people add to a recording afterwards. What was received is never changed, nor is an annotation.
CREATE TABLE annotations (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT annotations_pkey PRIMARY KEY,
    recording_id uuid NOT NULL CONSTRAINT annotations_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL CONSTRAINT annotations_name_length CHECK (length(name) BETWEEN 1 AND 64),
    value text NOT NULL,
    reason text NOT NULL DEFAULT '',
    added_by text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX annotations_recording_idx ON annotations (recording_id, id);

-- Who spoke, for people: one row for each participant that the metadata named.
CREATE VIEW recording_participants AS
SELECT s.recording_id, t.segment_id, t.m_line, t.party, p.who ->> 'name' AS name, p.who ->> 'aor' AS aor,
    p.who ->> 'dn' AS dn, p.who ->> 'participant_id' AS participant_id
FROM segments s JOIN streams t ON t.segment_id = s.id
CROSS JOIN LATERAL (
    SELECT t.participant AS who WHERE t.participant IS NOT NULL
    UNION ALL SELECT o FROM jsonb_array_elements(
        CASE jsonb_typeof(t.participant -> 'others') WHEN 'array' THEN t.participant -> 'others' ELSE '[]' END) AS o
) AS p;

-- Without a foreign key: attaching a partition would then lock the recordings against every INVITE.
CREATE TABLE recording_search (
    recording_id uuid NOT NULL,
    started_at timestamptz NOT NULL,
    terms tsvector NOT NULL,
    CONSTRAINT recording_search_pkey PRIMARY KEY (recording_id, started_at)
) PARTITION BY RANGE (started_at);

CREATE INDEX recording_search_started_idx ON recording_search (started_at DESC, recording_id DESC);

CREATE INDEX recording_search_terms_idx ON recording_search USING gin (terms);

-- Recordings whose terms have to be made (again). No index and no constraint: it lies on the way of each INVITE.
CREATE TABLE search_pending (recording_id uuid NOT NULL);

CREATE FUNCTION want_search_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO search_pending (recording_id) VALUES (NEW.id);
    RETURN NULL;
END $$;

-- Every function that changes what can be searched for sets one of these columns, be it to what it was.
CREATE TRIGGER recordings_want_search
AFTER INSERT OR UPDATE OF call_uuid, conn_id, ani, dnis, dn, other_dn, record_dn, agent_id, sips_app_name, tenant,
    parameters, started_at
ON recordings FOR EACH ROW EXECUTE FUNCTION want_search_v1();

CREATE FUNCTION forget_search_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM recording_search WHERE recording_id = OLD.id AND started_at = OLD.started_at;
    RETURN NULL;
END $$;

CREATE TRIGGER recordings_forget_search AFTER DELETE ON recordings
FOR EACH ROW EXECUTE FUNCTION forget_search_v1();

-- A tombstone keeps nothing of the call that policy does not name; people's notes are of the call.
CREATE FUNCTION forget_annotations_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM annotations WHERE recording_id = NEW.id;
    RETURN NULL;
END $$;

CREATE TRIGGER recordings_forget_annotations AFTER UPDATE OF state ON recordings
FOR EACH ROW WHEN (NEW.state = 'deleted') EXECUTE FUNCTION forget_annotations_v1();

-- One term; its length is bounded far below what a tsvector takes.
CREATE FUNCTION search_term_v1(p_name text, p_value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(lower(p_name), 64) || '=' || left(lower(p_value), 200)
$$;

-- The query for terms that all must be there; with p_begins the value is only a beginning.
CREATE FUNCTION search_query_v1(p_names text[], p_values text[], p_begins boolean[]) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(
        '''' || replace(replace(search_term_v1(n.name, n.value), '\', '\\'), '''', '''''') || ''''
            || CASE WHEN n.begins THEN ':*' ELSE '' END, ' & ')::tsquery
    FROM unnest(p_names, p_values, p_begins) AS n (name, value, begins)
$$;

CREATE FUNCTION recording_words_v1(p_recording uuid) RETURNS tsvector
LANGUAGE sql STABLE AS $$
    SELECT array_to_tsvector(coalesce(array_agg(DISTINCT search_term_v1(t.name, t.value)), '{}'))
    FROM (
        SELECT n.name, n.value FROM recordings r CROSS JOIN LATERAL (VALUES
            ('door', r.door), ('call_uuid', r.call_uuid), ('conn_id', r.conn_id), ('ani', r.ani), ('dnis', r.dnis),
            ('dn', r.dn), ('dn', r.other_dn), ('record_dn', r.record_dn), ('agent', r.agent_id),
            ('application', r.sips_app_name), ('tenant', r.tenant)
        ) AS n (name, value) WHERE r.id = p_recording
        UNION ALL
        SELECT e.pair ->> 0, e.pair ->> 1 FROM segments s CROSS JOIN LATERAL jsonb_array_elements(s.parameters) AS e (pair)
        WHERE s.recording_id = p_recording
        UNION ALL
        SELECT n.name, n.value FROM recording_participants p CROSS JOIN LATERAL (VALUES
            ('participant', p.name), ('participant', p.aor), ('participant', p.dn), ('dn', p.dn)
        ) AS n (name, value) WHERE p.recording_id = p_recording
        UNION ALL
        SELECT a.name, a.value FROM annotations a WHERE a.recording_id = p_recording
    ) AS t WHERE t.name <> '' AND t.value <> ''
$$;

-- Make the partition of a month, if it is missing.
CREATE FUNCTION ensure_search_month_v1(p_at timestamptz) RETURNS void
LANGUAGE sql AS $$
    SELECT ensure_month_v1('recording_search', p_at)
$$;

-- Make the terms of some recordings that wait for it; returns how many entries of the queue were done. One at a time:
-- terms that were read first must not be written last.
CREATE FUNCTION index_recordings_v1(p_limit integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
    v_count integer;
    v_month timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM search_pending) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('tandem:search', 0));
    WITH taken AS (
        DELETE FROM search_pending WHERE ctid = ANY (ARRAY(SELECT ctid FROM search_pending LIMIT p_limit))
        RETURNING recording_id
    ) SELECT array_agg(DISTINCT recording_id), count(*) INTO v_ids, v_count FROM taken;
    FOR v_month IN
        SELECT DISTINCT date_trunc('month', started_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        FROM recordings WHERE id = ANY (v_ids)
    LOOP
        PERFORM ensure_search_month_v1(v_month);
    END LOOP;
    DELETE FROM recording_search WHERE recording_id = ANY (v_ids);
    INSERT INTO recording_search (recording_id, started_at, terms)
    SELECT id, started_at, recording_terms_v1(id) FROM recordings WHERE id = ANY (v_ids);
    RETURN v_count;
END $$;

-- Add to a recording what was learnt later; null for an unknown one.
CREATE FUNCTION annotate_v1(p_recording uuid, p_names text[], p_values text[], p_reason text, p_by text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- The same said again is not said twice.
    INSERT INTO annotations (recording_id, name, value, reason, added_by)
    SELECT p_recording, n.name, n.value, p_reason, p_by
    FROM unnest(p_names, p_values) WITH ORDINALITY AS n (name, value, position)
    WHERE NOT EXISTS (
        SELECT FROM annotations a WHERE a.recording_id = p_recording AND a.name = n.name AND a.value = n.value)
    ORDER BY n.position;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count > 0 THEN
        INSERT INTO search_pending (recording_id) VALUES (p_recording);
        PERFORM append_audit_v1(NULL, p_by, 'annotate', p_recording::text, p_reason,
            jsonb_build_object('names', p_names));
    END IF;
    RETURN v_count;
END $$;

CREATE INDEX recordings_duration_idx ON recordings (duration_s) WHERE duration_s IS NOT NULL;


-- Erasing a person: finding every recording that somebody takes part in, and what stays of him after deletions.

-- Whether a text is a number or name, or an address of it: sip:VALUE@host, tel:VALUE.
CREATE FUNCTION is_person_v1(p_text text, p_value text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT t.bare = p_value OR starts_with(t.bare, p_value || '@') OR starts_with(t.bare, p_value || ';')
        OR p_text = p_value
    FROM (SELECT regexp_replace(p_text, '^(sips?|tel):', '')) AS t (bare)
$$;

CREATE FUNCTION holds_person_v1(p_value jsonb, p_person text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT EXISTS (
        SELECT FROM jsonb_path_query(p_value, '$.** ? (@.type() == "string")') AS t (v)
        WHERE is_person_v1(t.v #>> '{}', p_person))
$$;

-- Recordings that a person is named in, and by what; tombstones as well.
CREATE FUNCTION find_person_v1(p_person text) RETURNS TABLE (recording_id uuid, named_by text[])
LANGUAGE sql STABLE AS $$
    SELECT f.id, array_agg(DISTINCT f.name ORDER BY f.name)
    FROM (
        SELECT r.id, c.name
        FROM recordings r CROSS JOIN LATERAL (VALUES ('ani', r.ani), ('dnis', r.dnis), ('dn', r.dn),
            ('other_dn', r.other_dn), ('record_dn', r.record_dn), ('agent_id', r.agent_id)) AS c (name, value)
        WHERE is_person_v1(c.value, p_person)
        UNION ALL
        SELECT r.id, 'parameters' FROM recordings r WHERE holds_person_v1(r.parameters, p_person)
        UNION ALL
        SELECT s.recording_id, 'participant'
        FROM streams t JOIN segments s ON s.id = t.segment_id WHERE holds_person_v1(t.participant, p_person)
    ) AS f
    GROUP BY f.id
$$;

-- Take a person out of what stays: tombstones, and the totals by agent, which go on under no name. Returns the number of
-- tombstones. The audit log tells who asked and why, and never for whom.
CREATE FUNCTION mask_person_v1(p_person text, p_by text, p_reason text, p_details jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
BEGIN
    UPDATE recordings r SET
        ani = CASE WHEN is_person_v1(r.ani, p_person) THEN NULL ELSE r.ani END,
        dnis = CASE WHEN is_person_v1(r.dnis, p_person) THEN NULL ELSE r.dnis END,
        dn = CASE WHEN is_person_v1(r.dn, p_person) THEN NULL ELSE r.dn END,
        other_dn = CASE WHEN is_person_v1(r.other_dn, p_person) THEN NULL ELSE r.other_dn END,
        record_dn = CASE WHEN is_person_v1(r.record_dn, p_person) THEN NULL ELSE r.record_dn END,
        agent_id = CASE WHEN is_person_v1(r.agent_id, p_person) THEN NULL ELSE r.agent_id END,
        record_identifier = CASE WHEN strpos(r.record_identifier, p_person) > 0
            THEN 'erased-' || r.id ELSE r.record_identifier END
    WHERE r.state = 'deleted' AND (strpos(r.record_identifier, p_person) > 0 OR is_person_v1(r.ani, p_person)
        OR is_person_v1(r.dnis, p_person) OR is_person_v1(r.dn, p_person) OR is_person_v1(r.other_dn, p_person)
        OR is_person_v1(r.record_dn, p_person) OR is_person_v1(r.agent_id, p_person));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    WITH gone AS (DELETE FROM recording_days WHERE agent_id = p_person RETURNING *)
    INSERT INTO recording_days AS d (day, door, agent_id, state, recordings, milliseconds, size_bytes)
    SELECT day, door, '', state, recordings, milliseconds, size_bytes FROM gone
    ON CONFLICT ON CONSTRAINT recording_days_pkey DO UPDATE SET recordings = d.recordings + EXCLUDED.recordings,
        milliseconds = d.milliseconds + EXCLUDED.milliseconds, size_bytes = d.size_bytes + EXCLUDED.size_bytes;
    WITH gone AS (DELETE FROM completeness_days WHERE agent_id = p_person RETURNING *)
    INSERT INTO completeness_days AS d (day, door, agent_id, kind, cause, sample_rate, frames, intervals, recordings)
    SELECT day, door, '', kind, cause, sample_rate, frames, intervals, recordings FROM gone
    ON CONFLICT ON CONSTRAINT completeness_days_pkey DO UPDATE SET frames = d.frames + EXCLUDED.frames,
        intervals = d.intervals + EXCLUDED.intervals, recordings = d.recordings + EXCLUDED.recordings;
    UPDATE ledger_counted SET agent_id = '' WHERE agent_id = p_person;
    PERFORM append_audit_v1(NULL, p_by, 'erase-person', '', p_reason, p_details);
    RETURN v_count;
END $$;

-- What else names the call of a deleted recording.
CREATE FUNCTION forget_copies_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM recording_keys WHERE recording_id = NEW.id;
    -- Made anew of what stays.
    DELETE FROM recording_search WHERE recording_id = NEW.id;
    DELETE FROM provenance WHERE recording_id = NEW.id;
    UPDATE copy_pairs SET key_reason = '', reason = '' WHERE one = NEW.id OR other = NEW.id;
    -- Where a person asked for it, no call data stay, whatever policy lets stay otherwise.
    UPDATE recordings SET call_uuid = NULL, conn_id = NULL, ani = NULL, dnis = NULL, dn = NULL, other_dn = NULL,
        record_dn = NULL, agent_id = NULL
    WHERE id = NEW.id AND EXISTS (SELECT FROM deletions WHERE recording_id = NEW.id AND rule = 'erasure request');
    RETURN NULL;
END $$;

CREATE TRIGGER recordings_forget_copies AFTER UPDATE OF state ON recordings
    FOR EACH ROW WHEN (NEW.state = 'deleted' AND OLD.state <> 'deleted') EXECUTE FUNCTION forget_copies_v1();


-- A site of several hosts: a lease that ends when nobody renews it, and the register of the hosts.

-- Take the lease if it still is as it was seen, or if it is this host's already; null when it is not, or when the
-- statement comes to be executed later than its sender allows. Epochs given here are multiples of 1024: a host that
-- replaces its frontend while the database is away counts on by one, and is below whatever is given afterwards.
CREATE FUNCTION acquire_lease_v2(
    p_lease text, p_node text, p_holder text, p_seen_epoch bigint, p_seen_renewals bigint, p_not_after timestamptz
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_epoch bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tandem:lease:' || p_lease, 0));
    IF clock_timestamp() > p_not_after THEN
        RETURN NULL;
    END IF;
    INSERT INTO leases AS l (name, holder, epoch, node, renewals) VALUES (p_lease, p_holder, 1024, p_node, 1)
    ON CONFLICT (name) DO UPDATE SET holder = p_holder, node = p_node, epoch = (l.epoch / 1024 + 1) * 1024,
        renewals = l.renewals + 1, acquired_at = now()
    WHERE l.node = p_node OR (l.epoch = p_seen_epoch AND l.renewals = p_seen_renewals)
    RETURNING l.epoch INTO v_epoch;
    RETURN v_epoch;
END $$;

-- A sign of life of the holder; false when somebody else has the lease. The epoch may have grown on the holder's host
-- while the database was away.
CREATE FUNCTION renew_lease_v1(p_lease text, p_node text, p_holder text, p_epoch bigint) RETURNS boolean
LANGUAGE sql AS $$
    WITH renewed AS (
        UPDATE leases SET renewals = renewals + 1, epoch = p_epoch, holder = p_holder
        WHERE name = p_lease AND node = p_node AND epoch <= p_epoch AND epoch / 1024 = p_epoch / 1024 RETURNING 1
    ) SELECT EXISTS (SELECT FROM renewed)
$$;

-- Give the lease back: the next one need not wait for its end. False when it is somebody else's already.
CREATE FUNCTION release_lease_v1(p_lease text, p_node text, p_epoch bigint) RETURNS boolean
LANGUAGE sql AS $$
    WITH released AS (
        UPDATE leases SET node = '', holder = '', renewals = renewals + 1
        WHERE name = p_lease AND node = p_node AND epoch <= p_epoch RETURNING 1
    ) SELECT EXISTS (SELECT FROM released)
$$;

-- The hosts of a site. Each writes its own row and nobody else's; what it says is for finding it, not for deciding.
CREATE TABLE nodes (
    site text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    instance text NOT NULL,           -- names the recorder process; its RTP sockets live as long
    endpoint text NOT NULL,           -- host:port that other hosts reach its writers and frontend at
    state text NOT NULL CONSTRAINT nodes_state_known CHECK (state IN ('running', 'ended')),
    writers jsonb NOT NULL,           -- [name, ...]
    beats bigint NOT NULL DEFAULT 1,
    seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT nodes_pkey PRIMARY KEY (site, node)
);

CREATE FUNCTION beat_node_v1(
    p_site text, p_node text, p_instance text, p_endpoint text, p_state text, p_writers jsonb
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO nodes AS n (site, node, instance, endpoint, state, writers)
    VALUES (p_site, p_node, p_instance, p_endpoint, p_state, p_writers)
    ON CONFLICT ON CONSTRAINT nodes_pkey DO UPDATE SET instance = p_instance, endpoint = p_endpoint, state = p_state,
        writers = p_writers, beats = n.beats + 1, seen_at = now()
$$;


-- The life of a file: intended, claimed, doomed, gone. A file gets its name only after its intent is in the catalog, and
-- loses it only after its doom is: whatever dies in between, the catalog knows every file that may exist.

-- Files that may come to exist and that no row of `files` or `manifests` claims yet.
CREATE TABLE intended_files (
    store text NOT NULL,
    path text COLLATE "C" NOT NULL,
    recording_id uuid NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT intended_files_pkey PRIMARY KEY (store, path)
);

CREATE INDEX intended_files_recording_idx ON intended_files (recording_id);

CREATE INDEX intended_files_since_idx ON intended_files (since);

-- Files that nothing claims any more; a job of kind `discard` removes each. No such name is used until it is gone.
CREATE TABLE doomed_files (
    store text NOT NULL,
    path text COLLATE "C" NOT NULL,
    recording_id uuid NOT NULL,
    reason text NOT NULL,             -- superseded, unpublished, uploaded, deleted
    since timestamptz NOT NULL DEFAULT now(),
    -- A name is free again some time after its file is gone: another worker whose claim had run out may still be about to
    -- remove what it took for doomed.
    gone_at timestamptz,
    CONSTRAINT doomed_files_pkey PRIMARY KEY (store, path)
);

-- What is known of encrypted audio, by the digest of its encrypted form; `keys` is the file that lies beside it.
CREATE TABLE envelopes (
    sha256 bytea CONSTRAINT envelopes_pkey PRIMARY KEY,
    recording_id uuid NOT NULL,
    clear_sha256 bytea NOT NULL CONSTRAINT envelopes_clear_sha256_length CHECK (octet_length(clear_sha256) = 32),
    clear_bytes bigint NOT NULL,
    keys bytea NOT NULL
);

CREATE INDEX envelopes_recording_idx ON envelopes (recording_id);

-- Signed statements of what a recording was, each naming the one before it (docs/integrity.md).
CREATE TABLE manifests (
    recording_id uuid NOT NULL CONSTRAINT manifests_recording_fkey REFERENCES recordings (id),
    version integer NOT NULL CONSTRAINT manifests_version_positive CHECK (version > 0),
    store text NOT NULL,
    path text COLLATE "C" NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 bytea NOT NULL CONSTRAINT manifests_sha256_length CHECK (octet_length(sha256) = 32),
    root bytea NOT NULL CONSTRAINT manifests_root_length CHECK (octet_length(root) = 32),
    key_id text NOT NULL,
    finalised_at timestamptz NOT NULL,-- of the result that it states
    sealed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT manifests_pkey PRIMARY KEY (recording_id, version),
    CONSTRAINT manifests_path_key UNIQUE (store, path)
);

-- What the audit log calls a file: the end of its name, without the part that is for people (it may name some).
CREATE FUNCTION file_label_v1(p_path text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(substring(p_path FROM '[0-9a-f]{32}_[0-9a-f]{12}[.][a-z0-9.]+$'), md5(p_path))
$$;

CREATE FUNCTION is_claimed_v1(p_store text, p_path text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM files WHERE store = p_store AND path = p_path)
        OR EXISTS (SELECT FROM manifests WHERE store = p_store AND path = p_path)
$$;

-- Queue a job that waits for something outside, such as an object store: it never ends on the dead letter list.
CREATE FUNCTION enqueue_patient_job_v1(p_kind text, p_key text, p_payload jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint := enqueue_job_v1(p_kind, p_key, p_payload);
BEGIN
    UPDATE jobs SET max_attempts = 1000000 WHERE id = v_id;
END $$;

-- Say that a file of a recording is about to get its name. False while a former file of that name is being removed.
CREATE FUNCTION intend_file_v1(
    p_recording uuid, p_store text, p_path text, p_sha256 bytea, p_clear_sha256 bytea, p_clear_bytes bigint,
    p_keys bytea
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR SHARE;
    IF EXISTS (SELECT FROM doomed_files WHERE store = p_store AND path = p_path) THEN
        RETURN false;
    END IF;
    INSERT INTO intended_files (store, path, recording_id)
    SELECT p_store, p_path, p_recording WHERE NOT is_claimed_v1(p_store, p_path)
    ON CONFLICT ON CONSTRAINT intended_files_pkey DO UPDATE SET since = now();
    IF p_keys IS NOT NULL THEN
        INSERT INTO envelopes (sha256, recording_id, clear_sha256, clear_bytes, keys)
        VALUES (p_sha256, p_recording, p_clear_sha256, p_clear_bytes, p_keys)
        ON CONFLICT ON CONSTRAINT envelopes_pkey DO NOTHING;
    END IF;
    RETURN true;
END $$;


CREATE FUNCTION doom_file_v1(p_recording uuid, p_store text, p_path text, p_reason text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM intended_files WHERE store = p_store AND path = p_path;
    IF is_claimed_v1(p_store, p_path) THEN
        RETURN;
    END IF;
    INSERT INTO doomed_files (store, path, recording_id, reason) VALUES (p_store, p_path, p_recording, p_reason)
    ON CONFLICT ON CONSTRAINT doomed_files_pkey DO UPDATE SET gone_at = NULL;
    PERFORM enqueue_patient_job_v1(job_kind_of_store_v1('discard', p_store), p_store || ':' || p_path,
        jsonb_build_object('recording_id', p_recording, 'store', p_store, 'path', p_path));
END $$;

-- Doom what a recording intended and nothing claims; of all recordings older than $2 when the first is null.
CREATE FUNCTION withdraw_intents_v1(p_recording uuid, p_older interval) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_file intended_files;
    v_count bigint := 0;
BEGIN
    FOR v_file IN
        SELECT * FROM intended_files
        WHERE (p_recording IS NULL OR recording_id = p_recording) AND since <= now() - p_older
        ORDER BY recording_id, store, path
    LOOP
        PERFORM FROM recordings WHERE id = v_file.recording_id FOR UPDATE;
        PERFORM FROM intended_files WHERE store = v_file.store AND path = v_file.path FOR UPDATE;
        CONTINUE WHEN NOT FOUND;
        PERFORM doom_file_v1(v_file.recording_id, v_file.store, v_file.path, 'unpublished');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;

-- A claim ends the intent. A name that is being removed cannot be claimed: the job that tries repeats its work.
CREATE FUNCTION claim_file_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM doomed_files WHERE store = NEW.store AND path = NEW.path) THEN
        RAISE EXCEPTION '%:% is being removed', NEW.store, NEW.path USING ERRCODE = 'TD005';
    END IF;
    DELETE FROM intended_files WHERE store = NEW.store AND path = NEW.path;
    RETURN NULL;
END $$;

CREATE TRIGGER files_are_claimed AFTER INSERT OR UPDATE OF store, path ON files
    FOR EACH ROW EXECUTE FUNCTION claim_file_v1();

CREATE TRIGGER manifests_are_claimed AFTER INSERT OR UPDATE OF store, path ON manifests
    FOR EACH ROW EXECUTE FUNCTION claim_file_v1();

-- Bytes that no row claims any more are removed, whoever removed the row.
CREATE FUNCTION doom_claimed_file_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM envelopes WHERE sha256 = OLD.sha256;
    -- A deletion has erased its audio before it forgets it.
    IF TG_TABLE_NAME <> 'files' OR NOT EXISTS (
        SELECT FROM recordings WHERE id = OLD.recording_id AND state IN ('deleting', 'deleted')) THEN
        PERFORM doom_file_v1(OLD.recording_id, OLD.store, OLD.path, TG_ARGV[0]);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER files_are_doomed AFTER DELETE ON files
    FOR EACH ROW EXECUTE FUNCTION doom_claimed_file_v1('superseded');

CREATE TRIGGER manifests_are_doomed AFTER DELETE ON manifests
    FOR EACH ROW EXECUTE FUNCTION doom_claimed_file_v1('deleted');

-- A manifest holds the call's data: it goes with them.
CREATE FUNCTION forget_manifests_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM manifests WHERE recording_id = NEW.id;
    DELETE FROM jobs WHERE dedupe_key IN ('manifest:' || NEW.id, 'upload:' || NEW.id) AND state <> 'running';
    DELETE FROM envelopes WHERE recording_id = NEW.id;
    PERFORM withdraw_intents_v1(NEW.id, interval '0');
    RETURN NULL;
END $$;

CREATE TRIGGER recordings_forget_manifests AFTER UPDATE OF state ON recordings
    FOR EACH ROW WHEN (NEW.state = 'deleted' AND OLD.state <> 'deleted') EXECUTE FUNCTION forget_manifests_v1();

-- A new result: what else was intended for it is void, and it has to be stated and signed. Deferred, because a result
-- may enter the catalog before its files do.
CREATE FUNCTION result_changed_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM withdraw_intents_v1(NEW.id, interval '0');
    PERFORM enqueue_patient_job_v1('manifest', NEW.id::text, jsonb_build_object('recording_id', NEW.id));
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER recordings_result_inserted AFTER INSERT ON recordings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.finalised_at IS NOT NULL) EXECUTE FUNCTION result_changed_v1();

CREATE CONSTRAINT TRIGGER recordings_result_changed AFTER UPDATE OF finalised_at ON recordings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.finalised_at IS DISTINCT FROM OLD.finalised_at) EXECUTE FUNCTION result_changed_v1();

-- The audit log's entries of the recorder itself. Deferred to the end of the transaction, because they lock the log.
CREATE FUNCTION audit_result_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM append_audit_v1(NULL, 'curator', 'publish', NEW.id::text, '', jsonb_build_object('state', NEW.state,
        'files', (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', f.kind, 'store', f.store,
            'sha256', encode(f.sha256, 'hex')) ORDER BY f.id), '[]') FROM files f WHERE f.recording_id = NEW.id)));
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER recordings_result_audited AFTER INSERT OR UPDATE OF finalised_at ON recordings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.finalised_at IS NOT NULL) EXECUTE FUNCTION audit_result_v1();

CREATE FUNCTION audit_doom_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM append_audit_v1(NULL, 'curator', 'discard', NEW.recording_id::text, NEW.reason,
        jsonb_build_object('store', NEW.store, 'file', file_label_v1(NEW.path)));
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER doomed_files_audited AFTER INSERT ON doomed_files
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_doom_v1();

-- Keep a manifest that has its name already. `refused` is null on success, else the race that was lost.
CREATE FUNCTION record_manifest_v1(
    p_recording uuid, p_finalised_at timestamptz, p_version integer, p_previous bytea, p_store text, p_path text,
    p_size bigint, p_sha256 bytea, p_root bytea, p_key text
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording AND finalised_at = p_finalised_at
        AND state IN ('complete', 'interrupted', 'no-media') FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'changed';
    END IF;
    IF (SELECT coalesce(max(version), 0) FROM manifests WHERE recording_id = p_recording) <> p_version - 1
        OR (SELECT sha256 FROM manifests WHERE recording_id = p_recording AND version = p_version - 1)
            IS DISTINCT FROM p_previous
        OR NOT EXISTS (SELECT FROM intended_files WHERE store = p_store AND path = p_path) THEN
        RETURN 'overtaken';
    END IF;
    INSERT INTO manifests (recording_id, version, store, path, size_bytes, sha256, root, key_id, finalised_at)
    VALUES (p_recording, p_version, p_store, p_path, p_size, p_sha256, p_root, p_key, p_finalised_at);
    PERFORM append_audit_v1(NULL, 'curator', 'seal', p_recording::text, '', jsonb_build_object('version', p_version,
        'sha256', encode(p_sha256, 'hex'), 'root', encode(p_root, 'hex'), 'key', p_key));
    RETURN NULL;
END $$;


-- Redaction: a stretch of a recording is silenced for good. The audio is made anew without it, the captures go whole
-- (they are never changed), and a row says what was taken out, by whom and why.
CREATE TABLE redactions (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT redactions_pkey PRIMARY KEY,
    recording_id uuid NOT NULL CONSTRAINT redactions_recording_fkey REFERENCES recordings (id),
    party integer,                    -- null: all parties
    start_s double precision NOT NULL CONSTRAINT redactions_start_not_negative CHECK (start_s >= 0),
    end_s double precision NOT NULL,
    reason text NOT NULL CONSTRAINT redactions_reason_given CHECK (reason <> ''),
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    -- When a file without the stretch took the place of a master: one that is asked for later needs another one.
    silenced_at timestamptz,
    CONSTRAINT redactions_not_empty CHECK (end_s > start_s)
);

CREATE INDEX redactions_recording_idx ON redactions (recording_id, id);

-- The old file is gone: the redactions that the present one holds are done.
CREATE FUNCTION finish_redactions_v1(
    p_recording uuid, p_redactions bigint[], p_job bigint, p_worker text, p_claim bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    DELETE FROM files WHERE recording_id = p_recording AND kind = 'to-erase';
    UPDATE redactions SET done_at = now(), silenced_at = coalesce(silenced_at, now())
    WHERE recording_id = p_recording AND id = ANY (p_redactions) AND done_at IS NULL;
    IF p_job IS NOT NULL THEN
        PERFORM complete_job_v1(p_job, p_worker, p_claim);
    END IF;
END $$;


-- Recordings that come from another site's catalog.

-- Recordings that came from another site's catalog: where from, and who brought them.
CREATE TABLE imports (
    recording_id uuid CONSTRAINT imports_pkey PRIMARY KEY
        CONSTRAINT imports_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    origin text NOT NULL,             -- node that exported it
    version bytea NOT NULL            -- digest of the audio as it travelled
        CONSTRAINT imports_version_length CHECK (octet_length(version) = 32),
    imported_by text NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT now()
);

-- Take a recording of another site, under the id that it has there: importing it again changes nothing, and a version
-- that went on there replaces the former one. It takes no sessions here; pairing looks at it like at any other.
-- Outcome: imported, unchanged, replaced, own (recorded here, left alone) or deleted (here, on purpose: left so).
CREATE FUNCTION import_recording_v1(
    p_recording uuid, p_facts jsonb, p_file jsonb, p_gaps jsonb, p_ledger jsonb, p_version bytea, p_origin text,
    p_by text,
    OUT outcome text
) LANGUAGE plpgsql AS $$
DECLARE
    v_known recordings;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(p_recording::text, 0));
    SELECT * INTO v_known FROM recordings WHERE id = p_recording FOR UPDATE;
    outcome := CASE
        WHEN v_known.id IS NULL THEN 'imported'
        WHEN v_known.state IN ('deleting', 'deleted') THEN 'deleted'
        WHEN NOT EXISTS (SELECT FROM imports WHERE recording_id = p_recording) THEN 'own'
        WHEN EXISTS (SELECT FROM imports WHERE recording_id = p_recording AND version = p_version) THEN 'unchanged'
        ELSE 'replaced' END;
    IF outcome NOT IN ('imported', 'replaced') THEN
        RETURN;
    END IF;
    INSERT INTO recordings AS r (id, record_identifier, door, state, call_uuid, conn_id, ani, dnis, dn, other_dn,
        record_dn, agent_id, sips_app_name, tenant, started_at, ended_at, duration_s, parameters, warnings,
        render_warnings, sealed_at)
    SELECT p_recording, f.record_identifier, f.door, f.state, f.call_uuid, f.conn_id, f.ani, f.dnis, f.dn, f.other_dn,
        f.record_dn, f.agent_id, f.sips_app_name, f.tenant, f.started_at, f.ended_at, f.duration_s, f.parameters,
        f.warnings, '[]', now()
    FROM jsonb_to_record(p_facts) AS f (record_identifier text, door text, state text, call_uuid text, conn_id text,
        ani text, dnis text, dn text, other_dn text, record_dn text, agent_id text, sips_app_name text, tenant text,
        started_at timestamptz, ended_at timestamptz, duration_s double precision, parameters jsonb, warnings jsonb)
    ON CONFLICT ON CONSTRAINT recordings_pkey DO UPDATE SET state = EXCLUDED.state, started_at = EXCLUDED.started_at,
        ended_at = EXCLUDED.ended_at, duration_s = EXCLUDED.duration_s, warnings = EXCLUDED.warnings,
        pairing_due = true;
    DELETE FROM files f WHERE f.recording_id = p_recording
        AND (f.store, f.path) IS DISTINCT FROM (p_file ->> 'store', p_file ->> 'path');
    INSERT INTO files (recording_id, kind, store, path, format, sample_rate, channels, frames, size_bytes, sha256)
    SELECT p_recording, n.kind, n.store, n.path, n.format, n.sample_rate, n.channels, n.frames, n.size_bytes,
        decode(p_file ->> 'sha256', 'hex')
    FROM jsonb_to_record(p_file) AS n (kind text, store text, path text, format text, sample_rate integer,
        channels integer, frames bigint, size_bytes bigint);
    DELETE FROM gaps WHERE recording_id = p_recording;
    INSERT INTO gaps (recording_id, party, start_s, duration_s, kind, cause)
    SELECT p_recording, n.party, n.start_s, n.duration_s, n.kind, n.cause
    FROM jsonb_to_recordset(p_gaps) AS n (party integer, start_s double precision, duration_s double precision,
        kind text, cause text);
    -- Last: a new result voids every intent that is not claimed by now.
    UPDATE recordings SET finalised_at = now() WHERE id = p_recording;
    PERFORM write_ledger_v1(p_recording, p_ledger, (SELECT role <> 'copy' FROM recordings WHERE id = p_recording));
    INSERT INTO imports (recording_id, origin, version, imported_by) VALUES (p_recording, p_origin, p_version, p_by)
    ON CONFLICT ON CONSTRAINT imports_pkey DO UPDATE SET origin = EXCLUDED.origin, version = EXCLUDED.version,
        imported_by = EXCLUDED.imported_by, imported_at = now();
    PERFORM append_audit_v1(NULL, p_by, 'import', p_recording::text, '',
        jsonb_build_object('origin', p_origin, 'outcome', outcome, 'sha256', encode(p_version, 'hex')));
END $$;


-- A stretch that was redacted does not come back, neither from a copy nor from another site, and what is deleted or being
-- redacted does not reach another store.

-- As publish_master_v1, with where each copy lies; refused (`redacted`) when a stretch was taken out of one of them: the
-- others have it.
CREATE FUNCTION publish_master_v2(
    p_master uuid, p_copies jsonb, p_state text, p_started_at timestamptz, p_duration_s double precision,
    p_file jsonb, p_gaps jsonb, p_provenance jsonb, p_ledger jsonb, p_warnings jsonb, p_job bigint, p_worker text,
    p_claim bigint, OUT refused text, OUT superseded jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[] := ARRAY(SELECT (c ->> 'id')::uuid FROM jsonb_array_elements(p_copies) AS c) || p_master;
BEGIN
    -- Against a redaction that begins: whoever comes second sees the other's rows.
    PERFORM FROM recordings WHERE id = ANY (v_ids) ORDER BY id FOR UPDATE;
    IF EXISTS (SELECT FROM redactions WHERE recording_id = ANY (v_ids)) THEN
        refused := 'redacted';
        superseded := '[]';
        RETURN;
    END IF;
    PERFORM set_config('tandem.replaced_files_of_held', 'keep', true);
    SELECT p.refused, p.superseded INTO refused, superseded
    FROM publish_master_v1(p_master, p_copies, p_state, p_started_at, p_duration_s, p_file, p_gaps, p_provenance,
        p_ledger, p_warnings, p_job, p_worker, p_claim) AS p;
    PERFORM set_config('tandem.replaced_files_of_held', '', true);
    IF refused IS NULL THEN
        UPDATE copy_sources s SET placed = nullif(c -> 'placed', 'null')
        FROM jsonb_array_elements(p_copies) AS c
        WHERE s.master_id = p_master AND s.recording_id = (c ->> 'id')::uuid;
    END IF;
END $$;

-- As import_recording_v1, but `redacted` for another version of what was redacted here: it has the stretch, left alone.
CREATE FUNCTION import_recording_v2(
    p_recording uuid, p_facts jsonb, p_file jsonb, p_gaps jsonb, p_ledger jsonb, p_version bytea, p_origin text,
    p_by text,
    OUT outcome text
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(p_recording::text, 0));
    PERFORM FROM recordings WHERE id = p_recording AND state NOT IN ('deleting', 'deleted') FOR UPDATE;
    IF FOUND AND EXISTS (SELECT FROM redactions WHERE recording_id = p_recording)
        AND EXISTS (SELECT FROM imports WHERE recording_id = p_recording AND version <> p_version) THEN
        outcome := 'redacted';
        RETURN;
    END IF;
    PERFORM set_config('tandem.replaced_files_of_held', 'keep', true);
    outcome := import_recording_v1(p_recording, p_facts, p_file, p_gaps, p_ledger, p_version, p_origin, p_by);
    PERFORM set_config('tandem.replaced_files_of_held', '', true);
END $$;

CREATE FUNCTION move_file_v2(
    p_recording uuid, p_from text, p_to text, p_path text, p_sha256 bytea, p_job bigint, p_worker text, p_claim bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording AND state NOT IN ('deleting', 'deleted') FOR UPDATE;
    IF NOT FOUND
        OR EXISTS (SELECT FROM redactions WHERE recording_id = p_recording AND done_at IS NULL)
        OR NOT EXISTS (SELECT FROM intended_files WHERE store = p_to AND path = p_path)
        OR NOT EXISTS (
            SELECT FROM jobs WHERE id = p_job AND state = 'running' AND locked_by = p_worker AND claims = p_claim) THEN
        RETURN false;
    END IF;
    UPDATE files SET store = p_to
    WHERE recording_id = p_recording AND store = p_from AND path = p_path AND sha256 = p_sha256;
    IF NOT FOUND THEN
        UPDATE manifests SET store = p_to
        WHERE recording_id = p_recording AND store = p_from AND path = p_path AND sha256 = p_sha256;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END IF;
    PERFORM doom_file_v1(p_recording, p_from, p_path, 'uploaded');
    PERFORM append_audit_v1(NULL, 'curator', 'upload', p_recording::text, '',
        jsonb_build_object('from', p_from, 'to', p_to, 'file', file_label_v1(p_path), 'sha256', encode(p_sha256, 'hex')));
    RETURN true;
END $$;

-- Captures stay while something may still be read or made from them: while the recording is in a pair that nobody has
-- decided, or nobody has looked yet for recordings of the same call (the sound may be wanted for comparing); while work of
-- its files or of its copies waits, runs or was given up.
CREATE FUNCTION captures_needed_v1(p_recording uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    WITH work AS (
        SELECT array_agg(k.kind || ':' || k.subject) AS keys FROM (
            SELECT kind, p_recording AS subject FROM unnest(ARRAY['finalise', 'manifest']) AS kind
            UNION ALL
            SELECT kind, m.group_id FROM unnest(ARRAY['pair', 'heal']) AS kind, copy_members m
            WHERE m.recording_id = p_recording
        ) AS k
    )
    SELECT EXISTS (SELECT FROM recordings WHERE id = p_recording AND pairing_due)
        OR EXISTS (SELECT FROM copy_pairs WHERE one = p_recording AND state IN ('candidate', 'undecided'))
        OR EXISTS (SELECT FROM copy_pairs WHERE other = p_recording AND state IN ('candidate', 'undecided'))
        OR EXISTS (SELECT FROM jobs, work WHERE dedupe_key = ANY (keys) AND state IN ('queued', 'running'))
        OR EXISTS (SELECT FROM jobs, work WHERE dedupe_key = ANY (keys) AND state = 'dead')
$$;


-- Which host has a file: a store is named NAME when every host of the site sees it, and NAME@HOST when it is one host's
-- own directory. Jobs about files in such a store are done by that host; their kind ends in @HOST, like that of erasures.
CREATE FUNCTION store_host_v1(p_store text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT substring(p_store FROM '@(.*)$')
$$;

CREATE FUNCTION job_kind_of_store_v1(p_kind text, p_store text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT p_kind || coalesce('@' || store_host_v1(p_store), '')
$$;

CREATE INDEX doomed_files_gone_idx ON doomed_files (gone_at) WHERE gone_at IS NOT NULL;

-- The bytes are gone. The name is free at once if this is the only worker that ever had the job.
CREATE FUNCTION file_discarded_v1(p_store text, p_path text, p_alone boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF p_alone THEN
        DELETE FROM doomed_files WHERE store = p_store AND path = p_path;
    ELSE
        UPDATE doomed_files SET gone_at = coalesce(gone_at, now()) WHERE store = p_store AND path = p_path;
    END IF;
END $$;

-- The bytes of a file are in another store now; those in the former one are doomed. False when nothing claims them any
-- more, when the recording is on its way out or being redacted, and when intent or claim of the job were lost meanwhile.
-- Without a job a person asked for it.
CREATE FUNCTION move_file_v3(
    p_recording uuid, p_from text, p_to text, p_path text, p_sha256 bytea, p_by text, p_job bigint, p_worker text,
    p_claim bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_action text := CASE WHEN p_job IS NULL THEN 'move' ELSE 'upload' END;
BEGIN
    PERFORM FROM recordings WHERE id = p_recording AND state NOT IN ('deleting', 'deleted') FOR UPDATE;
    IF NOT FOUND
        OR EXISTS (SELECT FROM redactions WHERE recording_id = p_recording AND done_at IS NULL)
        OR NOT EXISTS (SELECT FROM intended_files WHERE store = p_to AND path = p_path)
        OR p_job IS NOT NULL AND NOT EXISTS (
            SELECT FROM jobs WHERE id = p_job AND state = 'running' AND locked_by = p_worker AND claims = p_claim) THEN
        RETURN false;
    END IF;
    UPDATE files SET store = p_to
    WHERE recording_id = p_recording AND store = p_from AND path = p_path AND sha256 = p_sha256;
    IF NOT FOUND THEN
        UPDATE manifests SET store = p_to
        WHERE recording_id = p_recording AND store = p_from AND path = p_path AND sha256 = p_sha256;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END IF;
    PERFORM doom_file_v1(p_recording, p_from, p_path, CASE WHEN p_job IS NULL THEN 'moved' ELSE 'uploaded' END);
    PERFORM append_audit_v1(NULL, p_by, v_action, p_recording::text, '',
        jsonb_build_object('from', p_from, 'to', p_to, 'file', file_label_v1(p_path), 'sha256', encode(p_sha256, 'hex')));
    IF is_held_v1(p_recording) THEN
        PERFORM enqueue_object_hold_v1(p_recording);
    END IF;
    RETURN true;
END $$;

-- Objects in a store that offers legal holds carry those of the catalog.
CREATE FUNCTION enqueue_object_hold_v1(p_recording uuid) RETURNS void
LANGUAGE sql AS $$
    SELECT enqueue_patient_job_v1('hold-objects', p_recording::text, jsonb_build_object('recording_id', p_recording))
    WHERE EXISTS (SELECT FROM files WHERE recording_id = p_recording AND store = 's3')
        OR EXISTS (SELECT FROM manifests WHERE recording_id = p_recording AND store = 's3')
$$;

CREATE FUNCTION holds_reach_objects_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM enqueue_object_hold_v1(h.id) FROM held_together_v1(NEW.recording_id) AS h (id);
    RETURN NULL;
END $$;

CREATE TRIGGER legal_holds_reach_objects AFTER INSERT OR UPDATE OF released_at ON legal_holds
    FOR EACH ROW EXECUTE FUNCTION holds_reach_objects_v1();

-- As stand_for_v1; false, and nothing changed, when a stretch was taken out of one of them: the others still have it.
CREATE FUNCTION stand_for_v2(p_master uuid, p_copies uuid[]) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    -- Against a redaction that begins: whoever comes second sees the other's rows.
    PERFORM FROM recordings WHERE id = p_master OR id = ANY (p_copies) OR master_id = p_master ORDER BY id FOR UPDATE;
    IF EXISTS (SELECT FROM redactions WHERE recording_id = p_master OR recording_id = ANY (p_copies)) THEN
        RETURN false;
    END IF;
    PERFORM stand_for_v1(p_master, p_copies);
    RETURN true;
END $$;


-- Redaction of everything that has a stretch: the copies of a call and the masters made of them, in whatever store and
-- form. Audio that is encrypted is made anew by whoever has a key, not by a curator.


-- What may hold a stretch of a recording: itself, what stands for it and the copies of that, and every master that was
-- made of any of them, also one that was withdrawn since. What is deleted holds nothing.
CREATE FUNCTION redaction_family_v1(p_recording uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    WITH subject AS (SELECT coalesce(master_id, id) AS master FROM recordings WHERE id = p_recording),
    standing AS (
        SELECT p_recording AS id
        UNION SELECT master FROM subject
        UNION SELECT r.id FROM recordings r JOIN subject s ON r.master_id = s.master
    ),
    family AS (
        SELECT id FROM standing
        UNION SELECT c.master_id FROM copy_sources c JOIN standing s ON s.id = c.recording_id
    )
    SELECT f.id FROM family f JOIN recordings r ON r.id = f.id WHERE r.state NOT IN ('deleting', 'deleted')
$$;

CREATE FUNCTION begin_redactions_v1(
    p_recording uuid, p_family uuid[], p_stretches jsonb, p_reason text, p_by text, OUT refused text, OUT subject uuid
) LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
    v_one record;
    v_redaction bigint;
BEGIN
    -- Against pairs that are noted and decided meanwhile, and publications of any of them.
    PERFORM lock_pairs_v1();
    PERFORM FROM recordings WHERE id = ANY (p_family) ORDER BY id FOR UPDATE;
    v_ids := ARRAY(SELECT f.id FROM redaction_family_v1(p_recording) AS f (id) ORDER BY f.id);
    IF v_ids <> ARRAY(SELECT f.id FROM unnest(p_family) AS f (id) ORDER BY f.id) THEN
        refused := 'changed';
        subject := p_recording;
        RETURN;
    END IF;
    FOR v_one IN
        SELECT r.id, CASE
            WHEN r.state NOT IN ('complete', 'interrupted', 'no-media') THEN r.state
            WHEN is_held_v1(r.id) THEN 'legal-hold'
            -- So may one that is not decided yet, or not healed.
            WHEN EXISTS (
                SELECT FROM copy_pairs p JOIN recordings o ON o.id = CASE p.one WHEN r.id THEN p.other ELSE p.one END
                WHERE r.id IN (p.one, p.other) AND p.state <> 'rejected' AND o.id <> ALL (v_ids)
                    AND o.state NOT IN ('deleting', 'deleted')) THEN 'pairs' END AS fault
        FROM recordings r WHERE r.id = ANY (v_ids) ORDER BY r.id <> p_recording, r.id
    LOOP
        IF v_one.fault IS NOT NULL THEN
            refused := v_one.fault;
            subject := v_one.id;
            RETURN;
        END IF;
    END LOOP;
    FOR v_one IN
        SELECT n.recording, n.party, n.start_s, n.end_s, r.captures, f.store, f.path LIKE '%.enc' AS encrypted
        FROM jsonb_to_recordset(p_stretches) AS n (recording uuid, party integer, start_s double precision,
            end_s double precision)
            JOIN recordings r ON r.id = n.recording AND r.id = ANY (v_ids)
            JOIN LATERAL (
                SELECT store, path FROM files WHERE recording_id = r.id AND kind = 'master' ORDER BY id LIMIT 1
            ) f ON true
        ORDER BY n.recording, n.party, n.start_s
    LOOP
        SELECT id INTO v_redaction FROM redactions
        WHERE recording_id = v_one.recording AND done_at IS NULL AND party IS NOT DISTINCT FROM v_one.party
            AND start_s = v_one.start_s AND end_s = v_one.end_s;
        IF NOT FOUND THEN
            INSERT INTO redactions (recording_id, party, start_s, end_s, reason, requested_by)
            VALUES (v_one.recording, v_one.party, v_one.start_s, v_one.end_s, p_reason, p_by)
            RETURNING id INTO v_redaction;
            PERFORM append_audit_v1(NULL, p_by, 'redact', v_one.recording::text, p_reason, jsonb_build_object(
                'redaction', v_redaction, 'party', v_one.party, 'start_s', v_one.start_s, 'end_s', v_one.end_s)
                || CASE WHEN v_one.recording = p_recording THEN '{}'
                    ELSE jsonb_build_object('because_of', p_recording) END);
        END IF;
        IF v_one.captures <> 'erased' THEN
            UPDATE recordings SET captures = 'erasing', sealed_at = coalesce(sealed_at, now())
            WHERE id = v_one.recording AND captures <> 'erasing';
            PERFORM enqueue_erasures_v1(v_one.recording);
        END IF;
        IF NOT v_one.encrypted THEN
            PERFORM enqueue_job_v1(job_kind_of_store_v1('redact', v_one.store), v_one.recording::text,
                jsonb_build_object('recording_id', v_one.recording));
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION swap_redacted_v2(
    p_recording uuid, p_redactions bigint[], p_old_sha256 bytea, p_file jsonb, p_gaps jsonb, p_ledger jsonb,
    p_job bigint, p_worker text, p_claim bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_role text;
    v_new bytea := decode(p_file ->> 'sha256', 'hex');
BEGIN
    SELECT role INTO v_role FROM recordings
    WHERE id = p_recording AND state NOT IN ('deleting', 'deleted') FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'deleted';
    END IF;
    IF p_job IS NOT NULL AND NOT EXISTS (
        SELECT FROM jobs WHERE id = p_job AND state = 'running' AND locked_by = p_worker AND claims = p_claim) THEN
        RETURN 'job-lost';
    END IF;
    PERFORM require_no_hold_v1(p_recording);
    UPDATE files SET kind = 'to-erase' WHERE recording_id = p_recording AND kind = 'master' AND sha256 = p_old_sha256;
    IF NOT FOUND THEN
        RETURN 'file-changed';
    END IF;
    -- An earlier file that a hold kept has the stretch as well.
    UPDATE files SET kind = 'to-erase' WHERE recording_id = p_recording AND kind = 'superseded';
    INSERT INTO files (recording_id, kind, store, path, format, sample_rate, channels, frames, size_bytes, sha256)
    SELECT p_recording, 'master', n.store, n.path, n.format, n.sample_rate, n.channels, n.frames, n.size_bytes, v_new
    FROM jsonb_to_record(p_file) AS n (store text, path text, format text, sample_rate integer, channels integer,
        frames bigint, size_bytes bigint);
    DELETE FROM gaps WHERE recording_id = p_recording;
    INSERT INTO gaps (recording_id, segment_id, party, start_s, duration_s, kind, cause)
    SELECT p_recording, n.segment_id, n.party, n.start_s, n.duration_s, n.kind, n.cause
    FROM jsonb_to_recordset(p_gaps) AS n (segment_id uuid, party integer, start_s double precision,
        duration_s double precision, kind text, cause text);
    PERFORM write_ledger_v1(p_recording, p_ledger, v_role <> 'copy');
    -- Less sound makes no other copy of it: what was found and healed stays found.
    UPDATE copy_pairs SET one_sha256 = v_new WHERE one = p_recording AND one_sha256 = p_old_sha256;
    UPDATE copy_pairs SET other_sha256 = v_new WHERE other = p_recording AND other_sha256 = p_old_sha256;
    UPDATE copy_sources SET sha256 = v_new WHERE recording_id = p_recording AND sha256 = p_old_sha256;
    UPDATE redactions SET silenced_at = now() WHERE recording_id = p_recording AND id = ANY (p_redactions);
    -- Another result: it is stated and signed anew.
    UPDATE recordings SET finalised_at = now() WHERE id = p_recording;
    RETURN NULL;
END $$;

-- What became of a recording is a term as well where it is rare: an agent's recordings that lost something are then found
-- in the index, not by reading all that the agent has. Names are never empty, so nothing that was received looks like it.
CREATE FUNCTION recording_terms_v1(p_recording uuid) RETURNS tsvector
LANGUAGE sql STABLE AS $$
    SELECT recording_words_v1(id) || array_to_tsvector(array_remove(ARRAY[
        CASE WHEN state IN ('interrupted', 'no-media', 'failed') THEN search_term_v1('', state) END,
        CASE WHEN lost_s > 0 THEN search_term_v1('', 'lost') END], NULL))
    FROM recordings WHERE id = p_recording
$$;

-- A term that is true no more does no harm: a search looks at the recording too.
CREATE TRIGGER recordings_want_search_of_outcome AFTER UPDATE OF state, lost_s ON recordings FOR EACH ROW
WHEN (NEW.state IN ('interrupted', 'no-media', 'failed') AND NEW.state <> OLD.state
    OR NEW.lost_s > 0 AND coalesce(OLD.lost_s, 0) = 0)
EXECUTE FUNCTION want_search_v1();

-- Long recordings are rarer than the planner's statistics make them; here they are read in their order.
CREATE INDEX recordings_long_idx ON recordings (started_at DESC, id DESC, duration_s) WHERE duration_s >= 1800;

-- Close a segment and its dialog; with the last open segment the recording goes to its curator, in one transaction.
CREATE FUNCTION close_segment_v2(
    p_lease text, p_epoch bigint, p_segment uuid, p_closed_at timestamptz, p_cause text, p_interrupted boolean,
    p_snapshot bytea, p_warnings jsonb, p_client_closed_at timestamptz,
    OUT recording_id uuid, OUT open_segments integer, OUT changed boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_recording uuid;
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    -- The recording's row first, as in open_segment_v1: two segments that close at once must count each other.
    SELECT r.id INTO v_recording FROM recordings r
    WHERE r.id = (SELECT s.recording_id FROM segments s WHERE s.id = p_segment) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE segments SET state = CASE WHEN p_interrupted THEN 'interrupted' ELSE 'closed' END,
        interrupted = p_interrupted, closed_at = greatest(p_closed_at, opened_at), end_cause = p_cause,
        client_closed_at = p_client_closed_at
    WHERE id = p_segment AND state = 'open';
    changed := FOUND;
    UPDATE dialogs SET ended_at = coalesce(ended_at, now()), updated_at = now(), epoch = p_epoch,
        snapshot = coalesce(p_snapshot, snapshot)
    WHERE segment_id = p_segment AND dialog_id = (SELECT s.dialog_id FROM segments s WHERE s.id = p_segment);
    SELECT count(*) INTO open_segments FROM segments s WHERE s.recording_id = v_recording AND s.state = 'open';
    recording_id := v_recording;
    IF NOT changed THEN
        RETURN;
    END IF;
    UPDATE recordings SET warnings = warnings || p_warnings, ended_at = greatest(ended_at, p_closed_at, started_at),
        state = CASE WHEN open_segments = 0 THEN 'finalising' ELSE state END
    WHERE id = v_recording;
    IF open_segments = 0 THEN
        PERFORM enqueue_job_v1('finalise', v_recording::text, jsonb_build_object('recording_id', v_recording));
    END IF;
END $$;

-- As swap_redacted_v2. What is left after it is to erase the former file: the job waits for that, and where a person
-- silenced it there is one from now on.
CREATE FUNCTION swap_redacted_v3(
    p_recording uuid, p_redactions bigint[], p_old_sha256 bytea, p_file jsonb, p_gaps jsonb, p_ledger jsonb,
    p_job bigint, p_worker text, p_claim bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_refused text := swap_redacted_v2(p_recording, p_redactions, p_old_sha256, p_file, p_gaps, p_ledger, p_job,
        p_worker, p_claim);
BEGIN
    IF v_refused IS NULL AND p_job IS NULL THEN
        PERFORM enqueue_patient_job_v1(job_kind_of_store_v1('redact', p_file ->> 'store'), p_recording::text,
            jsonb_build_object('recording_id', p_recording));
    ELSIF v_refused IS NULL THEN
        UPDATE jobs SET max_attempts = 1000000 WHERE id = p_job;
    END IF;
    RETURN v_refused;
END $$;

-- As finish_redactions_v1, of the former files that are gone: a further one may have come meanwhile.
CREATE FUNCTION finish_redactions_v2(
    p_recording uuid, p_redactions bigint[], p_erased bytea[], p_job bigint, p_worker text, p_claim bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    DELETE FROM files WHERE recording_id = p_recording AND kind = 'to-erase' AND sha256 = ANY (p_erased);
    UPDATE redactions SET done_at = now(), silenced_at = coalesce(silenced_at, now())
    WHERE recording_id = p_recording AND id = ANY (p_redactions) AND done_at IS NULL;
    IF p_job IS NOT NULL THEN
        PERFORM complete_job_v1(p_job, p_worker, p_claim);
    END IF;
END $$;


-- SIP messages by month: much of what a call adds, written once and hardly ever read. An old month goes as a whole. See
-- docs/catalog.md and ADR 23.

-- Make a table the partition of a month of a table that is partitioned by months. Attached rather than created in place:
-- readers and writers of other months are not kept waiting.
CREATE FUNCTION attach_month_v1(p_table text, p_part text, p_month timestamp) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', p_table, p_part,
        p_month AT TIME ZONE 'UTC', (p_month + interval '1 month') AT TIME ZONE 'UTC');
END $$;

-- Make the partition of the month of a moment, if it is missing.
CREATE FUNCTION ensure_month_v1(p_table text, p_at timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_month timestamp := date_trunc('month', p_at AT TIME ZONE 'UTC');
    v_name text := p_table || '_' || to_char(v_month, 'YYYYMM');
BEGIN
    IF to_regclass(v_name) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Whoever else needs it now waits here, and then finds it; this is the lock that attaching takes anyway.
    EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', p_table);
    IF to_regclass(v_name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', v_name, p_table);
        PERFORM attach_month_v1(p_table, v_name, v_month);
    END IF;
END $$;

-- Without a foreign key: attaching a partition would then lock the segments against every INVITE. The one function that
-- adds messages looks at their segments. No key of its own either: nothing looks a message up by its number.
CREATE SEQUENCE sip_messages_number;

CREATE TABLE sip_messages (
    id bigint NOT NULL DEFAULT nextval('sip_messages_number'),    -- order of messages of one moment
    segment_id uuid NOT NULL,
    at timestamptz NOT NULL,
    inbound boolean NOT NULL,
    flow text NOT NULL,
    message bytea NOT NULL
) PARTITION BY RANGE (at);

CREATE INDEX sip_messages_segment_idx ON sip_messages (segment_id, at);

-- Append messages to the traces of several segments, in their order; those of segments that do not exist (yet) or are
-- deleted are left out. Returns the segments of the others.
CREATE FUNCTION add_traces_v1(
    p_lease text, p_epoch bigint, p_segments uuid[], p_at timestamptz[], p_inbound boolean[], p_flow text[],
    p_message bytea[]
) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    PERFORM ensure_month_v1('sip_messages', m.at)
    FROM (SELECT DISTINCT date_trunc('month', a AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' FROM unnest(p_at) AS a) AS m (at);
    RETURN QUERY
    WITH added AS (
        INSERT INTO sip_messages (segment_id, at, inbound, flow, message)
        SELECT m.segment_id, m.at, m.inbound, m.flow, m.message
        FROM unnest(p_segments, p_at, p_inbound, p_flow, p_message)
            WITH ORDINALITY AS m (segment_id, at, inbound, flow, message, position)
            JOIN segments s ON s.id = m.segment_id AND s.state <> 'deleted'
        ORDER BY m.position
        RETURNING sip_messages.segment_id
    ) SELECT DISTINCT a.segment_id FROM added AS a;
END $$;

-- What of a month (its first day) has to stay: sessions with messages in it that are of recordings under legal hold, or of
-- their copies; and whether there are messages of others.
CREATE FUNCTION trace_month_v1(p_month date, OUT held uuid[], OUT others boolean)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_name text := 'sip_messages_' || to_char(p_month, 'YYYYMM');
BEGIN
    SELECT coalesce(array_agg(DISTINCT s.id), '{}') INTO held
    FROM legal_holds h CROSS JOIN LATERAL held_together_v1(h.recording_id) AS t (id)
        JOIN segments s ON s.recording_id = t.id
    WHERE h.released_at IS NULL;
    EXECUTE format('SELECT coalesce(array_agg(h), ''{}'') FROM unnest($1) AS h'
        ' WHERE EXISTS (SELECT FROM %I AS m WHERE m.segment_id = h)', v_name) INTO held USING held;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE segment_id <> ALL ($1))', v_name) INTO others USING held;
EXCEPTION WHEN undefined_table THEN
    -- Another curator has given it up meanwhile.
    held := '{}';
    others := false;
END $$;

-- The months that ended before a moment and have messages that may go, oldest first; with what they take of the disk.
CREATE FUNCTION old_trace_months_v1(p_before timestamptz)
RETURNS TABLE (month date, size_bytes bigint, held_sessions integer)
LANGUAGE sql STABLE AS $$
    SELECT m.month, m.size_bytes, cardinality(t.held)
    FROM (
        SELECT to_date(right(c.relname, 6), 'YYYYMM') AS month, pg_total_relation_size(c.oid) AS size_bytes
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'sip_messages'::regclass
    ) AS m CROSS JOIN LATERAL trace_month_v1(m.month) AS t
    WHERE (m.month + interval '1 month') AT TIME ZONE 'UTC' <= p_before AND t.others
    ORDER BY m.month
$$;

-- Give up the SIP messages of a month (its first day): its table goes at once. Messages of what is held stay, in a table
-- of their own. `refused`: `nothing-to-forget`, or `busy` while somebody reads or writes; ask again later.
CREATE FUNCTION forget_trace_month_v1(
    p_month date, p_by text, p_reason text, OUT refused text, OUT size_bytes bigint, OUT held_sessions integer
) LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    v_name text := 'sip_messages_' || to_char(p_month, 'YYYYMM');
    v_rest text := v_name || '_held';
    v_held uuid[];
    v_others boolean;
BEGIN
    size_bytes := 0;
    held_sessions := 0;
    -- No hold comes between the look and the deed, and no other curator.
    LOCK TABLE legal_holds IN SHARE ROW EXCLUSIVE MODE;
    SELECT t.held, t.others INTO v_held, v_others FROM trace_month_v1(p_month) AS t;
    IF NOT v_others THEN
        refused := 'nothing-to-forget';
        RETURN;
    END IF;
    size_bytes := pg_total_relation_size(v_name::regclass);
    held_sessions := cardinality(v_held);
    IF held_sessions > 0 THEN
        EXECUTE format('CREATE TABLE %I (LIKE sip_messages INCLUDING ALL)', v_rest);
        EXECUTE format('INSERT INTO %I SELECT * FROM %I WHERE segment_id = ANY ($1)', v_rest, v_name) USING v_held;
        size_bytes := size_bytes - pg_total_relation_size(v_rest::regclass);
    END IF;
    EXECUTE format('DROP TABLE %I', v_name);
    IF held_sessions > 0 THEN
        EXECUTE format('ALTER TABLE %I RENAME TO %I', v_rest, v_name);
        PERFORM attach_month_v1('sip_messages', v_name, p_month::timestamp);
    END IF;
    PERFORM append_audit_v1(NULL, p_by, 'forget-traces', to_char(p_month, 'YYYY-MM'), p_reason,
        jsonb_build_object('size_bytes', size_bytes, 'held_sessions', held_sessions));
EXCEPTION WHEN lock_not_available THEN
    refused := 'busy';
    size_bytes := 0;
    held_sessions := 0;
END $$;
