-- The life of a file: intended, claimed, doomed, gone. A file gets its name only after its intent is in the catalog, and
-- loses it only after its doom is: whatever dies in between, the catalog knows every file that may exist.

-- Files that may come to exist and that no row of `files` or `manifests` claims yet.
CREATE TABLE intended_files (
    store text NOT NULL,
    path text COLLATE "C" NOT NULL,
    recording_id uuid NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT intended_files_pkey PRIMARY KEY (store, path)
);
CREATE INDEX intended_files_recording_idx ON intended_files (recording_id);
CREATE INDEX intended_files_since_idx ON intended_files (since);

-- Files that nothing claims any more; a job of kind `discard` removes each. No such name is used until it is gone.
CREATE TABLE doomed_files (
    store text NOT NULL,
    path text COLLATE "C" NOT NULL,
    recording_id uuid NOT NULL,
    reason text NOT NULL,             -- superseded, unpublished, uploaded, deleted
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT doomed_files_pkey PRIMARY KEY (store, path)
);

-- What is known of encrypted audio, by the digest of its encrypted form; `keys` is the file that lies beside it.
CREATE TABLE envelopes (
    sha256 bytea CONSTRAINT envelopes_pkey PRIMARY KEY,
    recording_id uuid NOT NULL,
    clear_sha256 bytea NOT NULL CONSTRAINT envelopes_clear_sha256_length CHECK (octet_length(clear_sha256) = 32),
    clear_bytes bigint NOT NULL,
    keys bytea NOT NULL
);
CREATE INDEX envelopes_recording_idx ON envelopes (recording_id);

-- Signed statements of what a recording was, each naming the one before it (docs/integrity.md).
CREATE TABLE manifests (
    recording_id uuid NOT NULL CONSTRAINT manifests_recording_fkey REFERENCES recordings (id),
    version integer NOT NULL CONSTRAINT manifests_version_positive CHECK (version > 0),
    store text NOT NULL,
    path text COLLATE "C" NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 bytea NOT NULL CONSTRAINT manifests_sha256_length CHECK (octet_length(sha256) = 32),
    root bytea NOT NULL CONSTRAINT manifests_root_length CHECK (octet_length(root) = 32),
    key_id text NOT NULL,
    finalised_at timestamptz NOT NULL,-- of the result that it states
    sealed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT manifests_pkey PRIMARY KEY (recording_id, version),
    CONSTRAINT manifests_path_key UNIQUE (store, path)
);

-- What the audit log calls a file: the end of its name, without the part that is for people (it may name some).
CREATE FUNCTION file_label_v1(p_path text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(substring(p_path FROM '[0-9a-f]{32}_[0-9a-f]{12}[.][a-z0-9.]+$'), md5(p_path))
$$;

CREATE FUNCTION is_claimed_v1(p_store text, p_path text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM files WHERE store = p_store AND path = p_path)
        OR EXISTS (SELECT FROM manifests WHERE store = p_store AND path = p_path)
$$;

-- Queue a job that waits for something outside, such as an object store: it never ends on the dead letter list.
CREATE FUNCTION enqueue_patient_job_v1(p_kind text, p_key text, p_payload jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint := enqueue_job_v1(p_kind, p_key, p_payload);
BEGIN
    UPDATE jobs SET max_attempts = 1000000 WHERE id = v_id;
END $$;

-- Give a job back: 'retry' with back-off 2, 4, 8 ... seconds up to 15 minutes (spread by a quarter), 'dead', or 'lost'.
CREATE OR REPLACE FUNCTION fail_job_v1(p_id bigint, p_worker text, p_claim bigint, p_error text, p_retry boolean)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    PERFORM lock_subject_v1(p_id);
    SELECT * INTO v_job FROM jobs
    WHERE id = p_id AND state = 'running' AND locked_by = p_worker AND claims = p_claim FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'lost';
    END IF;
    -- One that was asked for again meanwhile has new input: it starts afresh.
    IF NOT v_job.again AND (NOT p_retry OR v_job.attempts >= v_job.max_attempts) THEN
        PERFORM bury_job_v1(p_id, p_error);
        RETURN 'dead';
    END IF;
    UPDATE jobs SET state = 'queued', locked_by = NULL, locked_until = NULL, last_error = p_error,
        attempts = CASE WHEN v_job.again THEN 0 ELSE attempts END,
        run_after = now() + make_interval(secs => least(2 ^ least(v_job.attempts, 10), 900) * (0.75 + random() / 2))
    WHERE id = p_id;
    RETURN 'retry';
END $$;

-- Say that a file of a recording is about to get its name. False while a former file of that name is being removed.
CREATE FUNCTION intend_file_v1(
    p_recording uuid, p_store text, p_path text, p_sha256 bytea, p_clear_sha256 bytea, p_clear_bytes bigint,
    p_keys bytea
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR SHARE;
    IF EXISTS (SELECT FROM doomed_files WHERE store = p_store AND path = p_path) THEN
        RETURN false;
    END IF;
    INSERT INTO intended_files (store, path, recording_id)
    SELECT p_store, p_path, p_recording WHERE NOT is_claimed_v1(p_store, p_path)
    ON CONFLICT ON CONSTRAINT intended_files_pkey DO UPDATE SET since = now();
    IF p_keys IS NOT NULL THEN
        INSERT INTO envelopes (sha256, recording_id, clear_sha256, clear_bytes, keys)
        VALUES (p_sha256, p_recording, p_clear_sha256, p_clear_bytes, p_keys)
        ON CONFLICT ON CONSTRAINT envelopes_pkey DO NOTHING;
    END IF;
    RETURN true;
END $$;

CREATE FUNCTION doom_file_v1(p_recording uuid, p_store text, p_path text, p_reason text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM intended_files WHERE store = p_store AND path = p_path;
    IF is_claimed_v1(p_store, p_path) THEN
        RETURN;
    END IF;
    INSERT INTO doomed_files (store, path, recording_id, reason) VALUES (p_store, p_path, p_recording, p_reason)
    ON CONFLICT ON CONSTRAINT doomed_files_pkey DO NOTHING;
    PERFORM enqueue_patient_job_v1('discard', p_store || ':' || p_path,
        jsonb_build_object('recording_id', p_recording, 'store', p_store, 'path', p_path));
END $$;

-- Doom what a recording intended and nothing claims; of all recordings older than $2 when the first is null.
CREATE FUNCTION withdraw_intents_v1(p_recording uuid, p_older interval) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_file intended_files;
    v_count bigint := 0;
BEGIN
    FOR v_file IN
        SELECT * FROM intended_files
        WHERE (p_recording IS NULL OR recording_id = p_recording) AND since <= now() - p_older
        ORDER BY recording_id, store, path
    LOOP
        PERFORM FROM recordings WHERE id = v_file.recording_id FOR UPDATE;
        PERFORM FROM intended_files WHERE store = v_file.store AND path = v_file.path FOR UPDATE;
        CONTINUE WHEN NOT FOUND;
        PERFORM doom_file_v1(v_file.recording_id, v_file.store, v_file.path, 'unpublished');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;

-- A claim ends the intent. A name that is being removed cannot be claimed: the job that tries repeats its work.
CREATE FUNCTION claim_file_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM doomed_files WHERE store = NEW.store AND path = NEW.path) THEN
        RAISE EXCEPTION '%:% is being removed', NEW.store, NEW.path USING ERRCODE = 'TD005';
    END IF;
    DELETE FROM intended_files WHERE store = NEW.store AND path = NEW.path;
    RETURN NULL;
END $$;
CREATE TRIGGER files_are_claimed AFTER INSERT OR UPDATE OF store, path ON files
    FOR EACH ROW EXECUTE FUNCTION claim_file_v1();
CREATE TRIGGER manifests_are_claimed AFTER INSERT OR UPDATE OF store, path ON manifests
    FOR EACH ROW EXECUTE FUNCTION claim_file_v1();

-- Bytes that no row claims any more are removed, whoever removed the row.
CREATE FUNCTION doom_claimed_file_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM envelopes WHERE sha256 = OLD.sha256;
    -- A deletion has erased its audio before it forgets it.
    IF TG_TABLE_NAME <> 'files' OR NOT EXISTS (
        SELECT FROM recordings WHERE id = OLD.recording_id AND state IN ('deleting', 'deleted')) THEN
        PERFORM doom_file_v1(OLD.recording_id, OLD.store, OLD.path, TG_ARGV[0]);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER files_are_doomed AFTER DELETE ON files
    FOR EACH ROW EXECUTE FUNCTION doom_claimed_file_v1('superseded');
CREATE TRIGGER manifests_are_doomed AFTER DELETE ON manifests
    FOR EACH ROW EXECUTE FUNCTION doom_claimed_file_v1('deleted');

-- A manifest holds the call's data: it goes with them.
CREATE FUNCTION forget_manifests_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM manifests WHERE recording_id = NEW.id;
    DELETE FROM jobs WHERE dedupe_key IN ('manifest:' || NEW.id, 'upload:' || NEW.id) AND state <> 'running';
    DELETE FROM envelopes WHERE recording_id = NEW.id;
    PERFORM withdraw_intents_v1(NEW.id, interval '0');
    RETURN NULL;
END $$;
CREATE TRIGGER recordings_forget_manifests AFTER UPDATE OF state ON recordings
    FOR EACH ROW WHEN (NEW.state = 'deleted' AND OLD.state <> 'deleted') EXECUTE FUNCTION forget_manifests_v1();

-- A new result: what else was intended for it is void, and it has to be stated and signed. Deferred, because a result
-- may enter the catalog before its files do.
CREATE FUNCTION result_changed_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM withdraw_intents_v1(NEW.id, interval '0');
    PERFORM enqueue_patient_job_v1('manifest', NEW.id::text, jsonb_build_object('recording_id', NEW.id));
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER recordings_result_inserted AFTER INSERT ON recordings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.finalised_at IS NOT NULL) EXECUTE FUNCTION result_changed_v1();
CREATE CONSTRAINT TRIGGER recordings_result_changed AFTER UPDATE OF finalised_at ON recordings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.finalised_at IS DISTINCT FROM OLD.finalised_at) EXECUTE FUNCTION result_changed_v1();

-- The audit log's entries of the recorder itself. Deferred to the end of the transaction, because they lock the log.
CREATE FUNCTION audit_result_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM append_audit_v1(NULL, 'curator', 'publish', NEW.id::text, '', jsonb_build_object('state', NEW.state,
        'files', (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', f.kind, 'store', f.store,
            'sha256', encode(f.sha256, 'hex')) ORDER BY f.id), '[]') FROM files f WHERE f.recording_id = NEW.id)));
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER recordings_result_audited AFTER INSERT OR UPDATE OF finalised_at ON recordings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.finalised_at IS NOT NULL) EXECUTE FUNCTION audit_result_v1();

CREATE FUNCTION audit_doom_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM append_audit_v1(NULL, 'curator', 'discard', NEW.recording_id::text, NEW.reason,
        jsonb_build_object('store', NEW.store, 'file', file_label_v1(NEW.path)));
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER doomed_files_audited AFTER INSERT ON doomed_files
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_doom_v1();

-- Keep a manifest that has its name already. `refused` is null on success, else the race that was lost.
CREATE FUNCTION record_manifest_v1(
    p_recording uuid, p_finalised_at timestamptz, p_version integer, p_previous bytea, p_store text, p_path text,
    p_size bigint, p_sha256 bytea, p_root bytea, p_key text
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording AND finalised_at = p_finalised_at
        AND state IN ('complete', 'interrupted', 'no-media') FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'changed';
    END IF;
    IF (SELECT coalesce(max(version), 0) FROM manifests WHERE recording_id = p_recording) <> p_version - 1
        OR (SELECT sha256 FROM manifests WHERE recording_id = p_recording AND version = p_version - 1)
            IS DISTINCT FROM p_previous
        OR NOT EXISTS (SELECT FROM intended_files WHERE store = p_store AND path = p_path) THEN
        RETURN 'overtaken';
    END IF;
    INSERT INTO manifests (recording_id, version, store, path, size_bytes, sha256, root, key_id, finalised_at)
    VALUES (p_recording, p_version, p_store, p_path, p_size, p_sha256, p_root, p_key, p_finalised_at);
    PERFORM append_audit_v1(NULL, 'curator', 'seal', p_recording::text, '', jsonb_build_object('version', p_version,
        'sha256', encode(p_sha256, 'hex'), 'root', encode(p_root, 'hex'), 'key', p_key));
    RETURN NULL;
END $$;

-- The bytes of a file are in another store now; those in the former one are doomed. False when nothing claims them.
CREATE FUNCTION move_file_v1(p_recording uuid, p_from text, p_to text, p_path text, p_sha256 bytea) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    UPDATE files SET store = p_to
    WHERE recording_id = p_recording AND store = p_from AND path = p_path AND sha256 = p_sha256;
    IF NOT FOUND THEN
        UPDATE manifests SET store = p_to
        WHERE recording_id = p_recording AND store = p_from AND path = p_path AND sha256 = p_sha256;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END IF;
    PERFORM doom_file_v1(p_recording, p_from, p_path, 'uploaded');
    PERFORM append_audit_v1(NULL, 'curator', 'upload', p_recording::text, '',
        jsonb_build_object('from', p_from, 'to', p_to, 'file', file_label_v1(p_path), 'sha256', encode(p_sha256, 'hex')));
    RETURN true;
END $$;
