-- Recordings that come from another site's catalog.

-- Recordings that came from another site's catalog: where from, and who brought them.
CREATE TABLE imports (
    recording_id uuid CONSTRAINT imports_pkey PRIMARY KEY
        CONSTRAINT imports_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    origin text NOT NULL,             -- node that exported it
    version bytea NOT NULL            -- digest of the audio as it travelled
        CONSTRAINT imports_version_length CHECK (octet_length(version) = 32),
    imported_by text NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT now()
);

-- Take a recording of another site, under the id that it has there: importing it again changes nothing, and a version
-- that went on there replaces the former one. It takes no sessions here; pairing looks at it like at any other.
-- Outcome: imported, unchanged, replaced, own (recorded here, left alone) or deleted (here, on purpose: left so).
CREATE FUNCTION import_recording_v1(
    p_recording uuid, p_facts jsonb, p_file jsonb, p_gaps jsonb, p_ledger jsonb, p_version bytea, p_origin text,
    p_by text,
    OUT outcome text
) LANGUAGE plpgsql AS $$
DECLARE
    v_known recordings;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(p_recording::text, 0));
    SELECT * INTO v_known FROM recordings WHERE id = p_recording FOR UPDATE;
    outcome := CASE
        WHEN v_known.id IS NULL THEN 'imported'
        WHEN v_known.state IN ('deleting', 'deleted') THEN 'deleted'
        WHEN NOT EXISTS (SELECT FROM imports WHERE recording_id = p_recording) THEN 'own'
        WHEN EXISTS (SELECT FROM imports WHERE recording_id = p_recording AND version = p_version) THEN 'unchanged'
        ELSE 'replaced' END;
    IF outcome NOT IN ('imported', 'replaced') THEN
        RETURN;
    END IF;
    INSERT INTO recordings AS r (id, record_identifier, door, state, call_uuid, conn_id, ani, dnis, dn, other_dn,
        record_dn, agent_id, sips_app_name, tenant, started_at, ended_at, duration_s, parameters, warnings,
        render_warnings, sealed_at)
    SELECT p_recording, f.record_identifier, f.door, f.state, f.call_uuid, f.conn_id, f.ani, f.dnis, f.dn, f.other_dn,
        f.record_dn, f.agent_id, f.sips_app_name, f.tenant, f.started_at, f.ended_at, f.duration_s, f.parameters,
        f.warnings, '[]', now()
    FROM jsonb_to_record(p_facts) AS f (record_identifier text, door text, state text, call_uuid text, conn_id text,
        ani text, dnis text, dn text, other_dn text, record_dn text, agent_id text, sips_app_name text, tenant text,
        started_at timestamptz, ended_at timestamptz, duration_s double precision, parameters jsonb, warnings jsonb)
    ON CONFLICT ON CONSTRAINT recordings_pkey DO UPDATE SET state = EXCLUDED.state, started_at = EXCLUDED.started_at,
        ended_at = EXCLUDED.ended_at, duration_s = EXCLUDED.duration_s, warnings = EXCLUDED.warnings,
        pairing_due = true;
    DELETE FROM files f WHERE f.recording_id = p_recording
        AND (f.store, f.path) IS DISTINCT FROM (p_file ->> 'store', p_file ->> 'path');
    INSERT INTO files (recording_id, kind, store, path, format, sample_rate, channels, frames, size_bytes, sha256)
    SELECT p_recording, n.kind, n.store, n.path, n.format, n.sample_rate, n.channels, n.frames, n.size_bytes,
        decode(p_file ->> 'sha256', 'hex')
    FROM jsonb_to_record(p_file) AS n (kind text, store text, path text, format text, sample_rate integer,
        channels integer, frames bigint, size_bytes bigint);
    DELETE FROM gaps WHERE recording_id = p_recording;
    INSERT INTO gaps (recording_id, party, start_s, duration_s, kind, cause)
    SELECT p_recording, n.party, n.start_s, n.duration_s, n.kind, n.cause
    FROM jsonb_to_recordset(p_gaps) AS n (party integer, start_s double precision, duration_s double precision,
        kind text, cause text);
    -- Last: a new result voids every intent that is not claimed by now.
    UPDATE recordings SET finalised_at = now() WHERE id = p_recording;
    PERFORM write_ledger_v1(p_recording, p_ledger, (SELECT role <> 'copy' FROM recordings WHERE id = p_recording));
    INSERT INTO imports (recording_id, origin, version, imported_by) VALUES (p_recording, p_origin, p_version, p_by)
    ON CONFLICT ON CONSTRAINT imports_pkey DO UPDATE SET origin = EXCLUDED.origin, version = EXCLUDED.version,
        imported_by = EXCLUDED.imported_by, imported_at = now();
    PERFORM append_audit_v1(NULL, p_by, 'import', p_recording::text, '',
        jsonb_build_object('origin', p_origin, 'outcome', outcome, 'sha256', encode(p_version, 'hex')));
END $$;

-- As before, but the master has a new result only after its file is claimed.
CREATE OR REPLACE FUNCTION publish_master_v1(
    p_master uuid, p_copies jsonb, p_state text, p_started_at timestamptz, p_duration_s double precision,
    p_file jsonb, p_gaps jsonb, p_provenance jsonb, p_ledger jsonb, p_warnings jsonb, p_job bigint, p_worker text,
    p_claim bigint, OUT refused text, OUT superseded jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[] := ARRAY(
        SELECT (c ->> 'id')::uuid FROM jsonb_array_elements(p_copies) WITH ORDINALITY AS t (c, n) ORDER BY n);
BEGIN
    superseded := '[]';
    PERFORM FROM recordings WHERE id = p_master OR id = ANY (v_ids) ORDER BY id FOR UPDATE;
    IF NOT EXISTS (
        SELECT FROM jobs WHERE id = p_job AND state = 'running' AND locked_by = p_worker AND claims = p_claim) THEN
        refused := 'job-lost';
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM recordings WHERE id = ANY (v_ids) AND state IN ('recording', 'finalising')) THEN
        refused := 'reopened';
    ELSIF EXISTS (
        SELECT FROM jsonb_array_elements(p_copies) AS c
        WHERE (SELECT encode(f.sha256, 'hex') FROM files f
               WHERE f.recording_id = (c ->> 'id')::uuid AND f.kind = 'master' ORDER BY f.id LIMIT 1)
            IS DISTINCT FROM (c ->> 'sha256')
    ) OR EXISTS (
        SELECT FROM copy_pairs WHERE one = ANY (v_ids) AND other = ANY (v_ids) AND state = 'rejected') THEN
        refused := 'segments-changed';
    ELSIF EXISTS (SELECT FROM recordings WHERE id = p_master AND state IN ('deleting', 'deleted')) THEN
        refused := 'deleted';
    END IF;
    IF refused IS NOT NULL THEN
        -- Nobody else makes this master while the claim stands: unless it is claimed already, its file is nobody's.
        IF NOT EXISTS (SELECT FROM files WHERE store = p_file ->> 'store' AND path = p_file ->> 'path') THEN
            superseded := jsonb_build_array(jsonb_build_array(p_file ->> 'store', p_file ->> 'path'));
        END IF;
        RETURN;
    END IF;
    INSERT INTO recordings AS r (id, record_identifier, door, state, call_uuid, conn_id, ani, dnis, dn, other_dn,
        record_dn, agent_id, sips_app_name, tenant, started_at, ended_at, duration_s, parameters, warnings,
        render_warnings, sealed_at, role, pairing_due)
    -- Sealed: a session that names its identifier opens a recording of its own.
    SELECT p_master, (array_agg(c.record_identifier ORDER BY c.started_at, c.id))[1] || '~healed',
        (array_agg(c.door ORDER BY n))[1], p_state,
        (array_agg(c.call_uuid ORDER BY n) FILTER (WHERE c.call_uuid IS NOT NULL))[1],
        (array_agg(c.conn_id ORDER BY n) FILTER (WHERE c.conn_id IS NOT NULL))[1],
        (array_agg(c.ani ORDER BY n) FILTER (WHERE c.ani IS NOT NULL))[1],
        (array_agg(c.dnis ORDER BY n) FILTER (WHERE c.dnis IS NOT NULL))[1],
        (array_agg(c.dn ORDER BY n) FILTER (WHERE c.dn IS NOT NULL))[1],
        (array_agg(c.other_dn ORDER BY n) FILTER (WHERE c.other_dn IS NOT NULL))[1],
        (array_agg(c.record_dn ORDER BY n) FILTER (WHERE c.record_dn IS NOT NULL))[1],
        (array_agg(c.agent_id ORDER BY n) FILTER (WHERE c.agent_id IS NOT NULL))[1],
        (array_agg(c.sips_app_name ORDER BY n) FILTER (WHERE c.sips_app_name IS NOT NULL))[1],
        (array_agg(c.tenant ORDER BY n) FILTER (WHERE c.tenant IS NOT NULL))[1],
        p_started_at, max(c.ended_at), p_duration_s, (array_agg(c.parameters ORDER BY n))[1], '[]', p_warnings, now(),
        'master', false
    FROM unnest(v_ids) WITH ORDINALITY AS m (id, n) JOIN recordings c ON c.id = m.id
    ON CONFLICT ON CONSTRAINT recordings_pkey DO UPDATE SET state = EXCLUDED.state, door = EXCLUDED.door,
        call_uuid = EXCLUDED.call_uuid, conn_id = EXCLUDED.conn_id, ani = EXCLUDED.ani, dnis = EXCLUDED.dnis,
        dn = EXCLUDED.dn, other_dn = EXCLUDED.other_dn, record_dn = EXCLUDED.record_dn, agent_id = EXCLUDED.agent_id,
        sips_app_name = EXCLUDED.sips_app_name, tenant = EXCLUDED.tenant, started_at = EXCLUDED.started_at,
        ended_at = EXCLUDED.ended_at, duration_s = EXCLUDED.duration_s, parameters = EXCLUDED.parameters,
        render_warnings = EXCLUDED.render_warnings, role = 'master';
    WITH gone AS (
        DELETE FROM files f WHERE f.recording_id = p_master AND (f.store, f.path) IS DISTINCT FROM
            (p_file ->> 'store', p_file ->> 'path')
        RETURNING f.store, f.path
    ) SELECT coalesce(jsonb_agg(jsonb_build_array(store, path) ORDER BY store, path), '[]') INTO superseded FROM gone;
    INSERT INTO files AS f (recording_id, kind, store, path, format, sample_rate, channels, frames, size_bytes, sha256)
    SELECT p_master, n.kind, n.store, n.path, n.format, n.sample_rate, n.channels, n.frames, n.size_bytes,
        decode(n.sha256, 'hex')
    FROM jsonb_to_record(p_file) AS n (kind text, store text, path text, format text, sample_rate integer,
        channels integer, frames bigint, size_bytes bigint, sha256 text)
    ON CONFLICT ON CONSTRAINT files_path_key DO NOTHING;
    IF NOT EXISTS (SELECT FROM files WHERE recording_id = p_master AND path = p_file ->> 'path') THEN
        RAISE EXCEPTION 'another recording claims this path' USING ERRCODE = 'TD002';
    END IF;
    DELETE FROM gaps WHERE recording_id = p_master;
    INSERT INTO gaps (recording_id, party, start_s, duration_s, kind, cause)
    SELECT p_master, n.party, n.start_s, n.duration_s, n.kind, n.cause
    FROM jsonb_to_recordset(p_gaps) AS n (party integer, start_s double precision, duration_s double precision,
        kind text, cause text);
    DELETE FROM provenance WHERE recording_id = p_master;
    INSERT INTO provenance (recording_id, party, start_s, duration_s, copy_id, copy_party, copy_start_s, exact)
    SELECT p_master, n.party, n.start_s, n.duration_s, n.copy_id, n.copy_party, n.copy_start_s, n.exact
    FROM jsonb_to_recordset(p_provenance) AS n (party integer, start_s double precision, duration_s double precision,
        copy_id uuid, copy_party integer, copy_start_s double precision, exact boolean);
    DELETE FROM copy_sources WHERE master_id = p_master;
    INSERT INTO copy_sources (master_id, recording_id, position, sha256, offset_s, given_s)
    SELECT p_master, (c ->> 'id')::uuid, n - 1, decode(c ->> 'sha256', 'hex'), (c ->> 'offset_s')::double precision,
        (c ->> 'given_s')::double precision
    FROM jsonb_array_elements(p_copies) WITH ORDINALITY AS t (c, n);
    -- Last: a new result voids every intent that is not claimed by now.
    UPDATE recordings SET finalised_at = now() WHERE id = p_master;
    PERFORM write_ledger_v1(p_master, p_ledger);
    PERFORM stand_for_v1(p_master, v_ids);
END $$;
