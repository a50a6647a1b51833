-- What became of a recording is a term as well where it is rare: an agent's recordings that lost something are then found
-- in the index, not by reading all that the agent has. Names are never empty, so nothing that was received looks like it.

ALTER FUNCTION recording_terms_v1(uuid) RENAME TO recording_words_v1;
CREATE FUNCTION recording_terms_v1(p_recording uuid) RETURNS tsvector
LANGUAGE sql STABLE AS $$
    SELECT recording_words_v1(id) || array_to_tsvector(array_remove(ARRAY[
        CASE WHEN state IN ('interrupted', 'no-media', 'failed') THEN search_term_v1('', state) END,
        CASE WHEN lost_s > 0 THEN search_term_v1('', 'lost') END], NULL))
    FROM recordings WHERE id = p_recording
$$;

-- A term that is true no more does no harm: a search looks at the recording too.
CREATE TRIGGER recordings_want_search_of_outcome AFTER UPDATE OF state, lost_s ON recordings FOR EACH ROW
WHEN (NEW.state IN ('interrupted', 'no-media', 'failed') AND NEW.state <> OLD.state
    OR NEW.lost_s > 0 AND coalesce(OLD.lost_s, 0) = 0)
EXECUTE FUNCTION want_search_v1();
INSERT INTO search_pending SELECT id FROM recordings WHERE state IN ('interrupted', 'no-media', 'failed') OR lost_s > 0;

-- Long recordings are rarer than the planner's statistics make them; here they are read in their order.
CREATE INDEX recordings_long_idx ON recordings (started_at DESC, id DESC, duration_s) WHERE duration_s >= 1800;
