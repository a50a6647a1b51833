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

-- Replace the result of a recording. `refused` is null on success, else the name of the race that was lost;
-- `superseded` lists [[store, path], ...] that the catalog no longer claims.
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
