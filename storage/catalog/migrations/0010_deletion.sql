-- Deletion, in the order that survives a crash at any point: intent in the catalog, files erased and their directories
-- synced on each host, tombstone. A sealed recording takes no further session: its identifier opens a new recording.

ALTER TABLE recordings DROP CONSTRAINT recordings_state_known, ADD CONSTRAINT recordings_state_known CHECK (state IN (
    'recording', 'finalising', 'complete', 'interrupted', 'no-media', 'failed', 'deleting', 'deleted'));
ALTER TABLE recordings
    ADD COLUMN sealed_at timestamptz,
    ADD COLUMN captures text NOT NULL DEFAULT 'kept'
        CONSTRAINT recordings_captures_known CHECK (captures IN ('kept', 'erasing', 'erased')),
    ADD CONSTRAINT recordings_erased_is_sealed CHECK (
        sealed_at IS NOT NULL OR (captures = 'kept' AND state NOT IN ('deleting', 'deleted'))),
    DROP CONSTRAINT recordings_record_identifier_key;
CREATE UNIQUE INDEX recordings_open_identifier_key ON recordings (record_identifier) WHERE sealed_at IS NULL;
CREATE INDEX recordings_identifier_idx ON recordings (record_identifier);
ALTER TABLE segments DROP CONSTRAINT segments_state_known, ADD CONSTRAINT segments_state_known CHECK (state IN (
    'open', 'closed', 'interrupted', 'finalised', 'deleted'));

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

-- Hosts that have something of a recording get a job of their own kind, which only they take.
CREATE FUNCTION enqueue_erasures_v1(p_recording uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO erasures (recording_id, host)
    SELECT DISTINCT p_recording, c.host FROM captures_of_v1(p_recording) AS c
    ON CONFLICT DO NOTHING;
    -- One without sessions (healed from copies) has its files wherever a curator runs.
    IF NOT EXISTS (SELECT FROM erasures WHERE recording_id = p_recording) THEN
        INSERT INTO erasures (recording_id, host) VALUES (p_recording, '');
    END IF;
    PERFORM enqueue_job_v1('erase@' || e.host, p_recording::text, jsonb_build_object('recording_id', p_recording))
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
        FROM files f WHERE f.recording_id = p_recording;
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

-- A deletion that has begun is carried through: no hold and no rendering comes in between any more.
CREATE OR REPLACE FUNCTION require_no_hold_v1(p_recording uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording AND state <> 'deleting' FOR SHARE;
    IF FOUND AND is_held_v1(p_recording) THEN
        RAISE EXCEPTION 'recording % is under legal hold', p_recording USING ERRCODE = 'TD004';
    END IF;
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

-- As before, but a sealed recording is not continued.
CREATE OR REPLACE FUNCTION open_segment_v1(
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

-- As before; what is deleted stays deleted.
CREATE OR REPLACE FUNCTION publish_v1(
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

-- What comes late from a journal is not kept for a session that is deleted.
CREATE OR REPLACE FUNCTION add_metadata_v1(
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

CREATE OR REPLACE FUNCTION add_trace_v1(
    p_lease text, p_epoch bigint, p_segment uuid, p_at timestamptz[], p_inbound boolean[], p_flow text[],
    p_message bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    INSERT INTO sip_messages (segment_id, at, inbound, flow, message)
    SELECT p_segment, m.* FROM unnest(p_at, p_inbound, p_flow, p_message) AS m
    WHERE NOT EXISTS (SELECT FROM segments WHERE id = p_segment AND state = 'deleted');
END $$;
