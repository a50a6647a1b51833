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

-- Everything that must be durable before the 200 to an INVITE. Repeating it with the same segment changes nothing.
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
    ON CONFLICT ON CONSTRAINT recordings_record_identifier_key DO UPDATE SET
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
-- the segment is unknown.
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
        segment_id = EXCLUDED.segment_id, snapshot = EXCLUDED.snapshot, updated_at = now();
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

-- Close a segment and its dialog; with the last open segment the recording goes to its curator, in one transaction.
CREATE FUNCTION close_segment_v1(
    p_lease text, p_epoch bigint, p_segment uuid, p_closed_at timestamptz, p_cause text, p_interrupted boolean,
    p_snapshot bytea, p_warnings jsonb,
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
        interrupted = p_interrupted, closed_at = greatest(p_closed_at, opened_at), end_cause = p_cause
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

CREATE FUNCTION add_metadata_v1(
    p_lease text, p_epoch bigint, p_segment uuid, p_received_at timestamptz, p_content_type text, p_body bytea,
    p_sha256 bytea
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    INSERT INTO metadata_revisions (segment_id, received_at, content_type, body, sha256)
    VALUES (p_segment, p_received_at, p_content_type, p_body, p_sha256)
    ON CONFLICT ON CONSTRAINT metadata_revisions_key DO NOTHING;
END $$;

CREATE FUNCTION add_trace_v1(
    p_lease text, p_epoch bigint, p_segment uuid, p_at timestamptz[], p_inbound boolean[], p_flow text[],
    p_message bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    INSERT INTO sip_messages (segment_id, at, inbound, flow, message)
    SELECT p_segment, m.* FROM unnest(p_at, p_inbound, p_flow, p_message) AS m;
END $$;
