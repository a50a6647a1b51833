-- name: retention_total
-- Bytes of all files but of those that are being erased.
SELECT (coalesce((SELECT sum(size_bytes) FROM files), 0) - coalesce((
    SELECT sum(f.size_bytes) FROM recordings r JOIN files f ON f.recording_id = r.id
    WHERE r.state = 'deleting'), 0))::bigint

-- name: retention_candidates
-- Finished recordings in order of age, after ($2, $3), that began before $1.
SELECT r.id, r.record_identifier, r.door, r.state, r.call_uuid, r.conn_id, r.ani, r.dnis, r.dn, r.other_dn, r.record_dn,
    r.agent_id, r.sips_app_name, r.tenant, r.parameters, r.started_at, coalesce(r.ended_at, r.started_at) AS ended_at,
    CASE WHEN r.state <> 'failed' THEN r.finalised_at END AS finalised_at, r.captures = 'kept' AS captures_kept,
    (SELECT coalesce(sum(f.size_bytes), 0)::bigint FROM files f WHERE f.recording_id = r.id) AS size_bytes
FROM recordings r
WHERE r.state IN ('complete', 'interrupted', 'no-media', 'failed') AND r.started_at < $1
    AND (r.started_at, r.id) > ($2, $3)
ORDER BY r.started_at, r.id LIMIT $4

-- name: capture_candidates
-- Finished recordings with captures, finalised before $1, in that order after ($2, $3). Also those whose erasure was
-- decided and then stopped by a hold. Not those that need their captures.
SELECT r.id, r.record_identifier, r.door, r.state, r.call_uuid, r.conn_id, r.ani, r.dnis, r.dn, r.other_dn, r.record_dn,
    r.agent_id, r.sips_app_name, r.tenant, r.parameters, r.started_at, coalesce(r.ended_at, r.started_at) AS ended_at,
    r.finalised_at, true AS captures_kept, 0::bigint AS size_bytes
FROM recordings r
WHERE r.captures <> 'erased' AND r.state IN ('complete', 'interrupted', 'no-media') AND r.finalised_at <= $1
    AND (r.finalised_at, r.id) > ($2, $3)
    AND EXISTS (SELECT FROM captures_of_v1(r.id))
    AND (r.captures = 'erasing' OR NOT captures_needed_v1(r.id))
    AND (r.captures = 'kept' OR NOT EXISTS (
        SELECT FROM erasures e JOIN jobs j ON j.dedupe_key = 'erase@' || e.host || ':' || r.id
        WHERE e.recording_id = r.id))
ORDER BY r.finalised_at, r.id LIMIT $4

-- name: candidates_among
SELECT r.id, r.record_identifier, r.door, r.state, r.call_uuid, r.conn_id, r.ani, r.dnis, r.dn, r.other_dn, r.record_dn,
    r.agent_id, r.sips_app_name, r.tenant, r.parameters, r.started_at, coalesce(r.ended_at, r.started_at) AS ended_at,
    r.finalised_at, r.captures = 'kept' AS captures_kept, 0::bigint AS size_bytes
FROM recordings r WHERE r.id = ANY ($1::uuid[])

-- name: old_trace_months
SELECT month, size_bytes, held_sessions FROM old_trace_months_v1($1)

-- name: forget_trace_month
SELECT refused, size_bytes, held_sessions FROM forget_trace_month_v1($1, $2, $3)
