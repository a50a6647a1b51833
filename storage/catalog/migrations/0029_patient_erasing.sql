-- Erasing waits for stores that keep their objects for a time (object lock): its jobs are never given up.

-- Whoever has captures of it, and whoever has files of it in a directory of its own.
CREATE OR REPLACE FUNCTION enqueue_erasures_v1(p_recording uuid) RETURNS void
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
