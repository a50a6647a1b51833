-- name: due_for_pairing
-- Recordings whose call data no curator has looked at as they are, oldest first.
SELECT id, xmin::text AS version, record_identifier, door, call_uuid, conn_id, ani, dnis, dn, other_dn, record_dn,
    agent_id, sips_app_name, tenant, parameters, started_at, ended_at
FROM recordings WHERE pairing_due AND state NOT IN ('deleting', 'deleted') ORDER BY started_at LIMIT $1

-- name: set_keys
-- Of several recordings, in the same order by everybody: two that do so at once wait for each other, never in a circle.
SELECT set_keys_v1(g.recording_id, g.kinds, g.values)
FROM jsonb_to_recordset($1) AS g (recording_id uuid, kinds text[], values text[]) ORDER BY g.recording_id

-- name: partners_of
-- Recordings that share a key with one of $1, overlap it, and are not paired with it: of each the $2 nearest in time.
-- OFFSET 0 has keys looked up one by one: joined with the whole table they cost more the more recordings there are.
SELECT mine.id AS of, p.*
FROM recordings mine CROSS JOIN LATERAL (
    SELECT k.kind AS key_kind, k.value AS key_value, r.id, r.record_identifier, r.door, r.call_uuid, r.conn_id, r.ani,
        r.dnis, r.dn, r.other_dn, r.record_dn, r.agent_id, r.sips_app_name, r.tenant, r.parameters, r.started_at,
        r.ended_at
    FROM recording_keys own
        CROSS JOIN LATERAL (
            SELECT k.* FROM recording_keys k
            WHERE k.value = own.value AND k.kind = own.kind AND k.recording_id <> mine.id OFFSET 0
        ) AS k
        JOIN recordings r ON r.id = k.recording_id
    WHERE own.recording_id = mine.id AND r.role IN ('recording', 'copy') AND r.state NOT IN ('deleting', 'deleted')
        AND r.started_at < coalesce(mine.ended_at, 'infinity') AND coalesce(r.ended_at, 'infinity') > mine.started_at
        AND NOT EXISTS (
            SELECT FROM copy_pairs p WHERE p.one = least(mine.id, r.id) AND p.other = greatest(mine.id, r.id))
    ORDER BY greatest(r.started_at - mine.started_at, mine.started_at - r.started_at), r.id LIMIT $2
) AS p
WHERE mine.id = ANY ($1)

-- name: settle_pairing
-- Only where nothing was written to the recording since it was read; what somebody is writing to now is looked at again.
UPDATE recordings SET pairing_due = false WHERE id IN (
    SELECT r.id FROM recordings r JOIN unnest($1::uuid[], $2::text[]) AS d (id, version) ON d.id = r.id
    WHERE r.xmin::text = d.version FOR UPDATE OF r SKIP LOCKED)

-- name: facts_of
SELECT id, record_identifier, door, call_uuid, conn_id, ani, dnis, dn, other_dn, record_dn, agent_id, sips_app_name,
    tenant, parameters, started_at, ended_at
FROM recordings WHERE id = $1

-- name: note_pair
SELECT note_pair_v1($1, $2, $3, $4)

-- name: decide_pair
SELECT decide_pair_v1($1, $2, $3, $4, $5, $6, $7, $8)

-- name: rule_pairs
SELECT rule_pairs_v1($1, $2, $3, $4, $5, $6)

-- name: enqueue_heal
SELECT enqueue_job_v1('heal', $1::uuid::text, jsonb_build_object('group_id', $1::uuid))

-- name: enqueue_pair
SELECT enqueue_pair_v1($1)

-- name: group_of
SELECT group_id FROM copy_members WHERE recording_id = $1

-- name: groups
-- Groups of copies, the newest first; without those whose every pair is rejected unless $2; of one recording's when $3.
SELECT m.group_id FROM copy_members m JOIN recordings r ON r.id = m.recording_id
WHERE ($3::uuid IS NULL OR m.group_id = (SELECT group_id FROM copy_members WHERE recording_id = $3))
GROUP BY m.group_id
HAVING $2 OR EXISTS (
    SELECT FROM copy_pairs p JOIN copy_members o ON o.recording_id = p.one
    WHERE o.group_id = m.group_id AND p.state <> 'rejected')
ORDER BY max(r.started_at) DESC, m.group_id LIMIT $1

-- name: members_of
SELECT m.group_id, m.joined_at, r.id, r.record_identifier, r.door, r.role, r.master_id, r.state, r.started_at,
    r.ended_at, r.duration_s, s.position, s.offset_s, s.given_s,
    (SELECT f.sha256 FROM files f WHERE f.recording_id = r.id AND f.kind = 'master' ORDER BY f.id LIMIT 1) AS sha256
FROM copy_members m JOIN recordings r ON r.id = m.recording_id
    LEFT JOIN copy_sources s ON s.recording_id = r.id AND s.master_id = r.master_id
WHERE m.group_id = ANY ($1) ORDER BY r.started_at, r.id

-- name: pairs_of
SELECT o.group_id, p.* FROM copy_pairs p JOIN copy_members o ON o.recording_id = p.one
WHERE o.group_id = ANY ($1) ORDER BY p.noted_at, p.one, p.other

-- name: finished_audio
-- The finished file of a recording, where it holds received audio, and its gaps; no row without a file.
SELECT f.store, f.path, f.format, f.sample_rate, f.channels, f.frames, f.sha256, r.started_at,
    (SELECT jsonb_agg(jsonb_build_array(i.party, i.start_frame, i.end_frame) ORDER BY i.party, i.start_frame)
     FROM ledger_intervals i WHERE i.recording_id = r.id AND i.kind = 'recorded') AS recorded,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('party', g.party, 'start_s', g.start_s, 'duration_s', g.duration_s,
        'kind', g.kind, 'cause', g.cause) ORDER BY g.start_s, g.party), '[]')
     FROM gaps g WHERE g.recording_id = r.id) AS gaps
FROM recordings r JOIN files f ON f.recording_id = r.id AND f.kind = 'master'
WHERE r.id = $1 ORDER BY f.id LIMIT 1

-- name: sources_of
-- What the healed masters of some recordings were made from.
SELECT s.master_id, s.recording_id, s.position, s.sha256, s.offset_s, s.given_s
FROM copy_sources s WHERE s.master_id = ANY ($1) ORDER BY s.master_id, s.position

-- name: publish_master
SELECT refused, superseded FROM publish_master_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: stand_for
-- False when a stretch was taken out of one of them.
SELECT stand_for_v2($1, $2)

-- name: stand_alone
SELECT stand_alone_v1($1)

-- name: standing_of
-- What a recording is among copies: its role, what stands for it, and what it stands for.
SELECT r.role, r.master_id,
    ARRAY(SELECT c.id FROM recordings c WHERE c.master_id = r.id ORDER BY c.started_at, c.id) AS copies
FROM recordings r WHERE r.id = $1

-- name: provenance_of
SELECT party, start_s, duration_s, copy_id, copy_party, copy_start_s, exact
FROM provenance WHERE recording_id = $1 ORDER BY party, start_s

-- name: removable_copies
-- Copies whose master has stood for them for some time, that nothing protects and about which nothing is in doubt.
-- In order of (time, id), after ($2, $3).
SELECT c.id, m.finalised_at AS since FROM recordings c JOIN recordings m ON m.id = c.master_id
WHERE (m.finalised_at, c.id) > ($2, $3) AND c.role = 'copy' AND c.state IN ('complete', 'interrupted', 'no-media')
    AND m.state IN ('complete', 'interrupted') AND m.finalised_at < now() - $1::interval
    AND EXISTS (SELECT FROM files f WHERE f.recording_id = m.id AND f.kind = 'master')
    AND NOT EXISTS (
        SELECT FROM copy_pairs p WHERE p.state IN ('candidate', 'undecided')
            AND (p.one IN (c.id, m.id) OR p.other IN (c.id, m.id)))
    AND NOT is_held_v1(c.id)
ORDER BY m.finalised_at, c.id LIMIT $4

-- name: import_recording
SELECT import_recording_v2($1, $2, $3, $4, $5, $6, $7, $8)
