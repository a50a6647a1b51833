-- name: acquire_lease
-- New epoch of the lease; waits for writes of the former holder that are under way.
SELECT acquire_lease_v1($1, $2)

-- name: see_lease
-- The lease as it is, and the time of the database's clock; no row before its first acquisition.
SELECT node, holder, epoch, renewals, clock_timestamp() AS at FROM leases WHERE name = $1

-- name: contend_lease
-- Null when it is not as it was seen, or the time has passed.
SELECT acquire_lease_v2($1, $2, $3, $4, $5, coalesce($6::timestamptz, 'infinity'))

-- name: renew_lease
SELECT renew_lease_v1($1, $2, $3, $4)

-- name: release_lease
SELECT release_lease_v1($1, $2, $3)

-- name: beat_node
SELECT beat_node_v1($1, $2, $3, $4, $5, $6)

-- name: list_nodes
-- The hosts of a site, with the seconds since each was last heard of.
SELECT node, instance, endpoint, state, writers, extract(epoch FROM clock_timestamp() - seen_at)::float8 AS silent_s
FROM nodes WHERE site = $1 ORDER BY node

-- name: open_segment
-- Recording, segment, streams and dialog in one transaction.
SELECT recording_id, ordinal FROM open_segment_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
    $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)

-- name: open_segment_described
-- The same with the session's first metadata document, which is of the segment that the function has made by then.
SELECT o.recording_id, o.ordinal, add_metadata_v1($1, $2, $3, $18, $29, $30, $31)
FROM open_segment_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
    $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28) o

-- name: change_streams
-- False when the segment is unknown.
SELECT change_streams_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)

-- name: save_dialogs
-- Snapshots of several dialogs, in their order, with the streams of those that have changed theirs; says of each whether
-- its segment exists.
SELECT save_dialog_v2($1, $2, d.dialog_id, d.segment_id, d.snapshot, d.made_epoch, d.made_number, d.writer, d.host,
    d.capture_path, d.streams::jsonb) AS saved
FROM unnest($3::text[], $4::uuid[], $5::bytea[], $6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::text[],
    $11::text[]) WITH ORDINALITY AS d (dialog_id, segment_id, snapshot, made_epoch, made_number, writer, host,
    capture_path, streams, position)
ORDER BY d.position

-- name: end_dialog
SELECT end_dialog_v1($1, $2, $3)

-- name: load_dialogs
-- Live dialogs, and those that ended after $1; the next $4 of them behind the name $3.
SELECT d.dialog_id, d.epoch, d.writer, d.segment_id, s.recording_id, r.record_identifier, d.snapshot, d.updated_at,
    d.ended_at, d.made_epoch, d.made_number, s.opened_at
FROM dialogs d JOIN segments s ON s.id = d.segment_id JOIN recordings r ON r.id = s.recording_id
WHERE d.lease = $2 AND (d.ended_at IS NULL OR d.ended_at > $1) AND d.dialog_id > $3
ORDER BY d.dialog_id LIMIT $4

-- name: forget_dialogs
SELECT forget_dialogs_v1($1, $2, $3)

-- name: close_segment
SELECT recording_id, open_segments, changed FROM close_segment_v2($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: open_segments
-- Segments of a site ($2 is its lease) that nobody has closed; of one host when $1 is given.
SELECT s.id AS segment_id, s.recording_id, r.record_identifier, s.host, s.writer, s.capture_path, s.dialog_id,
    s.opened_at
FROM segments s JOIN recordings r ON r.id = s.recording_id
WHERE s.state = 'open' AND ($1::text IS NULL OR s.host = $1)
    AND EXISTS (SELECT FROM dialogs d WHERE d.dialog_id = s.dialog_id AND d.lease = $2)
ORDER BY s.opened_at, s.id

-- name: add_metadata
SELECT add_metadata_v1($1, $2, $3, $4, $5, $6, $7)

-- name: add_traces
-- Messages of several segments at once; those of segments that do not exist (yet) are left out. Returns the others.
SELECT segment_id FROM add_traces_v1($1, $2, $3, $4, $5, $6, $7) AS a (segment_id)

-- name: trace_of
SELECT s.id AS segment_id, s.ordinal, s.sip_call_id, m.at, m.inbound, m.flow, m.message
FROM segments s JOIN sip_messages m ON m.segment_id = s.id
WHERE s.recording_id = $1 ORDER BY s.ordinal, m.at, m.id LIMIT $2

-- name: claim_job
SELECT id, kind, payload, attempts, claims, locked_until FROM claim_job_v1($1, $2, $3)

-- name: beat_job
SELECT beat_job_v1($1, $2, $3, $4)

-- name: complete_job
SELECT complete_job_v1($1, $2, $3)

-- name: fail_job
SELECT fail_job_v1($1, $2, $3, $4, $5)

-- name: retry_job
SELECT retry_job_v1($1)

-- name: list_jobs
-- Unfinished and dead jobs, newest last; of one state when $1 is given.
-- Ages are by the clock of the database, which set the times.
SELECT id AS job_id, kind, payload, state, attempts, max_attempts, run_after, locked_by, locked_until, last_error,
    created_at, claimed_at, extract(epoch FROM now() - created_at)::double precision AS age_s,
    CASE state WHEN 'running' THEN extract(epoch FROM now() - claimed_at)::double precision END AS running_s,
    CASE state WHEN 'queued' THEN greatest(extract(epoch FROM run_after - now()), 0)::double precision END AS due_in_s
FROM jobs WHERE $1::text IS NULL OR state = $1 ORDER BY id LIMIT $2

-- name: workload
-- What is being recorded, what waits and what is stuck; and who has a lease since when.
SELECT
    (SELECT count(*) FROM segments WHERE state = 'open') AS open_segments,
    j.queued, j.due, j.running, j.dead, j.oldest_due_s, j.longest_running_s,
    l.holder, l.epoch, l.acquired_at, extract(epoch FROM now() - l.acquired_at)::double precision AS held_s
FROM (
    SELECT count(*) FILTER (WHERE state = 'queued') AS queued,
        count(*) FILTER (WHERE state = 'queued' AND run_after <= now()) AS due,
        count(*) FILTER (WHERE state = 'running') AS running,
        count(*) FILTER (WHERE state = 'dead') AS dead,
        extract(epoch FROM now() - min(run_after) FILTER (WHERE state = 'queued' AND run_after <= now()))
            ::double precision AS oldest_due_s,
        extract(epoch FROM now() - min(claimed_at) FILTER (WHERE state = 'running'))::double precision
            AS longest_running_s
    FROM jobs
) j LEFT JOIN leases l ON l.name = $1

-- name: enqueue_finalise
-- False while a segment is open, null for an unknown recording.
SELECT enqueue_finalise_v1($1)

-- name: recording_segments
-- One row for each segment of a recording, streams aggregated.
SELECT r.id AS recording_id, r.record_identifier, r.state AS recording_state, r.started_at,
    jsonb_build_object('identifier', r.record_identifier, 'door', r.door, 'call_uuid', r.call_uuid,
        'conn_id', r.conn_id, 'ani', r.ani, 'dnis', r.dnis, 'dn', r.dn, 'other_dn', r.other_dn,
        'record_dn', r.record_dn, 'agent_id', r.agent_id, 'sips_app_name', r.sips_app_name, 'tenant', r.tenant) AS facts,
    s.id AS segment_id, s.ordinal, s.state, s.interrupted, s.writer, s.host, s.capture_path, s.earlier_captures,
    s.opened_at, s.closed_at, s.end_cause,
    coalesce((
        SELECT jsonb_agg(jsonb_build_object('index', t.m_line, 'party', t.party, 'label', t.label,
            'participant', t.participant) ORDER BY t.m_line)
        FROM streams t WHERE t.segment_id = s.id), '[]') AS streams
FROM recordings r JOIN segments s ON s.recording_id = r.id
WHERE r.id = $1 ORDER BY s.ordinal

-- name: publish
SELECT refused, superseded FROM publish_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: write_ledger
-- False for an unknown recording.
SELECT replace_ledger_v1($1, $2, $3)

-- name: list_recordings
-- A page of recordings, newest first; the conditions come from storage.catalog.search.
SELECT r.*,
    (SELECT array_agg(s.sip_call_id ORDER BY s.ordinal) FROM segments s WHERE s.recording_id = r.id) AS sip_call_ids,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('party', g.party, 'start_s', g.start_s, 'duration_s', g.duration_s,
        'kind', g.kind, 'cause', g.cause, 'segment_id', g.segment_id) ORDER BY g.start_s, g.party), '[]')
     FROM gaps g WHERE g.recording_id = r.id) AS gaps
FROM (
    SELECT r.* FROM recordings r WHERE /* placed */ AND /* conditions */ ORDER BY r.started_at DESC, r.id DESC LIMIT /* limit */
) AS r ORDER BY r.started_at DESC, r.id DESC

-- name: search_recordings
-- The same by terms. Joined by id alone: with more the planner takes the page for tiny and reads everything. OFFSET 0
-- keeps the terms' part by itself: it is put in order before recordings are looked at, so that no more of them are than
-- the page takes.
SELECT r.*,
    (SELECT array_agg(s.sip_call_id ORDER BY s.ordinal) FROM segments s WHERE s.recording_id = r.id) AS sip_call_ids,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('party', g.party, 'start_s', g.start_s, 'duration_s', g.duration_s,
        'kind', g.kind, 'cause', g.cause, 'segment_id', g.segment_id) ORDER BY g.start_s, g.party), '[]')
     FROM gaps g WHERE g.recording_id = r.id) AS gaps
FROM (
    SELECT r.* FROM (
        SELECT q.started_at, q.recording_id FROM recording_search q WHERE /* placed */
        ORDER BY q.started_at DESC, q.recording_id DESC OFFSET 0
    ) AS q JOIN recordings r ON r.id = q.recording_id
    WHERE /* conditions */ ORDER BY q.started_at DESC, q.recording_id DESC LIMIT /* limit */
) AS r ORDER BY r.started_at DESC, r.id DESC

-- name: recording_bounds
-- Between which times there can be recordings of a search.
SELECT greatest(min(started_at), $1) AS oldest, least(max(started_at), $2) AS newest FROM recordings

-- name: index_recordings
SELECT index_recordings_v1($1)

-- name: metadata_of
SELECT s.ordinal, m.received_at, m.content_type, m.body, m.sha256
FROM segments s JOIN metadata_revisions m ON m.segment_id = s.id
WHERE s.recording_id = $1 ORDER BY m.received_at, m.id

-- name: annotate
-- How many annotations are new; null for an unknown recording.
SELECT annotate_v1($1, $2, $3, $4, $5)

-- name: annotations_of
SELECT name, value, reason, added_by, added_at FROM annotations WHERE recording_id = $1 ORDER BY id

-- name: find_by_identifier
-- The one that still goes on, or the latest of those that had it.
SELECT id FROM recordings WHERE record_identifier = $1 ORDER BY sealed_at DESC NULLS FIRST, id LIMIT 1

-- name: find_by_id_range
-- Ids between two bounds: a shortened id is a range.
SELECT id FROM recordings WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT 6

-- name: segments_of
SELECT s.*, coalesce((
        SELECT jsonb_agg(jsonb_build_object('index', t.m_line, 'party', t.party, 'label', t.label, 'media', t.media,
            'participant', t.participant, 'payload_types', t.payload_types, 'quality', t.quality) ORDER BY t.m_line)
        FROM streams t WHERE t.segment_id = s.id), '[]') AS streams
FROM segments s WHERE s.recording_id = $1 ORDER BY s.ordinal

-- name: files_of
SELECT kind, store, path, format, sample_rate, channels, frames, size_bytes, sha256, created_at
FROM files WHERE recording_id = $1 ORDER BY kind, store, path

-- name: schema_version
SELECT max(version) FROM schema_migrations

-- name: append_audit
SELECT append_audit_v1($1, $2, $3, $4, $5, $6)

-- name: audit_entries
-- Entries after number $1, of what is given of actor, action, subject and time ($5 inclusive, $6 exclusive).
SELECT number, entry_id, at, actor, action, subject, reason, details, previous, digest FROM audit_log
WHERE number > $1 AND ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR action = $3)
    AND ($4::text IS NULL OR subject = $4) AND ($5::timestamptz IS NULL OR at >= $5)
    AND ($6::timestamptz IS NULL OR at < $6)
ORDER BY number LIMIT $7

-- name: latest_audit_entries
-- The same, the latest ones, newest first.
SELECT number, entry_id, at, actor, action, subject, reason, details, previous, digest FROM audit_log
WHERE ($1::text IS NULL OR actor = $1) AND ($2::text IS NULL OR action = $2)
    AND ($3::text IS NULL OR subject = $3) AND ($4::timestamptz IS NULL OR at >= $4)
    AND ($5::timestamptz IS NULL OR at < $5)
ORDER BY number DESC LIMIT $6

-- name: audit_head
SELECT number, digest FROM audit_head

-- name: audit_digests
SELECT number, digest FROM audit_log WHERE number = ANY ($1::bigint[])

-- name: learn_capability
SELECT learn_capability_v1($1, $2, $3, $4, $5, $6, $7, $8)

-- name: peer_capabilities
SELECT peer, product, method, outcome, status, learnt_at FROM peer_capabilities
WHERE learnt_at > $1 ORDER BY learnt_at DESC LIMIT $2
