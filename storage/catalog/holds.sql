-- name: place_hold
SELECT refused, hold, placed FROM place_hold_v1($1, $2, $3, $4)

-- name: captures_state
SELECT captures FROM recordings WHERE id = $1

-- name: release_hold
-- False when it does not stand.
SELECT release_hold_v1($1, $2, $3)

-- name: holds_of
-- Holds of recordings, released ones included, oldest first.
SELECT id AS hold_id, recording_id, matter, reason, placed_by, placed_at, released_by, release_reason, released_at
FROM legal_holds WHERE recording_id = ANY ($1::uuid[]) ORDER BY id

-- name: standing_holds
-- Oldest first; of one matter when $1 is given.
SELECT h.id AS hold_id, h.recording_id, r.record_identifier, h.matter, h.reason, h.placed_by, h.placed_at,
    h.released_by, h.release_reason, h.released_at
FROM legal_holds h JOIN recordings r ON r.id = h.recording_id
WHERE h.released_at IS NULL AND ($1::text IS NULL OR h.matter = $1) ORDER BY h.id

-- name: held_among
-- Those of the given recordings that a hold protects, be it by a hold on a copy.
SELECT r.id FROM unnest($1::uuid[]) AS r (id) WHERE is_held_v1(r.id)
