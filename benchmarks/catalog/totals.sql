-- What publications would have counted of $ROWS recordings.
INSERT INTO completeness_days (day, door, agent_id, kind, cause, sample_rate, frames, intervals, recordings)
SELECT d::date, door, 'agent' || a, k.kind, k.cause, 8000, 480000, 10, 5
FROM generate_series(timestamp '2024-12-01', '2026-11-30', '1 day') AS d, unnest(ARRAY['msr', 'siprec']) AS door,
    generate_series(1, greatest(1, least(1000, $ROWS / 5000))) AS a,
    (VALUES ('recorded', 'received'), ('lost', 'network'), ('silent', 'comfort-noise')) AS k (kind, cause);

INSERT INTO recording_days (day, door, agent_id, state, recordings, milliseconds, size_bytes)
SELECT (started_at AT TIME ZONE 'UTC')::date, door, agent_id, state, count(*), sum(1000 * duration_s)::bigint, count(*) * 1000000
FROM recordings GROUP BY 1, 2, 3, 4;
