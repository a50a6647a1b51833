-- name: captures
-- Every capture that the catalog knows, by session; of one host when $1 is given.
SELECT c.host, c.path, c.writer, s.id AS segment_id, s.ordinal, s.state AS segment_state, r.id AS recording_id,
    r.record_identifier, r.state AS recording_state, r.captures AS captures_state, s.opened_at
FROM segments s JOIN recordings r ON r.id = s.recording_id CROSS JOIN LATERAL (
    SELECT s.writer, s.host, s.capture_path AS path
    UNION ALL
    SELECT e.writer, e.host, e.path
    FROM jsonb_to_recordset(s.earlier_captures) AS e (writer text, host text, path text)) AS c
WHERE c.path <> '' AND r.captures <> 'erased' AND ($1::text IS NULL OR c.host = $1)
ORDER BY s.opened_at, s.id, c.path

-- name: find_capture
SELECT fate, recording_id, segment_id FROM find_capture_v1($1, $2, $3, $4, $5, $6)

-- name: take_capture
SELECT fate, recording_id, segment_id FROM take_capture_v1($1, $2, $3, $4, $5, $6, $7, $8)
