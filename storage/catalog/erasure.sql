-- name: find_person
SELECT f.recording_id, f.named_by, r.record_identifier, r.state, r.started_at
FROM find_person_v1($1) AS f JOIN recordings r ON r.id = f.recording_id ORDER BY r.started_at, r.id

-- name: mask_person
SELECT mask_person_v1($1, $2, $3, $4)

-- name: usage_by_day
-- Files by the day (UTC) on which they were published, the oldest first, from $1 on.
SELECT (created_at AT TIME ZONE 'UTC')::date AS day, store, kind, count(*) AS files, sum(size_bytes)::bigint AS size_bytes
FROM files WHERE created_at >= $1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3

-- name: usage_total
SELECT store, kind, count(*) AS files, sum(size_bytes)::bigint AS size_bytes FROM files GROUP BY 1, 2 ORDER BY 1, 2
