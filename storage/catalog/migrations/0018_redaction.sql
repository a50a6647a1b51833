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
    CONSTRAINT redactions_not_empty CHECK (end_s > start_s)
);
CREATE INDEX redactions_recording_idx ON redactions (recording_id, id);

-- Decide to redact. `refused` is null on success, else why not.
CREATE FUNCTION begin_redaction_v1(
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

-- Put the redacted file in the place of the master; the old one stays claimed, as `to-erase`, until it is gone.
-- `refused` names the race that was lost.
CREATE FUNCTION swap_redacted_v1(
    p_recording uuid, p_old_sha256 bytea, p_file jsonb, p_gaps jsonb, p_ledger jsonb, p_job bigint, p_worker text,
    p_claim bigint
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    IF NOT EXISTS (
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
    SELECT p_recording, 'master', n.store, n.path, n.format, n.sample_rate, n.channels, n.frames, n.size_bytes,
        decode(n.sha256, 'hex')
    FROM jsonb_to_record(p_file) AS n (store text, path text, format text, sample_rate integer, channels integer,
        frames bigint, size_bytes bigint, sha256 text);
    DELETE FROM gaps WHERE recording_id = p_recording;
    INSERT INTO gaps (recording_id, segment_id, party, start_s, duration_s, kind, cause)
    SELECT p_recording, n.segment_id, n.party, n.start_s, n.duration_s, n.kind, n.cause
    FROM jsonb_to_recordset(p_gaps) AS n (segment_id uuid, party integer, start_s double precision,
        duration_s double precision, kind text, cause text);
    PERFORM write_ledger_v1(p_recording, p_ledger);
    -- Another result: it is stated and signed anew.
    UPDATE recordings SET finalised_at = now() WHERE id = p_recording;
    RETURN NULL;
END $$;

-- The old file is gone: the redactions that the present one holds are done.
CREATE FUNCTION finish_redactions_v1(p_recording uuid, p_redactions bigint[], p_job bigint, p_worker text, p_claim bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    DELETE FROM files WHERE recording_id = p_recording AND kind = 'to-erase';
    UPDATE redactions SET done_at = now() WHERE recording_id = p_recording AND id = ANY (p_redactions) AND done_at IS NULL;
    PERFORM complete_job_v1(p_job, p_worker, p_claim);
END $$;
