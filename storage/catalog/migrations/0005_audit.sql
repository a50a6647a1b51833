-- The audit log: who did what to which recording, and why. Each entry's digest covers the one before it
-- (docs/integrity.md), so that a changed, removed or added entry shows.

CREATE TABLE audit_log (
    number bigint CONSTRAINT audit_log_pkey PRIMARY KEY,
    entry_id uuid NOT NULL CONSTRAINT audit_log_entry_key UNIQUE,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text COLLATE "C" NOT NULL
        CONSTRAINT audit_log_action_is_a_word CHECK (action ~ '^[a-z][a-z0-9.-]{0,63}$'),
    subject text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    details text NOT NULL,            -- JSON, as text: the very characters that were digested
    previous bytea NOT NULL CONSTRAINT audit_log_previous_length CHECK (octet_length(previous) = 32),
    digest bytea NOT NULL CONSTRAINT audit_log_digest_length CHECK (octet_length(digest) = 32)
);
CREATE INDEX audit_log_subject_idx ON audit_log (subject, number);

-- The one row that orders the writers of the log.
CREATE TABLE audit_head (
    one boolean DEFAULT true CONSTRAINT audit_head_pkey PRIMARY KEY CONSTRAINT audit_head_is_one CHECK (one),
    number bigint NOT NULL,
    digest bytea NOT NULL
);
INSERT INTO audit_head (number, digest) VALUES (0, sha256('tandem-audit/1'));

CREATE FUNCTION refuse_audit_change_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the audit log are never changed or removed' USING ERRCODE = 'TD003';
END $$;
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change_v1();
CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change_v1();

CREATE FUNCTION audit_field_v1(p_text text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT int4send(octet_length(convert_to(p_text, 'UTF8'))) || convert_to(p_text, 'UTF8')
$$;

-- Append an entry and return its number; an entry id that is there already is not appended again. The head's row is
-- locked until the transaction ends: call this last, after every other lock (recording, then job, then audit log).
CREATE FUNCTION append_audit_v1(
    p_entry uuid, p_actor text, p_action text, p_subject text, p_reason text, p_details jsonb
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_head audit_head;
    v_number bigint;
    v_entry uuid := coalesce(p_entry, gen_random_uuid());
    v_at timestamptz;
    v_details text := coalesce(p_details, '{}')::text;
    v_digest bytea;
BEGIN
    SELECT * INTO v_head FROM audit_head FOR UPDATE;
    SELECT number INTO v_number FROM audit_log WHERE entry_id = v_entry;
    IF FOUND THEN
        RETURN v_number;
    END IF;
    v_number := v_head.number + 1;
    v_at := clock_timestamp();
    v_digest := sha256(v_head.digest || audit_field_v1(v_number::text) || audit_field_v1(v_entry::text)
        || audit_field_v1(to_char(v_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
        || audit_field_v1(p_actor) || audit_field_v1(p_action) || audit_field_v1(p_subject)
        || audit_field_v1(p_reason) || audit_field_v1(v_details));
    INSERT INTO audit_log (number, entry_id, at, actor, action, subject, reason, details, previous, digest)
    VALUES (v_number, v_entry, v_at, p_actor, p_action, p_subject, p_reason, v_details, v_head.digest, v_digest);
    UPDATE audit_head SET number = v_number, digest = v_digest;
    RETURN v_number;
END $$;
