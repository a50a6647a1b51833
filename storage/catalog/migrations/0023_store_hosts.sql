-- Which host has a file: a store is named NAME when every host of the site sees it, and NAME@HOST when it is one host's
-- own directory. Jobs about files in such a store are done by that host; their kind ends in @HOST, like that of erasures.

CREATE FUNCTION store_host_v1(p_store text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT substring(p_store FROM '@(.*)$')
$$;

CREATE FUNCTION job_kind_of_store_v1(p_kind text, p_store text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT p_kind || coalesce('@' || store_host_v1(p_store), '')
$$;

-- A name is free again some time after its file is gone: another worker whose claim had run out may still be about to
-- remove what it took for doomed.
ALTER TABLE doomed_files ADD COLUMN gone_at timestamptz;
CREATE INDEX doomed_files_gone_idx ON doomed_files (gone_at) WHERE gone_at IS NOT NULL;

CREATE OR REPLACE FUNCTION doom_file_v1(p_recording uuid, p_store text, p_path text, p_reason text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM intended_files WHERE store = p_store AND path = p_path;
    IF is_claimed_v1(p_store, p_path) THEN
        RETURN;
    END IF;
    INSERT INTO doomed_files (store, path, recording_id, reason) VALUES (p_store, p_path, p_recording, p_reason)
    ON CONFLICT ON CONSTRAINT doomed_files_pkey DO UPDATE SET gone_at = NULL;
    PERFORM enqueue_patient_job_v1(job_kind_of_store_v1('discard', p_store), p_store || ':' || p_path,
        jsonb_build_object('recording_id', p_recording, 'store', p_store, 'path', p_path));
END $$;

-- The bytes are gone. The name is free at once if this is the only worker that ever had the job.
CREATE FUNCTION file_discarded_v1(p_store text, p_path text, p_alone boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF p_alone THEN
        DELETE FROM doomed_files WHERE store = p_store AND path = p_path;
    ELSE
        UPDATE doomed_files SET gone_at = coalesce(gone_at, now()) WHERE store = p_store AND path = p_path;
    END IF;
END $$;

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
    PERFORM enqueue_job_v1('erase@' || e.host, p_recording::text, jsonb_build_object('recording_id', p_recording))
    FROM erasures e WHERE e.recording_id = p_recording ORDER BY e.host;
END $$;

CREATE OR REPLACE FUNCTION erasure_v1(p_recording uuid, p_host text, OUT due boolean, OUT captures text[], OUT files jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    v_recording recordings;
BEGIN
    due := false;
    captures := '{}';
    files := '[]';
    SELECT * INTO v_recording FROM recordings WHERE id = p_recording FOR SHARE;
    IF NOT EXISTS (SELECT FROM erasures WHERE recording_id = p_recording AND host = p_host) THEN
        RETURN;
    END IF;
    IF v_recording.state = 'deleting' THEN
        SELECT coalesce(jsonb_agg(jsonb_build_array(f.store, f.path) ORDER BY f.id), '[]') INTO files
        FROM files f WHERE f.recording_id = p_recording AND coalesce(store_host_v1(f.store), p_host) = p_host;
    ELSIF v_recording.captures <> 'erasing' OR is_held_v1(p_recording) THEN
        RETURN;
    END IF;
    due := true;
    SELECT coalesce(array_agg(c.path ORDER BY c.path), '{}') INTO captures
    FROM captures_of_v1(p_recording) AS c WHERE c.host = p_host;
END $$;

-- The bytes of a file are in another store now; those in the former one are doomed. False when nothing claims them any
-- more, when the recording is on its way out or being redacted, and when intent or claim of the job were lost meanwhile.
-- Without a job a person asked for it.
CREATE FUNCTION move_file_v3(
    p_recording uuid, p_from text, p_to text, p_path text, p_sha256 bytea, p_by text, p_job bigint, p_worker text,
    p_claim bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_action text := CASE WHEN p_job IS NULL THEN 'move' ELSE 'upload' END;
BEGIN
    PERFORM FROM recordings WHERE id = p_recording AND state NOT IN ('deleting', 'deleted') FOR UPDATE;
    IF NOT FOUND
        OR EXISTS (SELECT FROM redactions WHERE recording_id = p_recording AND done_at IS NULL)
        OR NOT EXISTS (SELECT FROM intended_files WHERE store = p_to AND path = p_path)
        OR p_job IS NOT NULL AND NOT EXISTS (
            SELECT FROM jobs WHERE id = p_job AND state = 'running' AND locked_by = p_worker AND claims = p_claim) THEN
        RETURN false;
    END IF;
    UPDATE files SET store = p_to
    WHERE recording_id = p_recording AND store = p_from AND path = p_path AND sha256 = p_sha256;
    IF NOT FOUND THEN
        UPDATE manifests SET store = p_to
        WHERE recording_id = p_recording AND store = p_from AND path = p_path AND sha256 = p_sha256;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END IF;
    PERFORM doom_file_v1(p_recording, p_from, p_path, CASE WHEN p_job IS NULL THEN 'moved' ELSE 'uploaded' END);
    PERFORM append_audit_v1(NULL, p_by, v_action, p_recording::text, '',
        jsonb_build_object('from', p_from, 'to', p_to, 'file', file_label_v1(p_path), 'sha256', encode(p_sha256, 'hex')));
    IF is_held_v1(p_recording) THEN
        PERFORM enqueue_object_hold_v1(p_recording);
    END IF;
    RETURN true;
END $$;

-- Objects in a store that offers legal holds carry those of the catalog.
CREATE FUNCTION enqueue_object_hold_v1(p_recording uuid) RETURNS void
LANGUAGE sql AS $$
    SELECT enqueue_patient_job_v1('hold-objects', p_recording::text, jsonb_build_object('recording_id', p_recording))
    WHERE EXISTS (SELECT FROM files WHERE recording_id = p_recording AND store = 's3')
        OR EXISTS (SELECT FROM manifests WHERE recording_id = p_recording AND store = 's3')
$$;

CREATE FUNCTION holds_reach_objects_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM enqueue_object_hold_v1(h.id) FROM held_together_v1(NEW.recording_id) AS h (id);
    RETURN NULL;
END $$;
CREATE TRIGGER legal_holds_reach_objects AFTER INSERT OR UPDATE OF released_at ON legal_holds
    FOR EACH ROW EXECUTE FUNCTION holds_reach_objects_v1();

-- Captures stay also while nobody has looked yet for recordings of the same call: the sound may be wanted for comparing.
CREATE OR REPLACE FUNCTION captures_needed_v1(p_recording uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    WITH work AS (
        SELECT array_agg(k.kind || ':' || k.subject) AS keys FROM (
            SELECT kind, p_recording AS subject FROM unnest(ARRAY['finalise', 'manifest']) AS kind
            UNION ALL
            SELECT kind, m.group_id FROM unnest(ARRAY['pair', 'heal']) AS kind, copy_members m
            WHERE m.recording_id = p_recording
        ) AS k
    )
    SELECT EXISTS (SELECT FROM recordings WHERE id = p_recording AND pairing_due)
        OR EXISTS (SELECT FROM copy_pairs WHERE one = p_recording AND state IN ('candidate', 'undecided'))
        OR EXISTS (SELECT FROM copy_pairs WHERE other = p_recording AND state IN ('candidate', 'undecided'))
        OR EXISTS (SELECT FROM jobs, work WHERE dedupe_key = ANY (keys) AND state IN ('queued', 'running'))
        OR EXISTS (SELECT FROM jobs, work WHERE dedupe_key = ANY (keys) AND state = 'dead')
$$;

-- By the host that has the file.
CREATE OR REPLACE FUNCTION begin_redaction_v1(
    p_recording uuid, p_party integer, p_start_s double precision, p_end_s double precision, p_reason text, p_by text,
    OUT refused text, OUT redaction bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_recording recordings;
    v_file files;
BEGIN
    SELECT * INTO v_recording FROM recordings WHERE id = p_recording FOR UPDATE;
    SELECT * INTO v_file FROM files WHERE recording_id = p_recording AND kind = 'master' ORDER BY id LIMIT 1;
    refused := CASE
        WHEN v_recording.id IS NULL THEN 'unknown-recording'
        WHEN v_recording.state NOT IN ('complete', 'interrupted') THEN v_recording.state
        WHEN is_held_v1(p_recording) THEN 'legal-hold'
        -- What one copy loses the others and the master still have.
        WHEN v_recording.role <> 'recording' THEN 'copies'
        -- So may one that is not decided yet, or not healed.
        WHEN EXISTS (
            SELECT FROM copy_pairs WHERE p_recording IN (one, other) AND state <> 'rejected') THEN 'pairs'
        WHEN v_file.id IS NULL THEN 'no-audio'
        WHEN v_file.path LIKE '%.enc' THEN 'encrypted'
        WHEN v_file.store <> 'local' AND v_file.store NOT LIKE 'local@%' THEN 'store'
        WHEN v_file.format NOT LIKE 'wav%' THEN 'format'
        WHEN p_start_s >= v_recording.duration_s OR p_party >= v_file.channels THEN 'outside' END;
    IF refused IS NOT NULL THEN
        RETURN;
    END IF;
    INSERT INTO redactions (recording_id, party, start_s, end_s, reason, requested_by)
    VALUES (p_recording, p_party, p_start_s, p_end_s, p_reason, p_by) RETURNING id INTO redaction;
    IF v_recording.captures <> 'erased' THEN
        UPDATE recordings SET captures = 'erasing', sealed_at = coalesce(sealed_at, now()) WHERE id = p_recording;
        PERFORM enqueue_erasures_v1(p_recording);
    END IF;
    PERFORM enqueue_job_v1(job_kind_of_store_v1('redact', v_file.store), p_recording::text,
        jsonb_build_object('recording_id', p_recording));
    PERFORM append_audit_v1(NULL, p_by, 'redact', p_recording::text, p_reason, jsonb_build_object(
        'redaction', redaction, 'party', p_party, 'start_s', p_start_s, 'end_s', p_end_s));
END $$;
