-- name: begin_deletion
SELECT refused, begun FROM begin_deletion_v1($1, $2, $3, $4)

-- name: begin_capture_erasure
SELECT refused, begun FROM begin_capture_erasure_v1($1, $2, $3)

-- name: erasure
SELECT due, captures, files FROM erasure_v1($1, $2)

-- name: host_erased
SELECT host_erased_v1($1, $2, $3, $4, $5, $6)

-- name: tombstone_of
SELECT requested_by, reason, rule, requested_at, files, captures, deleted_at FROM deletions WHERE recording_id = $1
