-- Copies: recordings of one call under different record identifiers, what is known of each pair of them, and the
-- healed masters that stand for them.

ALTER TABLE recordings
    -- What it is to people: the recording of its call, one of several copies of it, the master healed from them, or a
    -- master whose copies were separated again.
    ADD COLUMN role text NOT NULL DEFAULT 'recording'
        CONSTRAINT recordings_role_known CHECK (role IN ('recording', 'copy', 'master', 'withdrawn')),
    -- What stands for a copy: a healed master, or the best copy.
    ADD COLUMN master_id uuid CONSTRAINT recordings_master_fkey REFERENCES recordings (id),
    -- True until a curator has looked for copies by the call data as they are.
    ADD COLUMN pairing_due boolean NOT NULL DEFAULT true,
    ADD CONSTRAINT recordings_copy_has_master CHECK ((role = 'copy') = (master_id IS NOT NULL));
CREATE INDEX recordings_pairing_due_idx ON recordings (started_at) WHERE pairing_due;
CREATE INDEX recordings_master_idx ON recordings (master_id) WHERE master_id IS NOT NULL;

-- Values that recordings of one call have in common; text as bounded as in the recordings.
CREATE TABLE recording_keys (
    recording_id uuid NOT NULL
        CONSTRAINT recording_keys_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    kind text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    CONSTRAINT recording_keys_pkey PRIMARY KEY (recording_id, kind, value)
);
CREATE INDEX recording_keys_value_idx ON recording_keys (value, kind);

-- Recordings that pairs connect; what is decided about copies is decided for a group at a time.
CREATE TABLE copy_members (
    recording_id uuid CONSTRAINT copy_members_pkey PRIMARY KEY
        CONSTRAINT copy_members_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    group_id uuid NOT NULL,
    joined_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX copy_members_group_idx ON copy_members (group_id);

-- Two recordings that may be copies, and what became of it.
CREATE TABLE copy_pairs (
    one uuid NOT NULL CONSTRAINT copy_pairs_one_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    other uuid NOT NULL CONSTRAINT copy_pairs_other_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'candidate'
        CONSTRAINT copy_pairs_state_known CHECK (state IN ('candidate', 'confirmed', 'rejected', 'undecided')),
    key_kind text NOT NULL,           -- as in recording_keys, or 'operator'
    key_reason text NOT NULL,         -- why it is a candidate, in words
    reason text NOT NULL DEFAULT '',  -- of the state, in words and figures
    decided_by text CONSTRAINT copy_pairs_decider_known CHECK (decided_by IN ('audio', 'operator')),
    decided_at timestamptz,
    base uuid,                        -- the one of the two whose timeline the comparison is on
    comparison jsonb,                 -- figures of the sound
    one_sha256 bytea,                 -- the files that were compared
    other_sha256 bytea,
    noted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT copy_pairs_pkey PRIMARY KEY (one, other),
    CONSTRAINT copy_pairs_ordered CHECK (one < other),
    CONSTRAINT copy_pairs_decided CHECK ((decided_by IS NULL) = (decided_at IS NULL)
        AND (state = 'candidate') = (decided_by IS NULL))
);
CREATE INDEX copy_pairs_other_idx ON copy_pairs (other);

-- What a healed master was made from.
CREATE TABLE copy_sources (
    master_id uuid NOT NULL CONSTRAINT copy_sources_master_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    recording_id uuid NOT NULL CONSTRAINT copy_sources_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    position integer NOT NULL,        -- 0 is the best copy
    sha256 bytea,                     -- null for a copy without audio
    offset_s double precision,        -- of the copy's beginning from the master's; null without audio
    given_s double precision NOT NULL,-- audio that the master has from it, all parties together
    CONSTRAINT copy_sources_pkey PRIMARY KEY (master_id, recording_id)
);
CREATE INDEX copy_sources_recording_idx ON copy_sources (recording_id);

-- Where each stretch of a healed master comes from; with its gaps it covers each party's timeline.
CREATE TABLE provenance (
    recording_id uuid NOT NULL CONSTRAINT provenance_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    party integer NOT NULL,
    start_s double precision NOT NULL,
    duration_s double precision NOT NULL,
    copy_id uuid NOT NULL,
    copy_party integer NOT NULL,
    copy_start_s double precision NOT NULL,
    exact boolean NOT NULL,           -- samples as they are, moved by whole frames
    CONSTRAINT provenance_pkey PRIMARY KEY (recording_id, party, start_s)
);

-- Call data that came late, or a recording that goes on: look for copies (again).
CREATE FUNCTION pairing_is_due_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.pairing_due := true;
    RETURN NEW;
END $$;
CREATE TRIGGER recordings_pairing_is_due BEFORE UPDATE ON recordings FOR EACH ROW
WHEN (NOT NEW.pairing_due AND NEW.role IN ('recording', 'copy') AND NEW.state NOT IN ('deleting', 'deleted') AND (
    (OLD.call_uuid, OLD.conn_id, OLD.sips_app_name, OLD.record_dn, OLD.dn, OLD.other_dn)
        IS DISTINCT FROM (NEW.call_uuid, NEW.conn_id, NEW.sips_app_name, NEW.record_dn, NEW.dn, NEW.other_dn)
    OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS NULL)))
EXECUTE FUNCTION pairing_is_due_v1();

-- Decide about a group, once every pair of it that can be decided is.
CREATE FUNCTION enqueue_pair_v1(p_group uuid) RETURNS void LANGUAGE sql AS $$
    SELECT enqueue_job_v1('pair', p_group::text, jsonb_build_object('group_id', p_group))
$$;

-- In the transaction that publishes a recording: no end of a copy can be missed.
CREATE FUNCTION pair_when_finalised_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM enqueue_pair_v1(group_id) FROM copy_members WHERE recording_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER recordings_pair_when_finalised AFTER UPDATE OF finalised_at ON recordings FOR EACH ROW
WHEN (NEW.role IN ('recording', 'copy') AND OLD.finalised_at IS DISTINCT FROM NEW.finalised_at)
EXECUTE FUNCTION pair_when_finalised_v1();

-- Replace the keys of a recording.
CREATE FUNCTION set_keys_v1(p_recording uuid, p_kinds text[], p_values text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM recording_keys k WHERE k.recording_id = p_recording AND NOT EXISTS (
        SELECT FROM unnest(p_kinds, p_values) AS n (kind, value) WHERE n.kind = k.kind AND n.value = k.value);
    INSERT INTO recording_keys (recording_id, kind, value)
    SELECT p_recording, n.kind, n.value FROM unnest(p_kinds, p_values) AS n (kind, value)
    ON CONFLICT DO NOTHING;
END $$;

-- Put two recordings into one group; groups that meet become one. The caller holds the lock of pairs.
CREATE FUNCTION join_copies_v1(p_one uuid, p_other uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_one uuid := (SELECT group_id FROM copy_members WHERE recording_id = p_one);
    v_other uuid := (SELECT group_id FROM copy_members WHERE recording_id = p_other);
    v_group uuid := coalesce(v_one, v_other, gen_random_uuid());
BEGIN
    IF v_one <> v_other THEN
        UPDATE copy_members SET group_id = v_one WHERE group_id = v_other;
        -- Jobs of the group that is gone will find nothing.
        PERFORM enqueue_pair_v1(v_one);
    END IF;
    INSERT INTO copy_members (recording_id, group_id) VALUES (p_one, v_group), (p_other, v_group)
    ON CONFLICT (recording_id) DO NOTHING;
    RETURN v_group;
END $$;

-- Changes of groups come one at a time: two that join the same recordings would otherwise wait for each other.
CREATE FUNCTION lock_pairs_v1() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(7161721)
$$;

-- Note two recordings that may be copies; false when they are noted already, whatever became of it.
CREATE FUNCTION note_pair_v1(p_one uuid, p_other uuid, p_kind text, p_reason text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_group uuid;
BEGIN
    IF EXISTS (SELECT FROM copy_pairs WHERE one = least(p_one, p_other) AND other = greatest(p_one, p_other)) THEN
        RETURN false;
    END IF;
    PERFORM lock_pairs_v1();
    -- Against a publication of either that has begun: whoever comes second sees the other's rows and queues the job.
    PERFORM FROM recordings WHERE id IN (p_one, p_other) ORDER BY id FOR SHARE;
    INSERT INTO copy_pairs (one, other, key_kind, key_reason)
    VALUES (least(p_one, p_other), greatest(p_one, p_other), p_kind, p_reason)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    v_group := join_copies_v1(p_one, p_other);
    IF NOT EXISTS (SELECT FROM recordings WHERE id IN (p_one, p_other) AND state IN ('recording', 'finalising')) THEN
        PERFORM enqueue_pair_v1(v_group);
    END IF;
    RETURN true;
END $$;

-- What the comparison of two files showed. A decision of an operator stays; the figures are kept, healing needs them.
CREATE FUNCTION decide_pair_v1(
    p_one uuid, p_other uuid, p_state text, p_reason text, p_base uuid, p_comparison jsonb, p_one_sha256 bytea,
    p_other_sha256 bytea
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE copy_pairs SET base = p_base, comparison = p_comparison, one_sha256 = p_one_sha256,
        other_sha256 = p_other_sha256,
        state = CASE WHEN decided_by = 'operator' THEN state ELSE p_state END,
        reason = CASE WHEN decided_by = 'operator' THEN reason ELSE p_reason END,
        decided_at = CASE WHEN decided_by = 'operator' THEN decided_at ELSE now() END,
        decided_by = coalesce(CASE WHEN decided_by = 'operator' THEN decided_by END, 'audio')
    WHERE one = p_one AND other = p_other;
    RETURN FOUND;
END $$;

-- What an operator says about pairs, remembered: no comparison overrides it. The group is looked at anew.
CREATE FUNCTION rule_pairs_v1(
    p_ones uuid[], p_others uuid[], p_state text, p_reason text, p_by text, p_action text
) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_group uuid;
    v_pair record;
BEGIN
    PERFORM lock_pairs_v1();
    FOR v_pair IN
        SELECT least(a, b) AS one, greatest(a, b) AS other FROM unnest(p_ones, p_others) AS p (a, b)
    LOOP
        INSERT INTO copy_pairs AS c (one, other, state, key_kind, key_reason, reason, decided_by, decided_at)
        VALUES (v_pair.one, v_pair.other, p_state, 'operator', 'an operator said so', p_reason, 'operator', now())
        ON CONFLICT ON CONSTRAINT copy_pairs_pkey DO UPDATE SET state = EXCLUDED.state, reason = EXCLUDED.reason,
            decided_by = EXCLUDED.decided_by, decided_at = EXCLUDED.decided_at;
        v_group := join_copies_v1(v_pair.one, v_pair.other);
    END LOOP;
    PERFORM enqueue_pair_v1(v_group);
    PERFORM append_audit_v1(NULL, p_by, p_action, p_ones[1]::text, p_reason,
        jsonb_build_object('recordings', p_ones, 'others', p_others, 'group', v_group));
    RETURN v_group;
END $$;

-- Publish a healed master: its row, file, gaps and provenance, and the copies that it stands for from now on.
-- `refused` names the race that was lost, as in publish_v1; `superseded` lists files that the catalog no longer claims.
CREATE FUNCTION publish_master_v1(
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
        render_warnings, finalised_at, sealed_at, role, pairing_due)
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
        now(), 'master', false
    FROM unnest(v_ids) WITH ORDINALITY AS m (id, n) JOIN recordings c ON c.id = m.id
    ON CONFLICT ON CONSTRAINT recordings_pkey DO UPDATE SET state = EXCLUDED.state, door = EXCLUDED.door,
        call_uuid = EXCLUDED.call_uuid, conn_id = EXCLUDED.conn_id, ani = EXCLUDED.ani, dnis = EXCLUDED.dnis,
        dn = EXCLUDED.dn, other_dn = EXCLUDED.other_dn, record_dn = EXCLUDED.record_dn, agent_id = EXCLUDED.agent_id,
        sips_app_name = EXCLUDED.sips_app_name, tenant = EXCLUDED.tenant, started_at = EXCLUDED.started_at,
        ended_at = EXCLUDED.ended_at, duration_s = EXCLUDED.duration_s, parameters = EXCLUDED.parameters,
        render_warnings = EXCLUDED.render_warnings, finalised_at = EXCLUDED.finalised_at, role = 'master';
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
    PERFORM write_ledger_v1(p_master, p_ledger);
    PERFORM stand_for_v1(p_master, v_ids);
END $$;

-- What is deleted leaves nothing behind that names the call.
CREATE FUNCTION forget_pairing_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM recording_keys WHERE recording_id = NEW.id;
    DELETE FROM provenance WHERE recording_id = NEW.id;
    UPDATE copy_pairs SET key_reason = 'one of them was deleted' WHERE NEW.id IN (one, other);
    RETURN NULL;
END $$;
CREATE TRIGGER recordings_forget_pairing AFTER UPDATE OF state ON recordings FOR EACH ROW
WHEN (NEW.state = 'deleted' AND OLD.state <> 'deleted') EXECUTE FUNCTION forget_pairing_v1();

-- Count the ledger of a recording in the totals, or no longer; what it says stays.
CREATE FUNCTION count_ledger_v1(p_recording uuid, p_counted boolean) RETURNS void LANGUAGE sql AS $$
    SELECT write_ledger_v1(p_recording, jsonb_agg(to_jsonb(l)), p_counted) FROM ledger l
    WHERE l.recording_id = p_recording HAVING count(*) > 0
$$;

-- A recording is counted in the totals unless another one stands for it.
CREATE FUNCTION count_by_role_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count_ledger_v1(NEW.id, NEW.role IN ('recording', 'master'));
    RETURN NULL;
END $$;
CREATE TRIGGER recordings_count_by_role AFTER UPDATE OF role ON recordings FOR EACH ROW
WHEN ((OLD.role IN ('recording', 'master')) <> (NEW.role IN ('recording', 'master')))
EXECUTE FUNCTION count_by_role_v1();

-- As before; a copy that is rendered again is not counted.
CREATE OR REPLACE FUNCTION publish_v2(
    p_recording uuid, p_segments uuid[], p_state text, p_started_at timestamptz, p_duration_s double precision,
    p_files jsonb, p_gaps jsonb, p_streams jsonb, p_warnings jsonb,
    p_job bigint, p_worker text, p_claim bigint, p_ledger jsonb,
    OUT refused text, OUT superseded jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_published record;
BEGIN
    SELECT * INTO v_published FROM publish_v1(p_recording, p_segments, p_state, p_started_at, p_duration_s, p_files,
        p_gaps, p_streams, p_warnings, p_job, p_worker, p_claim);
    refused := v_published.refused;
    superseded := v_published.superseded;
    IF refused IS NULL THEN
        PERFORM write_ledger_v1(p_recording, p_ledger, (SELECT role <> 'copy' FROM recordings WHERE id = p_recording));
    END IF;
END $$;

-- From now on `p_master` stands for these copies and for no others; it may be one of them.
CREATE FUNCTION stand_for_v1(p_master uuid, p_copies uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_master OR id = ANY (p_copies) OR master_id = p_master ORDER BY id FOR UPDATE;
    -- A master that was healed from some of them before stands for nothing any more.
    UPDATE recordings SET role = 'withdrawn' WHERE role = 'master' AND id <> p_master AND id IN (
        SELECT master_id FROM recordings WHERE id = ANY (p_copies));
    UPDATE recordings SET role = 'recording', master_id = NULL
    WHERE master_id = p_master AND id <> ALL (p_copies);
    UPDATE recordings SET role = 'recording', master_id = NULL WHERE id = p_master AND role = 'copy';
    UPDATE recordings SET role = 'copy', master_id = p_master
    WHERE id = ANY (p_copies) AND id <> p_master AND role <> 'withdrawn' AND master_id IS DISTINCT FROM p_master;
END $$;

-- Copies that are none any more are recordings again; a healed master without copies is withdrawn.
CREATE FUNCTION stand_alone_v1(p_recordings uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_masters uuid[] := ARRAY(SELECT DISTINCT master_id FROM recordings WHERE id = ANY (p_recordings) AND role = 'copy');
BEGIN
    PERFORM FROM recordings WHERE id = ANY (p_recordings) OR id = ANY (v_masters) ORDER BY id FOR UPDATE;
    UPDATE recordings SET role = 'recording', master_id = NULL WHERE id = ANY (p_recordings) AND role = 'copy';
    UPDATE recordings r SET role = 'withdrawn' WHERE r.id = ANY (v_masters) AND r.role = 'master'
        AND NOT EXISTS (SELECT FROM recordings c WHERE c.master_id = r.id);
END $$;

-- A hold on a copy protects its master and the other copies, and the other way round; so does a hold on one of two
-- recordings of which nobody knows yet whether they are copies.
CREATE OR REPLACE FUNCTION held_together_v1(p_recording uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    WITH subject AS (SELECT coalesce(master_id, id) AS master FROM recordings WHERE id = p_recording),
    family AS (
        SELECT p_recording AS id
        UNION SELECT master FROM subject
        UNION SELECT r.id FROM recordings r JOIN subject s ON r.master_id = s.master
    )
    SELECT id FROM family
    UNION
    SELECT CASE p.one WHEN p_recording THEN p.other ELSE p.one END FROM copy_pairs p
    WHERE p_recording IN (p.one, p.other) AND p.state IN ('candidate', 'undecided')
$$;
