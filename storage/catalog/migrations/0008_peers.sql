-- What recording clients made of our own offers: decides, also after a takeover, how a session can still be moved.

-- One row for each client, its software and our method. A client is known by the address that its sessions come from;
-- its software counts as well, because several clients may stand behind one proxy, and because an upgrade changes much.
CREATE TABLE peer_capabilities (
    peer text COLLATE "C" NOT NULL,
    product text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL
        CONSTRAINT peer_capabilities_method_known CHECK (method IN ('INVITE', 'UPDATE')),
    outcome text NOT NULL
        CONSTRAINT peer_capabilities_outcome_known CHECK (outcome IN ('answered', 'refused', 'ignored')),
    status integer,
    learnt_at timestamptz NOT NULL,
    CONSTRAINT peer_capabilities_pkey PRIMARY KEY (peer, product, method)
);

-- Keep what was learnt last; a journaled write may come late.
CREATE FUNCTION learn_capability_v1(
    p_lease text, p_epoch bigint, p_peer text, p_product text, p_method text, p_outcome text, p_status integer,
    p_learnt_at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease_v1(p_lease, p_epoch);
    INSERT INTO peer_capabilities AS c (peer, product, method, outcome, status, learnt_at)
    VALUES (p_peer, p_product, p_method, p_outcome, p_status, p_learnt_at)
    ON CONFLICT ON CONSTRAINT peer_capabilities_pkey DO UPDATE
    SET outcome = EXCLUDED.outcome, status = EXCLUDED.status, learnt_at = EXCLUDED.learnt_at
    WHERE c.learnt_at < EXCLUDED.learnt_at;
END $$;
