-- name: begin_redaction
SELECT refused, redaction FROM begin_redaction_v1($1, $2, $3, $4, $5, $6)

-- name: pending_redactions
SELECT id, party, start_s, end_s FROM redactions WHERE recording_id = $1 AND done_at IS NULL ORDER BY id

-- name: redactions_of
SELECT id, party, start_s, end_s, reason, requested_by, requested_at, done_at FROM redactions
WHERE recording_id = $1 ORDER BY id

-- name: ledger_of
SELECT party, sample_rate, start_frame, end_frame, kind, cause, source FROM ledger_intervals
WHERE recording_id = $1 ORDER BY party, position

-- name: swap_redacted
SELECT swap_redacted_v1($1, $2, $3, $4, $5, $6, $7, $8)

-- name: finish_redactions
SELECT finish_redactions_v1($1, $2, $3, $4, $5)
