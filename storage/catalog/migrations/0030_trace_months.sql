-- SIP messages by month: much of what a call adds, written once and hardly ever read. An old month goes as a whole. See
-- docs/catalog.md and ADR 23.

-- Make a table the partition of a month of a table that is partitioned by months. Attached rather than created in place:
-- readers and writers of other months are not kept waiting.
CREATE FUNCTION attach_month_v1(p_table text, p_part text, p_month timestamp) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', p_table, p_part,
        p_month AT TIME ZONE 'UTC', (p_month + interval '1 month') AT TIME ZONE 'UTC');
END $$;

-- Make the partition of the month of a moment, if it is missing.
CREATE FUNCTION ensure_month_v1(p_table text, p_at timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_month timestamp := date_trunc('month', p_at AT TIME ZONE 'UTC');
    v_name text := p_table || '_' || to_char(v_month, 'YYYYMM');
BEGIN
    IF to_regclass(v_name) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Whoever else needs it now waits here, and then finds it; this is the lock that attaching takes anyway.
    EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', p_table);
    IF to_regclass(v_name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', v_name, p_table);
        PERFORM attach_month_v1(p_table, v_name, v_month);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION ensure_search_month_v1(p_at timestamptz) RETURNS void
LANGUAGE sql AS $$
    SELECT ensure_month_v1('recording_search', p_at)
$$;

-- Without a foreign key: attaching a partition would then lock the segments against every INVITE. The one function that
-- adds messages looks at their segments. No key of its own either: nothing looks a message up by its number.
ALTER TABLE sip_messages RENAME TO sip_messages_in_one;
ALTER INDEX sip_messages_segment_idx RENAME TO sip_messages_in_one_segment_idx;
CREATE SEQUENCE sip_messages_number;
CREATE TABLE sip_messages (
    id bigint NOT NULL DEFAULT nextval('sip_messages_number'),    -- order of messages of one moment
    segment_id uuid NOT NULL,
    at timestamptz NOT NULL,
    inbound boolean NOT NULL,
    flow text NOT NULL,
    message bytea NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX sip_messages_segment_idx ON sip_messages (segment_id, at);
SELECT ensure_month_v1('sip_messages', m.at)
FROM (SELECT DISTINCT date_trunc('month', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' FROM sip_messages_in_one) AS m (at);
INSERT INTO sip_messages (segment_id, at, inbound, flow, message)
SELECT segment_id, at, inbound, flow, message FROM sip_messages_in_one ORDER BY id;
DROP TABLE sip_messages_in_one;
DROP FUNCTION add_trace_v1;

-- Append messages to the traces of several segments, in their order; those of segments that do not exist (yet) or are
-- deleted are left out. Returns the segments of the others.
CREATE FUNCTION add_traces_v1(
    p_lease text, p_epoch bigint, p_segments uuid[], p_at timestamptz[], p_inbound boolean[], p_flow text[],
    p_message bytea[]
) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    PERFORM ensure_month_v1('sip_messages', m.at)
    FROM (SELECT DISTINCT date_trunc('month', a AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' FROM unnest(p_at) AS a) AS m (at);
    RETURN QUERY
    WITH added AS (
        INSERT INTO sip_messages (segment_id, at, inbound, flow, message)
        SELECT m.segment_id, m.at, m.inbound, m.flow, m.message
        FROM unnest(p_segments, p_at, p_inbound, p_flow, p_message)
            WITH ORDINALITY AS m (segment_id, at, inbound, flow, message, position)
            JOIN segments s ON s.id = m.segment_id AND s.state <> 'deleted'
        ORDER BY m.position
        RETURNING sip_messages.segment_id
    ) SELECT DISTINCT a.segment_id FROM added AS a;
END $$;

-- What of a month (its first day) has to stay: sessions with messages in it that are of recordings under legal hold, or of
-- their copies; and whether there are messages of others.
CREATE FUNCTION trace_month_v1(p_month date, OUT held uuid[], OUT others boolean)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_name text := 'sip_messages_' || to_char(p_month, 'YYYYMM');
BEGIN
    SELECT coalesce(array_agg(DISTINCT s.id), '{}') INTO held
    FROM legal_holds h CROSS JOIN LATERAL held_together_v1(h.recording_id) AS t (id)
        JOIN segments s ON s.recording_id = t.id
    WHERE h.released_at IS NULL;
    EXECUTE format('SELECT coalesce(array_agg(h), ''{}'') FROM unnest($1) AS h'
        ' WHERE EXISTS (SELECT FROM %I AS m WHERE m.segment_id = h)', v_name) INTO held USING held;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE segment_id <> ALL ($1))', v_name) INTO others USING held;
EXCEPTION WHEN undefined_table THEN
    -- Another curator has given it up meanwhile.
    held := '{}';
    others := false;
END $$;

-- The months that ended before a moment and have messages that may go, oldest first; with what they take of the disk.
CREATE FUNCTION old_trace_months_v1(p_before timestamptz)
RETURNS TABLE (month date, size_bytes bigint, held_sessions integer)
LANGUAGE sql STABLE AS $$
    SELECT m.month, m.size_bytes, cardinality(t.held)
    FROM (
        SELECT to_date(right(c.relname, 6), 'YYYYMM') AS month, pg_total_relation_size(c.oid) AS size_bytes
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'sip_messages'::regclass
    ) AS m CROSS JOIN LATERAL trace_month_v1(m.month) AS t
    WHERE (m.month + interval '1 month') AT TIME ZONE 'UTC' <= p_before AND t.others
    ORDER BY m.month
$$;

-- Give up the SIP messages of a month (its first day): its table goes at once. Messages of what is held stay, in a table
-- of their own. `refused`: `nothing-to-forget`, or `busy` while somebody reads or writes; ask again later.
CREATE FUNCTION forget_trace_month_v1(
    p_month date, p_by text, p_reason text, OUT refused text, OUT size_bytes bigint, OUT held_sessions integer
) LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    v_name text := 'sip_messages_' || to_char(p_month, 'YYYYMM');
    v_rest text := v_name || '_held';
    v_held uuid[];
    v_others boolean;
BEGIN
    size_bytes := 0;
    held_sessions := 0;
    -- No hold comes between the look and the deed, and no other curator.
    LOCK TABLE legal_holds IN SHARE ROW EXCLUSIVE MODE;
    SELECT t.held, t.others INTO v_held, v_others FROM trace_month_v1(p_month) AS t;
    IF NOT v_others THEN
        refused := 'nothing-to-forget';
        RETURN;
    END IF;
    size_bytes := pg_total_relation_size(v_name::regclass);
    held_sessions := cardinality(v_held);
    IF held_sessions > 0 THEN
        EXECUTE format('CREATE TABLE %I (LIKE sip_messages INCLUDING ALL)', v_rest);
        EXECUTE format('INSERT INTO %I SELECT * FROM %I WHERE segment_id = ANY ($1)', v_rest, v_name) USING v_held;
        size_bytes := size_bytes - pg_total_relation_size(v_rest::regclass);
    END IF;
    EXECUTE format('DROP TABLE %I', v_name);
    IF held_sessions > 0 THEN
        EXECUTE format('ALTER TABLE %I RENAME TO %I', v_rest, v_name);
        PERFORM attach_month_v1('sip_messages', v_name, p_month::timestamp);
    END IF;
    PERFORM append_audit_v1(NULL, p_by, 'forget-traces', to_char(p_month, 'YYYY-MM'), p_reason,
        jsonb_build_object('size_bytes', size_bytes, 'held_sessions', held_sessions));
EXCEPTION WHEN lock_not_available THEN
    refused := 'busy';
    size_bytes := 0;
    held_sessions := 0;
END $$;
