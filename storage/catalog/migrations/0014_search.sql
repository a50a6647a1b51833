-- Search by any metadata: each recording has a row of terms `name=value` in small letters, by month, kept behind the
-- writes by whoever calls index_recordings_v1. See docs/catalog.md and ADR 0011.

-- What people add to a recording afterwards. What was received is never changed, nor is an annotation.
CREATE TABLE annotations (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT annotations_pkey PRIMARY KEY,
    recording_id uuid NOT NULL CONSTRAINT annotations_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL CONSTRAINT annotations_name_length CHECK (length(name) BETWEEN 1 AND 64),
    value text NOT NULL,
    reason text NOT NULL DEFAULT '',
    added_by text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX annotations_recording_idx ON annotations (recording_id, id);

-- Who spoke, for people: one row for each participant that the metadata named.
CREATE VIEW recording_participants AS
SELECT s.recording_id, t.segment_id, t.m_line, t.party, p.who ->> 'name' AS name, p.who ->> 'aor' AS aor,
    p.who ->> 'dn' AS dn, p.who ->> 'participant_id' AS participant_id
FROM segments s JOIN streams t ON t.segment_id = s.id
CROSS JOIN LATERAL (
    SELECT t.participant AS who WHERE t.participant IS NOT NULL
    UNION ALL SELECT o FROM jsonb_array_elements(
        CASE jsonb_typeof(t.participant -> 'others') WHEN 'array' THEN t.participant -> 'others' ELSE '[]' END) AS o
) AS p;

-- Without a foreign key: attaching a partition would then lock the recordings against every INVITE.
CREATE TABLE recording_search (
    recording_id uuid NOT NULL,
    started_at timestamptz NOT NULL,
    terms tsvector NOT NULL,
    CONSTRAINT recording_search_pkey PRIMARY KEY (recording_id, started_at)
) PARTITION BY RANGE (started_at);
CREATE INDEX recording_search_started_idx ON recording_search (started_at DESC, recording_id DESC);
CREATE INDEX recording_search_terms_idx ON recording_search USING gin (terms);

-- Recordings whose terms have to be made (again). No index and no constraint: it lies on the way of each INVITE.
CREATE TABLE search_pending (recording_id uuid NOT NULL);

CREATE FUNCTION want_search_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO search_pending (recording_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
-- Every function that changes what can be searched for sets one of these columns, be it to what it was.
CREATE TRIGGER recordings_want_search
AFTER INSERT OR UPDATE OF call_uuid, conn_id, ani, dnis, dn, other_dn, record_dn, agent_id, sips_app_name, tenant,
    parameters, started_at
ON recordings FOR EACH ROW EXECUTE FUNCTION want_search_v1();

CREATE FUNCTION forget_search_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM recording_search WHERE recording_id = OLD.id AND started_at = OLD.started_at;
    RETURN NULL;
END $$;
CREATE TRIGGER recordings_forget_search AFTER DELETE ON recordings
FOR EACH ROW EXECUTE FUNCTION forget_search_v1();

-- A tombstone keeps nothing of the call that policy does not name; people's notes are of the call.
CREATE FUNCTION forget_annotations_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM annotations WHERE recording_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER recordings_forget_annotations AFTER UPDATE OF state ON recordings
FOR EACH ROW WHEN (NEW.state = 'deleted') EXECUTE FUNCTION forget_annotations_v1();

-- One term; its length is bounded far below what a tsvector takes.
CREATE FUNCTION search_term_v1(p_name text, p_value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(lower(p_name), 64) || '=' || left(lower(p_value), 200)
$$;

-- The query for terms that all must be there; with p_begins the value is only a beginning.
CREATE FUNCTION search_query_v1(p_names text[], p_values text[], p_begins boolean[]) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(
        '''' || replace(replace(search_term_v1(n.name, n.value), '\', '\\'), '''', '''''') || ''''
            || CASE WHEN n.begins THEN ':*' ELSE '' END, ' & ')::tsquery
    FROM unnest(p_names, p_values, p_begins) AS n (name, value, begins)
$$;

CREATE FUNCTION recording_terms_v1(p_recording uuid) RETURNS tsvector
LANGUAGE sql STABLE AS $$
    SELECT array_to_tsvector(coalesce(array_agg(DISTINCT search_term_v1(t.name, t.value)), '{}'))
    FROM (
        SELECT n.name, n.value FROM recordings r CROSS JOIN LATERAL (VALUES
            ('door', r.door), ('call_uuid', r.call_uuid), ('conn_id', r.conn_id), ('ani', r.ani), ('dnis', r.dnis),
            ('dn', r.dn), ('dn', r.other_dn), ('record_dn', r.record_dn), ('agent', r.agent_id),
            ('application', r.sips_app_name), ('tenant', r.tenant)
        ) AS n (name, value) WHERE r.id = p_recording
        UNION ALL
        SELECT e.pair ->> 0, e.pair ->> 1 FROM segments s CROSS JOIN LATERAL jsonb_array_elements(s.parameters) AS e (pair)
        WHERE s.recording_id = p_recording
        UNION ALL
        SELECT n.name, n.value FROM recording_participants p CROSS JOIN LATERAL (VALUES
            ('participant', p.name), ('participant', p.aor), ('participant', p.dn), ('dn', p.dn)
        ) AS n (name, value) WHERE p.recording_id = p_recording
        UNION ALL
        SELECT a.name, a.value FROM annotations a WHERE a.recording_id = p_recording
    ) AS t WHERE t.name <> '' AND t.value <> ''
$$;

-- Make the partition of a month, if it is missing.
CREATE FUNCTION ensure_search_month_v1(p_at timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_month timestamp := date_trunc('month', p_at AT TIME ZONE 'UTC');
    v_name text := 'recording_search_' || to_char(v_month, 'YYYYMM');
BEGIN
    IF to_regclass(v_name) IS NULL THEN
        -- Attached rather than created in place: readers and writers of other months are not kept waiting.
        EXECUTE format('CREATE TABLE %I (LIKE recording_search INCLUDING ALL)', v_name);
        EXECUTE format('ALTER TABLE recording_search ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', v_name,
            v_month AT TIME ZONE 'UTC', (v_month + interval '1 month') AT TIME ZONE 'UTC');
    END IF;
END $$;

-- Make the terms of some recordings that wait for it; returns how many entries of the queue were done. One at a time:
-- terms that were read first must not be written last.
CREATE FUNCTION index_recordings_v1(p_limit integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
    v_count integer;
    v_month timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM search_pending) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('tandem:search', 0));
    WITH taken AS (
        DELETE FROM search_pending WHERE ctid = ANY (ARRAY(SELECT ctid FROM search_pending LIMIT p_limit))
        RETURNING recording_id
    ) SELECT array_agg(DISTINCT recording_id), count(*) INTO v_ids, v_count FROM taken;
    FOR v_month IN
        SELECT DISTINCT date_trunc('month', started_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        FROM recordings WHERE id = ANY (v_ids)
    LOOP
        PERFORM ensure_search_month_v1(v_month);
    END LOOP;
    DELETE FROM recording_search WHERE recording_id = ANY (v_ids);
    INSERT INTO recording_search (recording_id, started_at, terms)
    SELECT id, started_at, recording_terms_v1(id) FROM recordings WHERE id = ANY (v_ids);
    RETURN v_count;
END $$;

-- Add to a recording what was learnt later; null for an unknown one.
CREATE FUNCTION annotate_v1(p_recording uuid, p_names text[], p_values text[], p_reason text, p_by text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- The same said again is not said twice.
    INSERT INTO annotations (recording_id, name, value, reason, added_by)
    SELECT p_recording, n.name, n.value, p_reason, p_by
    FROM unnest(p_names, p_values) WITH ORDINALITY AS n (name, value, position)
    WHERE NOT EXISTS (
        SELECT FROM annotations a WHERE a.recording_id = p_recording AND a.name = n.name AND a.value = n.value)
    ORDER BY n.position;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count > 0 THEN
        INSERT INTO search_pending (recording_id) VALUES (p_recording);
        PERFORM append_audit_v1(NULL, p_by, 'annotate', p_recording::text, p_reason,
            jsonb_build_object('names', p_names));
    END IF;
    RETURN v_count;
END $$;

-- Terms find these now, for both parties at once; call UUID and identifier keep theirs, they are asked for before a 200.
DROP INDEX recordings_dn_idx;
DROP INDEX recordings_other_dn_idx;
DROP INDEX recordings_ani_idx;
DROP INDEX recordings_dnis_idx;
CREATE INDEX recordings_duration_idx ON recordings (duration_s) WHERE duration_s IS NOT NULL;
INSERT INTO search_pending SELECT id FROM recordings;
