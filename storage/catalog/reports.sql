-- Reports: read from the totals, so that their cost depends on days, not on calls. `/* group */` is one of the
-- expressions in storage.catalog.reports.

-- name: completeness_shares
SELECT /* group */ AS "group", kind, cause, sum(frames::numeric / sample_rate)::double precision AS seconds,
    sum(intervals)::bigint AS intervals, sum(recordings)::bigint AS recordings
FROM completeness_days WHERE day >= $1 AND day < $2 AND (recordings <> 0 OR frames <> 0)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3

-- name: recording_outcomes
-- What is finalised, and what is not (yet); a recording that is in work once more counts as it was finalised last.
SELECT o.grouped AS "group", o.state, sum(o.recordings)::bigint AS recordings, sum(o.milliseconds) / 1000.0 AS seconds,
    sum(o.size_bytes)::bigint AS size_bytes
FROM (
    SELECT /* group */ AS grouped, state, recordings, milliseconds, size_bytes
    FROM recording_days WHERE day >= $1 AND day < $2 AND recordings <> 0
    UNION ALL
    SELECT /* group */, state, 1, 0, 0 FROM (
        SELECT (started_at AT TIME ZONE 'UTC')::date AS day, door, coalesce(agent_id, '') AS agent_id, state, id
        FROM recordings
        WHERE state IN ('recording', 'finalising', 'failed') AND finalised_at IS NULL
            AND started_at >= $1::date::timestamp AT TIME ZONE 'UTC'
            AND started_at < $2::date::timestamp AT TIME ZONE 'UTC'
    ) AS unfinished
) AS o
GROUP BY 1, 2 ORDER BY 1, 2

-- name: concurrent_peaks
-- The most sessions that were open at once, by UTC day. Sessions longer than two days are not looked for.
SELECT (e.at AT TIME ZONE 'UTC')::date AS day, max(e.open)::bigint AS peak
FROM (
    -- At one instant ends come first: a session that follows another is not beside it.
    SELECT s.at, sum(s.step) OVER (ORDER BY s.at, s.step) AS open
    FROM (
        SELECT opened_at AS at, 1 AS step FROM segments
        WHERE opened_at >= $1::date::timestamp AT TIME ZONE 'UTC' - interval '2 days'
            AND opened_at < $2::date::timestamp AT TIME ZONE 'UTC'
        UNION ALL
        SELECT closed_at, -1 FROM segments
        WHERE opened_at >= $1::date::timestamp AT TIME ZONE 'UTC' - interval '2 days'
            AND opened_at < $2::date::timestamp AT TIME ZONE 'UTC' AND closed_at IS NOT NULL
        UNION ALL
        SELECT d.at AT TIME ZONE 'UTC', 0
        FROM generate_series($1::date::timestamp, $2::date::timestamp - interval '1 day', interval '1 day') AS d (at)
    ) AS s
) AS e
WHERE e.at >= $1::date::timestamp AT TIME ZONE 'UTC' AND e.at < $2::date::timestamp AT TIME ZONE 'UTC'
GROUP BY 1 ORDER BY 1

-- name: match_expected
-- For each expected call: the recordings that can be it. Identifiers decide alone; else numbers and time together.
SELECT e.position, r.id, r.record_identifier, r.state, r.started_at, r.duration_s, r.lost_s
FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::double precision[])
    AS e (position, record_identifier, call_uuid, number, started_at, tolerance_s)
CROSS JOIN LATERAL (
    SELECT id, record_identifier, state, started_at, duration_s, lost_s FROM recordings
    WHERE e.record_identifier IS NOT NULL AND record_identifier = e.record_identifier
    UNION
    SELECT id, record_identifier, state, started_at, duration_s, lost_s FROM recordings
    WHERE e.record_identifier IS NULL AND e.call_uuid IS NOT NULL AND call_uuid = e.call_uuid
    UNION
    SELECT id, record_identifier, state, started_at, duration_s, lost_s FROM recordings
    WHERE e.record_identifier IS NULL AND e.call_uuid IS NULL
        AND started_at >= e.started_at - make_interval(secs => e.tolerance_s)
        AND started_at <= e.started_at + make_interval(secs => e.tolerance_s)
        AND e.number IN (dn, other_dn, ani, dnis, agent_id)
) AS r
ORDER BY e.position, r.started_at, r.id
