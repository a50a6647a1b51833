-- The owner of the catalog may be an ordinary role: PostgreSQL lets none but a superuser attach a parameter of our own to
-- a function. Whatever publishes sets it for its own statements instead (guard_held_file_v1 in 0006_holds.sql asks for it).
-- Databases in which it was attached get rid of it.

ALTER FUNCTION publish_v1(uuid, uuid[], text, timestamptz, double precision, jsonb, jsonb, jsonb, jsonb, bigint, text,
    bigint) RESET ALL;
ALTER FUNCTION publish_master_v1(uuid, jsonb, text, timestamptz, double precision, jsonb, jsonb, jsonb, jsonb, jsonb,
    bigint, text, bigint) RESET ALL;
ALTER FUNCTION import_recording_v1(uuid, jsonb, jsonb, jsonb, jsonb, bytea, text, text) RESET ALL;

-- As before.
CREATE OR REPLACE FUNCTION publish_v2(
    p_recording uuid, p_segments uuid[], p_state text, p_started_at timestamptz, p_duration_s double precision,
    p_files jsonb, p_gaps jsonb, p_streams jsonb, p_warnings jsonb,
    p_job bigint, p_worker text, p_claim bigint, p_ledger jsonb,
    OUT refused text, OUT superseded jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_published record;
BEGIN
    PERFORM set_config('tandem.replaced_files_of_held', 'keep', true);
    SELECT * INTO v_published FROM publish_v1(p_recording, p_segments, p_state, p_started_at, p_duration_s, p_files,
        p_gaps, p_streams, p_warnings, p_job, p_worker, p_claim);
    PERFORM set_config('tandem.replaced_files_of_held', '', true);
    refused := v_published.refused;
    superseded := v_published.superseded;
    IF refused IS NULL THEN
        UPDATE streams t SET party = n.party
        FROM jsonb_to_recordset(p_streams) AS n (segment_ids uuid[], index integer, party integer)
        WHERE t.segment_id = ANY (n.segment_ids) AND t.m_line = n.index AND t.party <> n.party;
        PERFORM write_ledger_v1(p_recording, p_ledger, (SELECT role <> 'copy' FROM recordings WHERE id = p_recording));
    END IF;
END $$;

-- As before.
CREATE OR REPLACE FUNCTION publish_master_v2(
    p_master uuid, p_copies jsonb, p_state text, p_started_at timestamptz, p_duration_s double precision,
    p_file jsonb, p_gaps jsonb, p_provenance jsonb, p_ledger jsonb, p_warnings jsonb, p_job bigint, p_worker text,
    p_claim bigint, OUT refused text, OUT superseded jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[] := ARRAY(SELECT (c ->> 'id')::uuid FROM jsonb_array_elements(p_copies) AS c) || p_master;
BEGIN
    -- Against a redaction that begins: whoever comes second sees the other's rows.
    PERFORM FROM recordings WHERE id = ANY (v_ids) ORDER BY id FOR UPDATE;
    IF EXISTS (SELECT FROM redactions WHERE recording_id = ANY (v_ids)) THEN
        refused := 'redacted';
        superseded := '[]';
        RETURN;
    END IF;
    PERFORM set_config('tandem.replaced_files_of_held', 'keep', true);
    SELECT p.refused, p.superseded INTO refused, superseded
    FROM publish_master_v1(p_master, p_copies, p_state, p_started_at, p_duration_s, p_file, p_gaps, p_provenance,
        p_ledger, p_warnings, p_job, p_worker, p_claim) AS p;
    PERFORM set_config('tandem.replaced_files_of_held', '', true);
    IF refused IS NULL THEN
        UPDATE copy_sources s SET placed = nullif(c -> 'placed', 'null')
        FROM jsonb_array_elements(p_copies) AS c
        WHERE s.master_id = p_master AND s.recording_id = (c ->> 'id')::uuid;
    END IF;
END $$;

-- As before.
CREATE OR REPLACE FUNCTION import_recording_v2(
    p_recording uuid, p_facts jsonb, p_file jsonb, p_gaps jsonb, p_ledger jsonb, p_version bytea, p_origin text,
    p_by text,
    OUT outcome text
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(p_recording::text, 0));
    PERFORM FROM recordings WHERE id = p_recording AND state NOT IN ('deleting', 'deleted') FOR UPDATE;
    IF FOUND AND EXISTS (SELECT FROM redactions WHERE recording_id = p_recording)
        AND EXISTS (SELECT FROM imports WHERE recording_id = p_recording AND version <> p_version) THEN
        outcome := 'redacted';
        RETURN;
    END IF;
    PERFORM set_config('tandem.replaced_files_of_held', 'keep', true);
    outcome := import_recording_v1(p_recording, p_facts, p_file, p_gaps, p_ledger, p_version, p_origin, p_by);
    PERFORM set_config('tandem.replaced_files_of_held', '', true);
END $$;
