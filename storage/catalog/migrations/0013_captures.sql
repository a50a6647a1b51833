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
