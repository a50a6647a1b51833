-- Recordings $FIRST to $LAST of $ROWS, spread over two years as a large site has them; keys are drawn so that some
-- agents, numbers and cases are frequent and most are rare. Columns that no search looks at are short.
WITH made AS (
    INSERT INTO recordings (id, record_identifier, door, state, call_uuid, conn_id, ani, dnis, dn, other_dn, record_dn,
        agent_id, sips_app_name, tenant, started_at, ended_at, duration_s, parameters, warnings, created_at, finalised_at,
        lost_s)
    SELECT g.id, g.uuid || '_' || to_char(g.at, 'YYYY-MM-DD_HH24-MI-SS'), CASE WHEN g.dice < 0.7 THEN 'msr' ELSE 'siprec' END,
        CASE WHEN g.dice < 0.994 THEN 'complete' WHEN g.dice < 0.998 THEN 'interrupted' WHEN g.dice < 0.9995 THEN 'no-media'
            ELSE 'failed' END,
        g.uuid, substr(g.uuid, 1, 16), g.ani, '800' || g.service, g.agent::text, g.ani, g.agent::text, 'agent' || g.agent,
        'SIP_Switch', '[Environment].record', g.at, g.at + make_interval(secs => g.seconds), g.seconds,
        jsonb_build_array(jsonb_build_array('calluuid', g.uuid), jsonb_build_array('gvp-tenant-id', '[Environment].record'),
            jsonb_build_array('X-Case', g.case_number), jsonb_build_array('X-Queue', 'queue' || g.service)),
        '[]', g.at, g.at + make_interval(secs => g.seconds + 2), g.lost
    FROM (
        SELECT n, gen_random_uuid() AS id, upper(substr(md5(n::text), 1, 26)) AS uuid,
            timestamptz '2024-12-01 00:00+00' + (n::double precision / $ROWS) * interval '730 days' AS at, random() AS dice,
            (49301000000 + floor(random() * 3000000))::bigint::text AS ani, floor(random() * 40)::int AS service,
            (5000 + floor(3000 * random() ^ 2))::int AS agent, round((20 + 400 * (-ln(1 - random())))::numeric, 2)::float8 AS seconds,
            (floor(random() * $ROWS / 4))::bigint::text AS case_number,
            CASE WHEN random() < 0.04 THEN round((random() ^ 4 * 30)::numeric, 3)::float8 ELSE 0 END AS lost
        FROM generate_series($FIRST::int, $LAST::int) AS n
    ) AS g
    RETURNING *
), segments_made AS (
    INSERT INTO segments (id, recording_id, ordinal, door, state, interrupted, epoch, writer, host, capture_path,
        sip_call_id, local_tag, remote_tag, dialog_id, parameters, descriptor, opened_at, closed_at, end_cause)
    SELECT gen_random_uuid(), id, 1, door, 'finalised', state = 'interrupted', 7, 'writer-1', 'host-a', 'captures/' || id,
        id || '@192.0.2.20', 'a', 'b', id::text, '[]', '{}', started_at, ended_at, 'bye'
    FROM made
), gaps_made AS (
    INSERT INTO gaps (recording_id, party, start_s, duration_s, kind, cause)
    SELECT id, 0, 1, lost_s, 'lost', 'network' FROM made WHERE lost_s > 0
)
-- What recording_terms_v1 would make of it, in bulk.
INSERT INTO recording_search (recording_id, started_at, terms)
SELECT id, started_at, array_to_tsvector(array_remove(ARRAY[
    'door=' || door, 'call_uuid=' || lower(call_uuid), 'conn_id=' || lower(conn_id), 'ani=' || ani, 'dnis=' || dnis,
    'dn=' || dn, 'dn=' || other_dn, 'record_dn=' || record_dn, 'agent=' || agent_id, 'application=sip_switch',
    'tenant=[environment].record', 'calluuid=' || lower(call_uuid), 'gvp-tenant-id=[environment].record',
    'x-case=' || (parameters -> 2 ->> 1), 'x-queue=' || (parameters -> 3 ->> 1),
    'participant=agent name ' || dn, 'participant=sip:' || dn || '@example.test', 'participant=' || ani,
    CASE WHEN state <> 'complete' THEN '=' || state END, CASE WHEN lost_s > 0 THEN '=lost' END], NULL))
FROM made
