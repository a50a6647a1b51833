-- Redaction of everything that has a stretch: the copies of a call and the masters made of them, in whatever store and
-- form. Audio that is encrypted is made anew by whoever has a key, not by a curator.

-- Where a copy lies on its master (media.healing.correspondence); null in masters that were healed before.
ALTER TABLE copy_sources ADD COLUMN placed jsonb;

-- When a file without the stretch took the master's place: one that is asked for later needs another one.
ALTER TABLE redactions ADD COLUMN silenced_at timestamptz;
UPDATE redactions SET silenced_at = done_at;

-- As publish_master_v1, with where each copy lies; refused (`redacted`) when a stretch was taken out of one of them: the
-- others have it.
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
    SELECT p.refused, p.superseded INTO refused, superseded
    FROM publish_master_v1(p_master, p_copies, p_state, p_started_at, p_duration_s, p_file, p_gaps, p_provenance,
        p_ledger, p_warnings, p_job, p_worker, p_claim) AS p;
    IF refused IS NULL THEN
        UPDATE copy_sources s SET placed = nullif(c -> 'placed', 'null')
        FROM jsonb_array_elements(p_copies) AS c
        WHERE s.master_id = p_master AND s.recording_id = (c ->> 'id')::uuid;
    END IF;
END $$;

-- What may hold a stretch of a recording: itself, what stands for it and the copies of that, and every master that was
-- made of any of them, also one that was withdrawn since. What is deleted holds nothing.
CREATE FUNCTION redaction_family_v1(p_recording uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    WITH subject AS (SELECT coalesce(master_id, id) AS master FROM recordings WHERE id = p_recording),
    standing AS (
        SELECT p_recording AS id
        UNION SELECT master FROM subject
        UNION SELECT r.id FROM recordings r JOIN subject s ON r.master_id = s.master
    ),
    family AS (
        SELECT id FROM standing
        UNION SELECT c.master_id FROM copy_sources c JOIN standing s ON s.id = c.recording_id
    )
    SELECT f.id FROM family f JOIN recordings r ON r.id = f.id WHERE r.state NOT IN ('deleting', 'deleted')
$$;

-- Decide to redact: `p_stretches` is [{recording, party, start_s, end_s}, ...] of the family of a recording, `p_family`
-- what the family was when they were found. `refused` is null on success, else why not, and `subject` whose fault it is.
-- A stretch that waits already is not asked for twice: who repeats the command goes on with it.
DROP FUNCTION begin_redaction_v1(uuid, integer, double precision, double precision, text, text);
CREATE FUNCTION begin_redactions_v1(
    p_recording uuid, p_family uuid[], p_stretches jsonb, p_reason text, p_by text, OUT refused text, OUT subject uuid
) LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
    v_one record;
    v_redaction bigint;
BEGIN
    -- Against pairs that are noted and decided meanwhile, and publications of any of them.
    PERFORM lock_pairs_v1();
    PERFORM FROM recordings WHERE id = ANY (p_family) ORDER BY id FOR UPDATE;
    v_ids := ARRAY(SELECT f.id FROM redaction_family_v1(p_recording) AS f (id) ORDER BY f.id);
    IF v_ids <> ARRAY(SELECT f.id FROM unnest(p_family) AS f (id) ORDER BY f.id) THEN
        refused := 'changed';
        subject := p_recording;
        RETURN;
    END IF;
    FOR v_one IN
        SELECT r.id, CASE
            WHEN r.state NOT IN ('complete', 'interrupted', 'no-media') THEN r.state
            WHEN is_held_v1(r.id) THEN 'legal-hold'
            -- So may one that is not decided yet, or not healed.
            WHEN EXISTS (
                SELECT FROM copy_pairs p JOIN recordings o ON o.id = CASE p.one WHEN r.id THEN p.other ELSE p.one END
                WHERE r.id IN (p.one, p.other) AND p.state <> 'rejected' AND o.id <> ALL (v_ids)
                    AND o.state NOT IN ('deleting', 'deleted')) THEN 'pairs' END AS fault
        FROM recordings r WHERE r.id = ANY (v_ids) ORDER BY r.id <> p_recording, r.id
    LOOP
        IF v_one.fault IS NOT NULL THEN
            refused := v_one.fault;
            subject := v_one.id;
            RETURN;
        END IF;
    END LOOP;
    FOR v_one IN
        SELECT n.recording, n.party, n.start_s, n.end_s, r.captures, f.store, f.path LIKE '%.enc' AS encrypted
        FROM jsonb_to_recordset(p_stretches) AS n (recording uuid, party integer, start_s double precision,
            end_s double precision)
            JOIN recordings r ON r.id = n.recording AND r.id = ANY (v_ids)
            JOIN LATERAL (
                SELECT store, path FROM files WHERE recording_id = r.id AND kind = 'master' ORDER BY id LIMIT 1
            ) f ON true
        ORDER BY n.recording, n.party, n.start_s
    LOOP
        SELECT id INTO v_redaction FROM redactions
        WHERE recording_id = v_one.recording AND done_at IS NULL AND party IS NOT DISTINCT FROM v_one.party
            AND start_s = v_one.start_s AND end_s = v_one.end_s;
        IF NOT FOUND THEN
            INSERT INTO redactions (recording_id, party, start_s, end_s, reason, requested_by)
            VALUES (v_one.recording, v_one.party, v_one.start_s, v_one.end_s, p_reason, p_by)
            RETURNING id INTO v_redaction;
            PERFORM append_audit_v1(NULL, p_by, 'redact', v_one.recording::text, p_reason, jsonb_build_object(
                'redaction', v_redaction, 'party', v_one.party, 'start_s', v_one.start_s, 'end_s', v_one.end_s)
                || CASE WHEN v_one.recording = p_recording THEN '{}'
                    ELSE jsonb_build_object('because_of', p_recording) END);
        END IF;
        IF v_one.captures <> 'erased' THEN
            UPDATE recordings SET captures = 'erasing', sealed_at = coalesce(sealed_at, now())
            WHERE id = v_one.recording AND captures <> 'erasing';
            PERFORM enqueue_erasures_v1(v_one.recording);
        END IF;
        IF NOT v_one.encrypted THEN
            PERFORM enqueue_job_v1(job_kind_of_store_v1('redact', v_one.store), v_one.recording::text,
                jsonb_build_object('recording_id', v_one.recording));
        END IF;
    END LOOP;
END $$;

-- Put the redacted file in the place of the master; the old one stays claimed, as `to-erase`, until it is gone. Without
-- a job a person does it. `refused` names the race that was lost.
DROP FUNCTION swap_redacted_v1(uuid, bytea, jsonb, jsonb, jsonb, bigint, text, bigint);
CREATE FUNCTION swap_redacted_v2(
    p_recording uuid, p_redactions bigint[], p_old_sha256 bytea, p_file jsonb, p_gaps jsonb, p_ledger jsonb,
    p_job bigint, p_worker text, p_claim bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_role text;
    v_new bytea := decode(p_file ->> 'sha256', 'hex');
BEGIN
    SELECT role INTO v_role FROM recordings
    WHERE id = p_recording AND state NOT IN ('deleting', 'deleted') FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'deleted';
    END IF;
    IF p_job IS NOT NULL AND NOT EXISTS (
        SELECT FROM jobs WHERE id = p_job AND state = 'running' AND locked_by = p_worker AND claims = p_claim) THEN
        RETURN 'job-lost';
    END IF;
    PERFORM require_no_hold_v1(p_recording);
    UPDATE files SET kind = 'to-erase' WHERE recording_id = p_recording AND kind = 'master' AND sha256 = p_old_sha256;
    IF NOT FOUND THEN
        RETURN 'file-changed';
    END IF;
    -- An earlier file that a hold kept has the stretch as well.
    UPDATE files SET kind = 'to-erase' WHERE recording_id = p_recording AND kind = 'superseded';
    INSERT INTO files (recording_id, kind, store, path, format, sample_rate, channels, frames, size_bytes, sha256)
    SELECT p_recording, 'master', n.store, n.path, n.format, n.sample_rate, n.channels, n.frames, n.size_bytes, v_new
    FROM jsonb_to_record(p_file) AS n (store text, path text, format text, sample_rate integer, channels integer,
        frames bigint, size_bytes bigint);
    DELETE FROM gaps WHERE recording_id = p_recording;
    INSERT INTO gaps (recording_id, segment_id, party, start_s, duration_s, kind, cause)
    SELECT p_recording, n.segment_id, n.party, n.start_s, n.duration_s, n.kind, n.cause
    FROM jsonb_to_recordset(p_gaps) AS n (segment_id uuid, party integer, start_s double precision,
        duration_s double precision, kind text, cause text);
    PERFORM write_ledger_v1(p_recording, p_ledger, v_role <> 'copy');
    -- Less sound makes no other copy of it: what was found and healed stays found.
    UPDATE copy_pairs SET one_sha256 = v_new WHERE one = p_recording AND one_sha256 = p_old_sha256;
    UPDATE copy_pairs SET other_sha256 = v_new WHERE other = p_recording AND other_sha256 = p_old_sha256;
    UPDATE copy_sources SET sha256 = v_new WHERE recording_id = p_recording AND sha256 = p_old_sha256;
    UPDATE redactions SET silenced_at = now() WHERE recording_id = p_recording AND id = ANY (p_redactions);
    -- Another result: it is stated and signed anew.
    UPDATE recordings SET finalised_at = now() WHERE id = p_recording;
    RETURN NULL;
END $$;

-- The old file is gone: the redactions that the present one holds are done.
CREATE OR REPLACE FUNCTION finish_redactions_v1(
    p_recording uuid, p_redactions bigint[], p_job bigint, p_worker text, p_claim bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    DELETE FROM files WHERE recording_id = p_recording AND kind = 'to-erase';
    UPDATE redactions SET done_at = now(), silenced_at = coalesce(silenced_at, now())
    WHERE recording_id = p_recording AND id = ANY (p_redactions) AND done_at IS NULL;
    IF p_job IS NOT NULL THEN
        PERFORM complete_job_v1(p_job, p_worker, p_claim);
    END IF;
END $$;
