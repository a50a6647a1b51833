-- name: intend_file
SELECT intend_file_v1($1, $2, $3, $4, $5, $6, $7)

-- name: withdraw_intents
SELECT withdraw_intents_v1($1, $2)

-- name: discarded
SELECT file_discarded_v1($1, $2, $3)

-- name: free_names
-- Names of files that are gone for so long that nobody can be about to remove them.
DELETE FROM doomed_files WHERE gone_at <= now() - $1::interval

-- name: doomed
SELECT EXISTS (SELECT FROM doomed_files WHERE store = $1 AND path = $2 AND gone_at IS NULL)

-- name: record_manifest
SELECT record_manifest_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: record_manifest_of_job
-- The same, and the job that made it is done: in one transaction. False for a job that somebody else has by now.
SELECT record_manifest_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS refused, complete_job_v1($11, $12, $13) AS ours

-- name: to_state
-- What the next manifest of a recording states, and the latest one, all at one moment.
SELECT r.id AS recording_id, r.state, r.started_at, r.ended_at, r.duration_s, r.finalised_at, r.parameters, r.warnings,
    r.render_warnings,
    jsonb_build_object('identifier', r.record_identifier, 'door', r.door, 'call_uuid', r.call_uuid,
        'conn_id', r.conn_id, 'ani', r.ani, 'dnis', r.dnis, 'dn', r.dn, 'other_dn', r.other_dn,
        'record_dn', r.record_dn, 'agent_id', r.agent_id, 'sips_app_name', r.sips_app_name, 'tenant', r.tenant) AS facts,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('party', g.party, 'start_s', g.start_s, 'duration_s', g.duration_s,
        'kind', g.kind, 'cause', g.cause) ORDER BY g.start_s, g.party), '[]')
     FROM gaps g WHERE g.recording_id = r.id) AS gaps,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('party', l.party, 'sample_rate', l.sample_rate, 'frames', l.frames,
        'recorded', l.recorded, 'silent', l.silent, 'paused', l.paused, 'lost', l.lost, 'ends', l.ends,
        'facts', l.facts, 'kinds', l.kinds, 'causes', l.causes, 'sources', l.sources) ORDER BY l.party), '[]')
     FROM ledger l WHERE l.recording_id = r.id) AS ledger,
    (SELECT ROW(h.number, h.digest) FROM audit_head h) AS log,
    ARRAY(
        SELECT ROW(s.id, s.ordinal, s.door, s.sip_call_id, s.opened_at, s.closed_at, s.end_cause, s.interrupted,
            s.writer, s.host, s.capture_path, s.earlier_captures::text, coalesce((
                SELECT jsonb_agg(jsonb_build_object('stream', t.m_line, 'party', t.party, 'label', t.label)
                    ORDER BY t.m_line)
                FROM streams t WHERE t.segment_id = s.id), '[]')::text)
        FROM segments s WHERE s.recording_id = r.id ORDER BY s.ordinal
    ) AS segments,
    ARRAY(
        SELECT ROW(m.segment_id, m.received_at, m.content_type, coalesce(sha256(m.body), m.sha256))
        FROM metadata_revisions m JOIN segments s ON s.id = m.segment_id
        WHERE s.recording_id = r.id ORDER BY s.ordinal, m.received_at, m.id
    ) AS metadata,
    ARRAY(
        SELECT ROW(f.kind, f.path, f.format, f.sample_rate, f.channels, f.frames, f.size_bytes, f.sha256,
            e.clear_bytes, e.clear_sha256)
        FROM files f LEFT JOIN envelopes e ON e.sha256 = f.sha256
        WHERE f.recording_id = r.id ORDER BY f.kind, f.store, f.path
    ) AS files,
    (SELECT ROW(m.version, m.store, m.path, m.sha256)
     FROM manifests m WHERE m.recording_id = r.id ORDER BY m.version DESC LIMIT 1) AS latest
FROM recordings r WHERE r.id = $1

-- name: manifests_of
-- Oldest first.
SELECT version, store, path, size_bytes, sha256, root, key_id, finalised_at, sealed_at
FROM manifests WHERE recording_id = $1 ORDER BY version

-- name: move_file
SELECT move_file_v3($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: files_in_store
-- What a recording that stays has in one store: audio and manifests.
SELECT f.path, f.size_bytes, f.sha256
FROM (
    SELECT recording_id, path, size_bytes, sha256 FROM files WHERE recording_id = $1 AND store = $2
    UNION ALL
    SELECT recording_id, path, size_bytes, sha256 FROM manifests WHERE recording_id = $1 AND store = $2
) AS f JOIN recordings r ON r.id = f.recording_id AND r.state NOT IN ('deleting', 'deleted')
ORDER BY f.path

-- name: enqueue_upload
-- A job for each host that has something of it in the directory where files are made.
SELECT enqueue_patient_job_v1(kind, $1::uuid::text, jsonb_build_object('recording_id', $1::uuid))
FROM (
    SELECT DISTINCT job_kind_of_store_v1('upload', store) AS kind FROM (
        SELECT store FROM files WHERE recording_id = $1
        UNION ALL
        SELECT store FROM manifests WHERE recording_id = $1
    ) AS f WHERE store = 'local' OR store LIKE 'local@%'
) AS k

-- name: recordings_in_store
-- Finished recordings with something in a store ($1), oldest first: begun before $2, after the position $3 and $4.
SELECT r.id, r.started_at, c.files, c.size_bytes
FROM recordings r CROSS JOIN LATERAL (
    SELECT count(*) AS files, sum(f.size_bytes)::bigint AS size_bytes FROM (
        SELECT size_bytes FROM files WHERE recording_id = r.id AND store = $1
        UNION ALL
        SELECT size_bytes FROM manifests WHERE recording_id = r.id AND store = $1
    ) AS f
) AS c
WHERE c.files > 0 AND r.state IN ('complete', 'interrupted', 'no-media') AND r.started_at < $2
    AND (r.started_at, r.id) > ($3, $4)
ORDER BY r.started_at, r.id LIMIT $5

-- name: envelope_of
SELECT clear_sha256, clear_bytes, keys FROM envelopes WHERE sha256 = $1

-- name: envelopes
-- Envelopes after digest $1, in its order.
SELECT e.sha256, e.recording_id, e.clear_sha256, e.clear_bytes, e.keys, f.store, f.path
FROM envelopes e JOIN files f ON f.sha256 = e.sha256 AND f.recording_id = e.recording_id
WHERE e.sha256 > $1 ORDER BY e.sha256 LIMIT $2

-- name: replace_keys
-- The same data key for other recipients; null when the envelope has been changed meanwhile ($2 is the former one).
UPDATE envelopes SET keys = $3 WHERE sha256 = $1 AND keys = $2 RETURNING true

-- name: known_paths
-- Which of these paths of a store are claimed, intended or doomed.
SELECT p.path FROM unnest($2::text[]) AS p (path)
WHERE EXISTS (SELECT FROM files f WHERE f.store = $1 AND f.path = p.path)
    OR EXISTS (SELECT FROM manifests m WHERE m.store = $1 AND m.path = p.path)
    OR EXISTS (SELECT FROM intended_files i WHERE i.store = $1 AND i.path = p.path)
    OR EXISTS (SELECT FROM doomed_files d WHERE d.store = $1 AND d.path = p.path)

-- name: standing
SELECT r.state, r.finalised_at,
    EXISTS (SELECT FROM jobs j WHERE j.dedupe_key = 'manifest:' || r.id AND j.state IN ('queued', 'running'))
        AS awaits_seal,
    EXISTS (SELECT FROM segments s WHERE s.recording_id = r.id AND s.state = 'open')
        OR EXISTS (SELECT FROM jobs j WHERE j.dedupe_key = 'finalise:' || r.id AND j.state IN ('queued', 'running'))
        OR EXISTS (SELECT FROM jobs j WHERE j.dedupe_key = 'finalise:' || r.id AND j.state = 'dead') AS under_way
FROM recordings r WHERE r.id = $1

-- name: checkable_recordings
-- Recordings after $1 in the order of ids: the finished ones, and those that nothing will finish.
SELECT r.id FROM recordings r
WHERE r.id > $1 AND r.state NOT IN ('deleting', 'deleted') AND (
    r.state IN ('complete', 'interrupted', 'no-media')
    OR NOT EXISTS (SELECT FROM segments s WHERE s.recording_id = r.id AND s.state = 'open')
        AND NOT EXISTS (
            SELECT FROM jobs j WHERE j.dedupe_key = 'finalise:' || r.id AND j.state IN ('queued', 'running'))
        AND NOT EXISTS (SELECT FROM jobs j WHERE j.dedupe_key = 'finalise:' || r.id AND j.state = 'dead'))
ORDER BY r.id LIMIT $2

-- name: audit_end
SELECT coalesce(max(number), 0) FROM audit_log

-- name: unaccounted
-- Entries with numbers above $1 and up to $2 that tell of results which the catalog has lost: `state` is null where the
-- recording itself is, `version` null where it is a deletion that nobody has asked for, else that of a lost manifest.
SELECT a.number, a.subject, r.state,
    CASE WHEN r.state NOT IN ('deleting', 'deleted') THEN substring(a.details FROM '"version": ([0-9]+)')::integer END
        AS version
FROM audit_log a LEFT JOIN recordings r
    ON r.id = CASE WHEN a.subject ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN a.subject::uuid END
WHERE a.number > $1 AND a.number <= $2 AND a.action IN ('publish', 'seal') AND CASE
    WHEN r.id IS NULL THEN true
    WHEN r.state IN ('deleting', 'deleted')
        THEN NOT EXISTS (SELECT FROM audit_log d WHERE d.subject = a.subject AND d.action = 'delete')
    WHEN a.action = 'seal' THEN NOT EXISTS (
        SELECT FROM manifests m WHERE m.recording_id = r.id
            AND m.version = substring(a.details FROM '"version": ([0-9]+)')::integer
            AND encode(m.sha256, 'hex') = substring(a.details FROM '"sha256": "([0-9a-f]+)"'))
    ELSE false
END
ORDER BY a.number

-- name: lost_holds
-- Entries with numbers above $1 and up to $2 that tell of holds which stand no more, though nobody released them.
SELECT a.number, a.subject, a.hold
FROM (SELECT number, subject, substring(details FROM '"hold": ([0-9]+)')::bigint AS hold FROM audit_log
    WHERE number > $1 AND number <= $2 AND action = 'hold') AS a
WHERE NOT EXISTS (SELECT FROM legal_holds h WHERE h.id = a.hold AND h.released_at IS NULL)
    AND NOT EXISTS (SELECT FROM audit_log r WHERE r.subject = a.subject AND r.action = 'release'
        AND substring(r.details FROM '"hold": ([0-9]+)')::bigint = a.hold)
ORDER BY a.number
