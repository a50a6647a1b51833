-- A stretch that was redacted does not come back, neither from a copy nor from another site, and what is deleted or being
-- redacted does not reach another store.

-- Decide to redact. `refused` is null on success, else why not.
CREATE OR REPLACE FUNCTION begin_redaction_v1(
    p_recording uuid, p_party integer, p_start_s double precision, p_end_s double precision, p_reason text, p_by text,
    OUT refused text, OUT redaction bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_recording recordings;
    v_file files;
BEGIN
    SELECT * INTO v_recording FROM recordings WHERE id = p_recording FOR UPDATE;
    SELECT * INTO v_file FROM files WHERE recording_id = p_recording AND kind = 'master' ORDER BY id LIMIT 1;
    refused := CASE
        WHEN v_recording.id IS NULL THEN 'unknown-recording'
        WHEN v_recording.state NOT IN ('complete', 'interrupted') THEN v_recording.state
        WHEN is_held_v1(p_recording) THEN 'legal-hold'
        -- What one copy loses the others and the master still have.
        WHEN v_recording.role <> 'recording' THEN 'copies'
        -- So may one that is not decided yet, or not healed.
        WHEN EXISTS (
            SELECT FROM copy_pairs WHERE p_recording IN (one, other) AND state <> 'rejected') THEN 'pairs'
        WHEN v_file.id IS NULL THEN 'no-audio'
        WHEN v_file.path LIKE '%.enc' THEN 'encrypted'
        WHEN v_file.store <> 'local' THEN 'store'
        WHEN v_file.format NOT LIKE 'wav%' THEN 'format'
        WHEN p_start_s >= v_recording.duration_s OR p_party >= v_file.channels THEN 'outside' END;
    IF refused IS NOT NULL THEN
        RETURN;
    END IF;
    INSERT INTO redactions (recording_id, party, start_s, end_s, reason, requested_by)
    VALUES (p_recording, p_party, p_start_s, p_end_s, p_reason, p_by) RETURNING id INTO redaction;
    IF v_recording.captures <> 'erased' THEN
        UPDATE recordings SET captures = 'erasing', sealed_at = coalesce(sealed_at, now()) WHERE id = p_recording;
        PERFORM enqueue_erasures_v1(p_recording);
    END IF;
    PERFORM enqueue_job_v1('redact', p_recording::text, jsonb_build_object('recording_id', p_recording));
    PERFORM append_audit_v1(NULL, p_by, 'redact', p_recording::text, p_reason, jsonb_build_object(
        'redaction', redaction, 'party', p_party, 'start_s', p_start_s, 'end_s', p_end_s));
END $$;

-- As publish_master_v1, but refused (`redacted`) when a stretch was taken out of one of the copies: the others have it.
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
    SELECT p.refused, p.superseded INTO refused, superseded
    FROM publish_master_v1(p_master, p_copies, p_state, p_started_at, p_duration_s, p_file, p_gaps, p_provenance,
        p_ledger, p_warnings, p_job, p_worker, p_claim) AS p;
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
    outcome := import_recording_v1(p_recording, p_facts, p_file, p_gaps, p_ledger, p_version, p_origin, p_by);
END $$;

-- The bytes of a file are in another store now; those in the former one are doomed. False when nothing claims them, when
-- the recording is on its way out or being redacted, and for a worker whose job or intent somebody else ended since.
DROP FUNCTION move_file_v1(uuid, text, text, text, bytea);
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
