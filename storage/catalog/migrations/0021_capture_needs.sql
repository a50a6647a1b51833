-- Captures stay while something may still be read or made from them.

-- Whether a recording is in a pair that nobody has decided, or has work of its files or of its copies that waits, runs
-- or was given up.
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
    SELECT EXISTS (SELECT FROM copy_pairs WHERE one = p_recording AND state IN ('candidate', 'undecided'))
        OR EXISTS (SELECT FROM copy_pairs WHERE other = p_recording AND state IN ('candidate', 'undecided'))
        OR EXISTS (SELECT FROM jobs, work WHERE dedupe_key = ANY (keys) AND state IN ('queued', 'running'))
        OR EXISTS (SELECT FROM jobs, work WHERE dedupe_key = ANY (keys) AND state = 'dead')
$$;

-- Decide to erase the captures of a finished recording: from now on it cannot be rendered again, nor go on.
CREATE OR REPLACE FUNCTION begin_capture_erasure_v1(
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
