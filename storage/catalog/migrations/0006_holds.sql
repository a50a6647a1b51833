-- Legal hold: what a court or an authority may ask for stays, whoever wants to remove it. The guards are triggers, so
-- that they also stop a wrong program and a person at psql.

-- One decision of one person about one recording. Several may stand at once; the recording is held by each of them.
CREATE TABLE legal_holds (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT legal_holds_pkey PRIMARY KEY,
    recording_id uuid NOT NULL CONSTRAINT legal_holds_recording_fkey REFERENCES recordings (id),
    matter text COLLATE "C" NOT NULL,             -- the case it is for; empty when nobody named one
    reason text NOT NULL CONSTRAINT legal_holds_reason_given CHECK (reason <> ''),
    placed_by text NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT now(),
    released_by text,
    release_reason text,
    released_at timestamptz,
    CONSTRAINT legal_holds_released_whole CHECK (num_nonnulls(released_by, release_reason, released_at) IN (0, 3))
);
-- Asking twice for the same is one hold; for another matter or reason it is another.
CREATE UNIQUE INDEX legal_holds_standing_key ON legal_holds (recording_id, matter, md5(reason))
    WHERE released_at IS NULL;
CREATE INDEX legal_holds_recording_idx ON legal_holds (recording_id);

-- The recordings that a hold on one of them protects: itself; copies and their healed master once they are paired.
CREATE FUNCTION held_together_v1(p_recording uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    SELECT p_recording
$$;

CREATE FUNCTION is_held_v1(p_recording uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM held_together_v1(p_recording) AS t (id) JOIN legal_holds h ON h.recording_id = t.id
        WHERE h.released_at IS NULL)
$$;

-- Place a hold. `refused` is null on success: then `hold` is its number, and `placed` false when it stood already.
CREATE FUNCTION place_hold_v1(
    p_recording uuid, p_matter text, p_reason text, p_by text, OUT refused text, OUT hold bigint, OUT placed boolean
) LANGUAGE plpgsql AS $$
DECLARE
    v_state text;
BEGIN
    -- The guards below take the same lock: a removal that is under way ends first, and is seen here.
    SELECT state INTO v_state FROM recordings WHERE id = p_recording FOR UPDATE;
    IF NOT FOUND THEN
        refused := 'unknown-recording';
        RETURN;
    END IF;
    IF v_state IN ('deleting', 'deleted') THEN
        refused := v_state;
        RETURN;
    END IF;
    INSERT INTO legal_holds (recording_id, matter, reason, placed_by) VALUES (p_recording, p_matter, p_reason, p_by)
    ON CONFLICT (recording_id, matter, md5(reason)) WHERE released_at IS NULL DO NOTHING
    RETURNING id INTO hold;
    placed := hold IS NOT NULL;
    IF NOT placed THEN
        SELECT h.id INTO hold FROM legal_holds h WHERE h.recording_id = p_recording AND h.matter = p_matter
            AND h.reason = p_reason AND h.released_at IS NULL;
        RETURN;
    END IF;
    PERFORM append_audit_v1(NULL, p_by, 'hold', p_recording::text, p_reason,
        jsonb_build_object('hold', hold, 'case', p_matter));
END $$;

-- Release one standing hold. False when it does not stand (any more).
CREATE FUNCTION release_hold_v1(p_hold bigint, p_reason text, p_by text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_hold legal_holds;
BEGIN
    UPDATE legal_holds SET released_by = p_by, release_reason = p_reason, released_at = now()
    WHERE id = p_hold AND released_at IS NULL RETURNING * INTO v_hold;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM append_audit_v1(NULL, p_by, 'release', v_hold.recording_id::text, p_reason,
        jsonb_build_object('hold', p_hold, 'case', v_hold.matter));
    RETURN true;
END $$;

CREATE FUNCTION require_no_hold_v1(p_recording uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR SHARE;
    IF is_held_v1(p_recording) THEN
        RAISE EXCEPTION 'recording % is under legal hold', p_recording USING ERRCODE = 'TD004';
    END IF;
END $$;

-- The argument names the column with the recording's id.
CREATE FUNCTION guard_held_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_no_hold_v1((to_jsonb(OLD) ->> TG_ARGV[0])::uuid);
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

-- A file that a further rendering replaces stays claimed while the recording is held: what publishes runs with the
-- setting; any other removal is refused.
CREATE FUNCTION guard_held_file_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('tandem.replaced_files_of_held', true) = 'keep' AND is_held_v1(OLD.recording_id) THEN
        UPDATE files SET kind = 'superseded' WHERE id = OLD.id;
        RETURN NULL;
    END IF;
    PERFORM require_no_hold_v1(OLD.recording_id);
    RETURN OLD;
END $$;

CREATE FUNCTION guard_truncate_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM legal_holds WHERE released_at IS NULL) THEN
        RAISE EXCEPTION 'recordings are under legal hold' USING ERRCODE = 'TD004';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER recordings_held BEFORE DELETE ON recordings
    FOR EACH ROW EXECUTE FUNCTION guard_held_v1('id');
CREATE TRIGGER recordings_held_state BEFORE UPDATE OF state ON recordings
    FOR EACH ROW WHEN (NEW.state IN ('deleting', 'deleted') AND NEW.state <> OLD.state)
    EXECUTE FUNCTION guard_held_v1('id');
CREATE TRIGGER segments_held BEFORE DELETE ON segments
    FOR EACH ROW EXECUTE FUNCTION guard_held_v1('recording_id');
CREATE TRIGGER files_held BEFORE DELETE ON files
    FOR EACH ROW EXECUTE FUNCTION guard_held_file_v1();
CREATE TRIGGER files_held_owner BEFORE UPDATE OF recording_id ON files
    FOR EACH ROW WHEN (NEW.recording_id <> OLD.recording_id) EXECUTE FUNCTION guard_held_v1('recording_id');
CREATE TRIGGER legal_holds_standing BEFORE DELETE ON legal_holds
    FOR EACH ROW WHEN (OLD.released_at IS NULL) EXECUTE FUNCTION guard_held_v1('recording_id');
CREATE TRIGGER recordings_held_all BEFORE TRUNCATE ON recordings EXECUTE FUNCTION guard_truncate_v1();
CREATE TRIGGER segments_held_all BEFORE TRUNCATE ON segments EXECUTE FUNCTION guard_truncate_v1();
CREATE TRIGGER files_held_all BEFORE TRUNCATE ON files EXECUTE FUNCTION guard_truncate_v1();
CREATE TRIGGER legal_holds_standing_all BEFORE TRUNCATE ON legal_holds EXECUTE FUNCTION guard_truncate_v1();
-- Also while rows are applied by replication.
ALTER TABLE recordings ENABLE ALWAYS TRIGGER recordings_held, ENABLE ALWAYS TRIGGER recordings_held_state,
    ENABLE ALWAYS TRIGGER recordings_held_all;
ALTER TABLE segments ENABLE ALWAYS TRIGGER segments_held, ENABLE ALWAYS TRIGGER segments_held_all;
ALTER TABLE files ENABLE ALWAYS TRIGGER files_held, ENABLE ALWAYS TRIGGER files_held_owner,
    ENABLE ALWAYS TRIGGER files_held_all;
ALTER TABLE legal_holds ENABLE ALWAYS TRIGGER legal_holds_standing, ENABLE ALWAYS TRIGGER legal_holds_standing_all;
