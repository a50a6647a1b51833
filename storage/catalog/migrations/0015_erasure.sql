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
