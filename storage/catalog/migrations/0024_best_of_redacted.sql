-- As stand_for_v1; false, and nothing changed, when a stretch was taken out of one of them: the others still have it.
CREATE FUNCTION stand_for_v2(p_master uuid, p_copies uuid[]) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    -- Against a redaction that begins: whoever comes second sees the other's rows.
    PERFORM FROM recordings WHERE id = p_master OR id = ANY (p_copies) OR master_id = p_master ORDER BY id FOR UPDATE;
    IF EXISTS (SELECT FROM redactions WHERE recording_id = p_master OR recording_id = ANY (p_copies)) THEN
        RETURN false;
    END IF;
    PERFORM stand_for_v1(p_master, p_copies);
    RETURN true;
END $$;
