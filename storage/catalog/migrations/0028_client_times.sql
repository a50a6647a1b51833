-- When the client says that it ended a session (Date of its BYE, RFC 7865 section 6.1.1). What it says of the beginning is
-- with the parameters. Our own times stay those of our clock, which the audio is placed by.

ALTER TABLE segments ADD COLUMN client_closed_at timestamptz;

DROP FUNCTION close_segment_v1(text, bigint, uuid, timestamptz, text, boolean, bytea, jsonb);
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
