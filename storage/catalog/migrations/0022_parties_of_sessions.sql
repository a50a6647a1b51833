-- Sessions of one recording that ran at the same time may have other parties: which channel a stream belongs to is known
-- only when the recording was made. The result says so for every session that the stream is of.
CREATE OR REPLACE FUNCTION publish_v2(
    p_recording uuid, p_segments uuid[], p_state text, p_started_at timestamptz, p_duration_s double precision,
    p_files jsonb, p_gaps jsonb, p_streams jsonb, p_warnings jsonb,
    p_job bigint, p_worker text, p_claim bigint, p_ledger jsonb,
    OUT refused text, OUT superseded jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_published record;
BEGIN
    SELECT * INTO v_published FROM publish_v1(p_recording, p_segments, p_state, p_started_at, p_duration_s, p_files,
        p_gaps, p_streams, p_warnings, p_job, p_worker, p_claim);
    refused := v_published.refused;
    superseded := v_published.superseded;
    IF refused IS NULL THEN
        UPDATE streams t SET party = n.party
        FROM jsonb_to_recordset(p_streams) AS n (segment_ids uuid[], index integer, party integer)
        WHERE t.segment_id = ANY (n.segment_ids) AND t.m_line = n.index AND t.party <> n.party;
        PERFORM write_ledger_v1(p_recording, p_ledger, (SELECT role <> 'copy' FROM recordings WHERE id = p_recording));
    END IF;
END $$;
