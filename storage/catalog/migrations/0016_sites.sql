-- A site of several hosts: a lease that ends when nobody renews it, and the register of the hosts.

-- `node` is the holder's host, empty when it gave the lease back. Whoever wants the lease watches `renewals` on a clock
-- of his own; no time stamp says when it ends.
ALTER TABLE leases
    ADD COLUMN node text NOT NULL DEFAULT '',
    ADD COLUMN renewals bigint NOT NULL DEFAULT 0;

-- Take the lease if it still is as it was seen, or if it is this host's already; null when it is not, or when the
-- statement comes to be executed later than its sender allows. Epochs given here are multiples of 1024: a host that
-- replaces its frontend while the database is away counts on by one, and is below whatever is given afterwards.
CREATE FUNCTION acquire_lease_v2(
    p_lease text, p_node text, p_holder text, p_seen_epoch bigint, p_seen_renewals bigint, p_not_after timestamptz
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_epoch bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tandem:lease:' || p_lease, 0));
    IF clock_timestamp() > p_not_after THEN
        RETURN NULL;
    END IF;
    INSERT INTO leases AS l (name, holder, epoch, node, renewals) VALUES (p_lease, p_holder, 1024, p_node, 1)
    ON CONFLICT (name) DO UPDATE SET holder = p_holder, node = p_node, epoch = (l.epoch / 1024 + 1) * 1024,
        renewals = l.renewals + 1, acquired_at = now()
    WHERE l.node = p_node OR (l.epoch = p_seen_epoch AND l.renewals = p_seen_renewals)
    RETURNING l.epoch INTO v_epoch;
    RETURN v_epoch;
END $$;

-- A sign of life of the holder; false when somebody else has the lease. The epoch may have grown on the holder's host
-- while the database was away.
CREATE FUNCTION renew_lease_v1(p_lease text, p_node text, p_holder text, p_epoch bigint) RETURNS boolean
LANGUAGE sql AS $$
    WITH renewed AS (
        UPDATE leases SET renewals = renewals + 1, epoch = p_epoch, holder = p_holder
        WHERE name = p_lease AND node = p_node AND epoch <= p_epoch AND epoch / 1024 = p_epoch / 1024 RETURNING 1
    ) SELECT EXISTS (SELECT FROM renewed)
$$;

-- Give the lease back: the next one need not wait for its end. False when it is somebody else's already.
CREATE FUNCTION release_lease_v1(p_lease text, p_node text, p_epoch bigint) RETURNS boolean
LANGUAGE sql AS $$
    WITH released AS (
        UPDATE leases SET node = '', holder = '', renewals = renewals + 1
        WHERE name = p_lease AND node = p_node AND epoch <= p_epoch RETURNING 1
    ) SELECT EXISTS (SELECT FROM released)
$$;

-- The hosts of a site. Each writes its own row and nobody else's; what it says is for finding it, not for deciding.
CREATE TABLE nodes (
    site text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    instance text NOT NULL,           -- names the recorder process; its RTP sockets live as long
    endpoint text NOT NULL,           -- host:port that other hosts reach its writers and frontend at
    state text NOT NULL CONSTRAINT nodes_state_known CHECK (state IN ('running', 'ended')),
    writers jsonb NOT NULL,           -- [name, ...]
    beats bigint NOT NULL DEFAULT 1,
    seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT nodes_pkey PRIMARY KEY (site, node)
);

CREATE FUNCTION beat_node_v1(
    p_site text, p_node text, p_instance text, p_endpoint text, p_state text, p_writers jsonb
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO nodes AS n (site, node, instance, endpoint, state, writers)
    VALUES (p_site, p_node, p_instance, p_endpoint, p_state, p_writers)
    ON CONFLICT ON CONSTRAINT nodes_pkey DO UPDATE SET instance = p_instance, endpoint = p_endpoint, state = p_state,
        writers = p_writers, beats = n.beats + 1, seen_at = now()
$$;
