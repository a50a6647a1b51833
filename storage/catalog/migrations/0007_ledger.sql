-- The ledger: what became of every frame of every party's timeline, and the totals that reports are made from.

-- Frames by kind, {recorded, silent, paused, lost}; null unless the intervals are in order and every one has a fact.
CREATE FUNCTION ledger_sums_v1(p_ends bigint[], p_facts smallint[], p_kinds text[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN bool_and(coalesce(i.end_frame > i.start_frame AND p_kinds[i.fact] IS NOT NULL, false)) THEN ARRAY[
        coalesce(sum(i.end_frame - i.start_frame) FILTER (WHERE p_kinds[i.fact] = 'recorded'), 0)::bigint,
        coalesce(sum(i.end_frame - i.start_frame) FILTER (WHERE p_kinds[i.fact] = 'silent'), 0)::bigint,
        coalesce(sum(i.end_frame - i.start_frame) FILTER (WHERE p_kinds[i.fact] = 'paused'), 0)::bigint,
        coalesce(sum(i.end_frame - i.start_frame) FILTER (WHERE p_kinds[i.fact] = 'lost'), 0)::bigint] END
    FROM (
        SELECT end_frame, fact, lag(end_frame, 1, 0::bigint) OVER (ORDER BY position) AS start_frame
        FROM unnest(p_ends, p_facts) WITH ORDINALITY AS u (end_frame, fact, position)
    ) AS i
$$;

-- One row for each party of a rendered recording. An interval begins where the one before it ends and the first begins
-- at frame 0, so that a hole or an overlap cannot be written down; the check sees to it that they end with the timeline.
CREATE TABLE ledger (
    recording_id uuid NOT NULL CONSTRAINT ledger_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    party integer NOT NULL CONSTRAINT ledger_party_not_negative CHECK (party >= 0),
    sample_rate integer NOT NULL CONSTRAINT ledger_sample_rate_positive CHECK (sample_rate > 0),
    frames bigint NOT NULL CONSTRAINT ledger_frames_positive CHECK (frames > 0),
    recorded bigint NOT NULL,         -- frames of each kind
    silent bigint NOT NULL,
    paused bigint NOT NULL,
    lost bigint NOT NULL,
    ends bigint[] NOT NULL,           -- frame at which each interval ends, exclusive
    facts smallint[] NOT NULL,        -- for each interval: position in the three lists below, from 1
    kinds text[] NOT NULL,
    causes text[] NOT NULL,
    sources text[] NOT NULL,
    CONSTRAINT ledger_pkey PRIMARY KEY (recording_id, party),
    CONSTRAINT ledger_adds_up CHECK (
        (recorded + silent + paused + lost = frames
            AND ledger_sums_v1(ends, facts, kinds) = ARRAY[recorded, silent, paused, lost]
            AND cardinality(kinds) = cardinality(causes) AND cardinality(kinds) = cardinality(sources)) IS TRUE)
);

-- The ledger for people: one row for each interval.
CREATE VIEW ledger_intervals AS
SELECT l.recording_id, l.party, i.position::integer AS position, i.start_frame, i.end_frame, l.sample_rate,
    i.start_frame::double precision / l.sample_rate AS start_s,
    (i.end_frame - i.start_frame)::double precision / l.sample_rate AS duration_s,
    l.kinds[i.fact] AS kind, l.causes[i.fact] AS cause, l.sources[i.fact] AS source
FROM ledger l CROSS JOIN LATERAL (
    SELECT u.position, u.end_frame, u.fact, lag(u.end_frame, 1, 0::bigint) OVER (ORDER BY u.position) AS start_frame
    FROM unnest(l.ends, l.facts) WITH ORDINALITY AS u (end_frame, fact, position)
) AS i;

-- Totals per day (UTC, of the start), door and agent. Frames keep their sample rate, so that sums stay exact. A row whose
-- recordings have all moved elsewhere stays with zeros.
CREATE TABLE completeness_days (
    day date NOT NULL,
    door text NOT NULL,
    agent_id text COLLATE "C" NOT NULL,           -- empty: not known
    kind text NOT NULL,
    cause text NOT NULL,
    sample_rate integer NOT NULL,
    frames bigint NOT NULL,
    intervals bigint NOT NULL,
    recordings bigint NOT NULL,
    CONSTRAINT completeness_days_pkey PRIMARY KEY (day, door, agent_id, kind, cause, sample_rate)
) WITH (fillfactor = 70);

CREATE TABLE recording_days (
    day date NOT NULL,
    door text NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    state text NOT NULL,
    recordings bigint NOT NULL,
    milliseconds bigint NOT NULL,     -- of timeline; of session where no audio arrived
    size_bytes bigint NOT NULL,
    CONSTRAINT recording_days_pkey PRIMARY KEY (day, door, agent_id, state)
) WITH (fillfactor = 70);

-- Under which key a recording is counted: it is taken out there before it is counted anew.
CREATE TABLE ledger_counted (
    recording_id uuid CONSTRAINT ledger_counted_pkey PRIMARY KEY
        CONSTRAINT ledger_counted_recording_fkey REFERENCES recordings (id) ON DELETE CASCADE,
    day date NOT NULL,
    door text NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    state text NOT NULL,
    milliseconds bigint NOT NULL,
    size_bytes bigint NOT NULL
);

-- What a recording adds to completeness_days.
CREATE FUNCTION ledger_shares_v1(p_recording uuid) RETURNS SETOF completeness_days
LANGUAGE sql STABLE AS $$
    SELECT c.day, c.door, c.agent_id, i.kind, i.cause, i.sample_rate,
        sum(i.end_frame - i.start_frame)::bigint, count(*), 1::bigint
    FROM ledger_counted c JOIN ledger_intervals i ON i.recording_id = c.recording_id
    WHERE c.recording_id = p_recording
    GROUP BY c.day, c.door, c.agent_id, i.kind, i.cause, i.sample_rate
$$;

-- Replace the ledger of a recording by [{party, sample_rate, frames, ends, facts, kinds, causes, sources}, ...] and count
-- it anew under its present day, door, agent and state; with p_counted false it is only kept (a copy that another
-- recording stands for). The caller has locked the row of the recording.
CREATE FUNCTION write_ledger_v1(p_recording uuid, p_parties jsonb, p_counted boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_counted ledger_counted;
    v_shares completeness_days[];
BEGIN
    SELECT * INTO v_counted FROM ledger_counted WHERE recording_id = p_recording;
    SELECT array_agg(s) INTO v_shares FROM ledger_shares_v1(p_recording) AS s;
    DELETE FROM ledger_counted WHERE recording_id = p_recording;
    DELETE FROM ledger WHERE recording_id = p_recording;
    INSERT INTO ledger (recording_id, party, sample_rate, frames, recorded, silent, paused, lost, ends, facts, kinds,
        causes, sources)
    SELECT p_recording, n.party, n.sample_rate, n.frames, n.sums[1], n.sums[2], n.sums[3], n.sums[4], n.ends, n.facts,
        n.kinds, n.causes, n.sources
    FROM (
        SELECT p.*, ledger_sums_v1(p.ends, p.facts, p.kinds) AS sums
        FROM jsonb_to_recordset(p_parties) AS p (party integer, sample_rate integer, frames bigint, ends bigint[],
            facts smallint[], kinds text[], causes text[], sources text[])
    ) AS n;
    UPDATE recordings SET lost_s = (
        SELECT coalesce(sum(l.lost::double precision / l.sample_rate), 0) FROM ledger l
        WHERE l.recording_id = p_recording)
    WHERE id = p_recording;
    IF p_counted THEN
        INSERT INTO ledger_counted (recording_id, day, door, agent_id, state, milliseconds, size_bytes)
        SELECT r.id, (r.started_at AT TIME ZONE 'UTC')::date, r.door, coalesce(r.agent_id, ''), r.state,
            round(1000 * coalesce(nullif(r.duration_s, 0), extract(epoch FROM r.ended_at - r.started_at), 0)),
            (SELECT coalesce(sum(f.size_bytes), 0) FROM files f WHERE f.recording_id = r.id)
        FROM recordings r WHERE r.id = p_recording;
    END IF;
    -- What goes and what comes in one statement each, in the order of the keys: two curators never wait for each other.
    INSERT INTO recording_days AS d (day, door, agent_id, state, recordings, milliseconds, size_bytes)
    SELECT c.day, c.door, c.agent_id, c.state, sum(c.sign), sum(c.sign * c.milliseconds), sum(c.sign * c.size_bytes)
    FROM (
        SELECT 1 AS sign, n.* FROM ledger_counted n WHERE n.recording_id = p_recording
        UNION ALL SELECT -1, v_counted.* WHERE v_counted.recording_id IS NOT NULL
    ) AS c
    GROUP BY c.day, c.door, c.agent_id, c.state
    ORDER BY c.day, c.door, c.agent_id, c.state
    ON CONFLICT ON CONSTRAINT recording_days_pkey DO UPDATE SET recordings = d.recordings + EXCLUDED.recordings,
        milliseconds = d.milliseconds + EXCLUDED.milliseconds, size_bytes = d.size_bytes + EXCLUDED.size_bytes;
    INSERT INTO completeness_days AS d (day, door, agent_id, kind, cause, sample_rate, frames, intervals, recordings)
    SELECT s.day, s.door, s.agent_id, s.kind, s.cause, s.sample_rate, sum(s.sign * s.frames), sum(s.sign * s.intervals),
        sum(s.sign * s.recordings)
    FROM (
        SELECT 1 AS sign, n.* FROM ledger_shares_v1(p_recording) AS n
        UNION ALL SELECT -1, o.* FROM unnest(v_shares) AS o
    ) AS s
    GROUP BY s.day, s.door, s.agent_id, s.kind, s.cause, s.sample_rate
    HAVING sum(s.sign * s.frames) <> 0 OR sum(s.sign * s.intervals) <> 0 OR sum(s.sign * s.recordings) <> 0
    ORDER BY s.day, s.door, s.agent_id, s.kind, s.cause, s.sample_rate
    ON CONFLICT ON CONSTRAINT completeness_days_pkey DO UPDATE SET frames = d.frames + EXCLUDED.frames,
        intervals = d.intervals + EXCLUDED.intervals, recordings = d.recordings + EXCLUDED.recordings;
END $$;

ALTER TABLE recordings ADD COLUMN lost_s double precision;    -- over all parties; null until rendered
CREATE INDEX recordings_lost_idx ON recordings (lost_s, started_at DESC) WHERE lost_s > 0;

-- write_ledger_v1 on its own. False for an unknown recording.
CREATE FUNCTION replace_ledger_v1(p_recording uuid, p_parties jsonb, p_counted boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM recordings WHERE id = p_recording FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM write_ledger_v1(p_recording, p_parties, p_counted);
    RETURN true;
END $$;

-- publish_v1, and the ledger in the same transaction.
CREATE FUNCTION publish_v2(
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
        PERFORM write_ledger_v1(p_recording, p_ledger);
    END IF;
END $$;
