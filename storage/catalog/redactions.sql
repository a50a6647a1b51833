-- name: begin_redactions
SELECT refused, subject FROM begin_redactions_v1($1, $2, $3, $4, $5)

-- name: redaction_family
-- What may hold a stretch of a recording, with the file of each and whether captures of it may exist.
SELECT r.id, r.record_identifier, r.role, r.state, r.duration_s, f.store, f.path, f.format, f.sample_rate, f.channels,
    f.frames, f.size_bytes, f.sha256, r.captures <> 'erased' AS captures_kept
FROM redaction_family_v1($1) AS m (id) JOIN recordings r ON r.id = m.id
    LEFT JOIN LATERAL (SELECT * FROM files WHERE recording_id = r.id AND kind = 'master' ORDER BY id LIMIT 1) f ON true
ORDER BY r.id <> $1, r.started_at, r.id

-- name: redaction_links
-- How recordings of a family lie on each other: copies on their masters, and pairs as they were compared.
SELECT master_id AS base, recording_id AS other, placed, NULL::jsonb AS comparison
FROM copy_sources WHERE master_id = ANY ($1) AND recording_id = ANY ($1) AND placed IS NOT NULL
UNION ALL
SELECT base, CASE base WHEN one THEN other ELSE one END, NULL, comparison
FROM copy_pairs
WHERE one = ANY ($1) AND other = ANY ($1) AND state = 'confirmed' AND base IS NOT NULL AND comparison IS NOT NULL

-- name: pending_redactions
SELECT id, party, start_s, end_s, silenced_at IS NOT NULL AS silenced FROM redactions
WHERE recording_id = $1 AND done_at IS NULL ORDER BY id

-- name: redactions_of
SELECT id, party, start_s, end_s, reason, requested_by, requested_at, done_at FROM redactions
WHERE recording_id = $1 ORDER BY id

-- name: ledger_of
SELECT party, sample_rate, start_frame, end_frame, kind, cause, source FROM ledger_intervals
WHERE recording_id = $1 ORDER BY party, position

-- name: swap_redacted
SELECT swap_redacted_v3($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: finish_redactions
SELECT finish_redactions_v2($1, $2, $3, $4, $5, $6)
