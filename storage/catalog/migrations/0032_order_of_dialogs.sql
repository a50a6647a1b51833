-- Of two states of a dialog the later one counts, in whatever order they come: a statement that nobody waits for any more
-- may be carried out when its server thaws or its network is back, behind all that was written in its place.

-- When the state was made: epoch of its maker, and its number there. 0 in a row of an older program: anything replaces it.
ALTER TABLE dialogs ADD COLUMN made_epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE dialogs ADD COLUMN made_number bigint NOT NULL DEFAULT 0;

-- The dialog as it will be once the message that promises it has left; the segment follows its writer. False when
-- the segment is unknown. A state that comes behind a later one, or behind the end, says no more than which captures
-- there are.
CREATE FUNCTION save_dialog_v2(
    p_lease text, p_epoch bigint, p_dialog_id text, p_segment uuid, p_snapshot bytea, p_made_epoch bigint,
    p_made_number bigint, p_writer text, p_host text, p_capture_path text, p_streams jsonb
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    IF NOT EXISTS (SELECT FROM segments WHERE id = p_segment) THEN
        RETURN false;
    END IF;
    INSERT INTO dialogs AS d (dialog_id, lease, epoch, writer, segment_id, snapshot, made_epoch, made_number)
    VALUES (p_dialog_id, p_lease, p_epoch, p_writer, p_segment, p_snapshot, p_made_epoch, p_made_number)
    ON CONFLICT (dialog_id) DO UPDATE SET lease = EXCLUDED.lease, epoch = EXCLUDED.epoch, writer = EXCLUDED.writer,
        segment_id = EXCLUDED.segment_id, snapshot = EXCLUDED.snapshot, updated_at = now(),
        made_epoch = EXCLUDED.made_epoch, made_number = EXCLUDED.made_number
    WHERE d.ended_at IS NULL
        AND (d.made_epoch, d.made_number) <= (EXCLUDED.made_epoch, EXCLUDED.made_number);
    IF NOT FOUND THEN
        UPDATE segments SET earlier_captures = earlier_captures
            || jsonb_build_object('writer', p_writer, 'host', coalesce(p_host, host), 'path', p_capture_path)
        WHERE id = p_segment AND state = 'open' AND p_capture_path IS NOT NULL
            AND (capture_path <> p_capture_path OR host <> coalesce(p_host, host))
            AND NOT earlier_captures @> jsonb_build_array(
                jsonb_build_object('host', coalesce(p_host, host), 'path', p_capture_path));
        RETURN true;
    END IF;
    IF p_streams IS NOT NULL THEN
        PERFORM write_streams_v1(p_segment, p_streams);
    END IF;
    -- A capture that stays behind on another writer is still part of the segment.
    UPDATE segments SET
        earlier_captures = CASE WHEN capture_path <> coalesce(p_capture_path, capture_path)
                                  OR host <> coalesce(p_host, host)
            THEN earlier_captures || jsonb_build_object('writer', writer, 'host', host, 'path', capture_path)
            ELSE earlier_captures END,
        writer = p_writer, epoch = p_epoch, host = coalesce(p_host, host),
        capture_path = coalesce(p_capture_path, capture_path)
    WHERE id = p_segment AND state = 'open'
        AND (writer <> p_writer OR host <> coalesce(p_host, host)
            OR capture_path <> coalesce(p_capture_path, capture_path));
    RETURN true;
END $$;

-- As before, for hosts with an older program.
CREATE OR REPLACE FUNCTION save_dialog_v1(
    p_lease text, p_epoch bigint, p_dialog_id text, p_segment uuid, p_snapshot bytea, p_writer text, p_host text,
    p_capture_path text
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    IF NOT EXISTS (SELECT FROM segments WHERE id = p_segment) THEN
        RETURN false;
    END IF;
    INSERT INTO dialogs (dialog_id, lease, epoch, writer, segment_id, snapshot)
    VALUES (p_dialog_id, p_lease, p_epoch, p_writer, p_segment, p_snapshot)
    ON CONFLICT (dialog_id) DO UPDATE SET lease = EXCLUDED.lease, epoch = EXCLUDED.epoch, writer = EXCLUDED.writer,
        segment_id = EXCLUDED.segment_id, snapshot = EXCLUDED.snapshot, updated_at = now(),
        made_epoch = 0, made_number = 0;
    -- A capture that stays behind on another writer is still part of the segment.
    UPDATE segments SET
        earlier_captures = CASE WHEN capture_path <> coalesce(p_capture_path, capture_path)
                                  OR host <> coalesce(p_host, host)
            THEN earlier_captures || jsonb_build_object('writer', writer, 'host', host, 'path', capture_path)
            ELSE earlier_captures END,
        writer = p_writer, epoch = p_epoch, host = coalesce(p_host, host),
        capture_path = coalesce(p_capture_path, capture_path)
    WHERE id = p_segment AND state = 'open'
        AND (writer <> p_writer OR host <> coalesce(p_host, host)
            OR capture_path <> coalesce(p_capture_path, capture_path));
    RETURN true;
END $$;
