-- The job queue. Functions carry a version in their name so that old and new programs run side by side.

-- Queue a job, or make sure that an unfinished one with the same key runs (again).
CREATE FUNCTION enqueue_job_v1(p_kind text, p_key text, p_payload jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO jobs AS j (kind, dedupe_key, payload) VALUES (p_kind, p_kind || ':' || p_key, p_payload)
    ON CONFLICT (dedupe_key) WHERE state IN ('queued', 'running') DO UPDATE
        -- A running job may have read its input already: it has to look once more.
        SET again = (j.state = 'running'),
            run_after = CASE WHEN j.state = 'queued' THEN least(j.run_after, now()) ELSE j.run_after END
    RETURNING j.id INTO v_id;
    PERFORM pg_notify('tandem_jobs', p_kind);
    RETURN v_id;
END $$;

-- Lock order is recording, then job, everywhere: a function that ends a job first locks what the job is about.
CREATE FUNCTION lock_subject_v1(p_id bigint) RETURNS void
LANGUAGE sql AS $$
    SELECT FROM recordings WHERE id = (
        SELECT (payload ->> 'recording_id')::uuid FROM jobs WHERE jobs.id = p_id AND kind = 'finalise') FOR UPDATE
$$;

-- Put a job on the dead letter list; a finalise job takes its recording to `failed`.
CREATE FUNCTION bury_job_v1(p_id bigint, p_error text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    UPDATE jobs SET state = 'dead', again = false, locked_by = NULL, locked_until = NULL, last_error = p_error
    WHERE id = p_id RETURNING * INTO v_job;
    IF v_job.kind = 'finalise' THEN
        UPDATE recordings SET state = 'failed'
        WHERE id = (v_job.payload ->> 'recording_id')::uuid AND state = 'finalising';
    END IF;
END $$;

-- Take the job that is due longest, or one whose worker has not beaten in time. Null when there is none.
-- Never by sorting: before its first analyze the planner takes a long queue for a short one.
CREATE FUNCTION claim_job_v1(p_worker text, p_kinds text[], p_lease interval) RETURNS SETOF jobs
LANGUAGE plpgsql SET enable_sort = off AS $$
DECLARE
    v_job jobs;
BEGIN
    -- What took its worker down (or was abandoned) once too often.
    FOR v_job IN
        SELECT * FROM jobs
        WHERE state = 'running' AND locked_until < now() AND attempts >= max_attempts AND kind = ANY (p_kinds)
    LOOP
        PERFORM lock_subject_v1(v_job.id);
        PERFORM FROM jobs WHERE id = v_job.id AND state = 'running' AND claims = v_job.claims FOR UPDATE SKIP LOCKED;
        IF FOUND THEN
            PERFORM bury_job_v1(v_job.id, format('abandoned by %s in attempt %s', v_job.locked_by, v_job.attempts));
        END IF;
    END LOOP;
    -- Two index scans rather than one OR; abandoned jobs first, they have waited longest.
    SELECT * INTO v_job FROM jobs
    WHERE state = 'running' AND locked_until < now() AND attempts < max_attempts AND kind = ANY (p_kinds)
    ORDER BY locked_until LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        SELECT * INTO v_job FROM jobs
        WHERE state = 'queued' AND run_after <= now() AND kind = ANY (p_kinds)
        ORDER BY run_after, id LIMIT 1 FOR UPDATE SKIP LOCKED;
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    UPDATE jobs SET state = 'running', again = false, attempts = attempts + 1, claims = claims + 1,
        locked_by = p_worker, locked_until = now() + p_lease
    WHERE id = v_job.id RETURNING *;
END $$;

-- True while the claim is the caller's.
CREATE FUNCTION beat_job_v1(p_id bigint, p_worker text, p_claim bigint, p_lease interval) RETURNS boolean
LANGUAGE sql AS $$
    WITH beaten AS (
        UPDATE jobs SET locked_until = now() + p_lease
        WHERE id = p_id AND state = 'running' AND locked_by = p_worker AND claims = p_claim RETURNING 1
    ) SELECT EXISTS (SELECT FROM beaten)
$$;

-- Finish a job, or queue it once more if it was asked for meanwhile. False when another worker has it.
CREATE FUNCTION complete_job_v1(p_id bigint, p_worker text, p_claim bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    SELECT * INTO v_job FROM jobs
    WHERE id = p_id AND state = 'running' AND locked_by = p_worker AND claims = p_claim FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF v_job.again THEN
        UPDATE jobs SET state = 'queued', again = false, attempts = 0, run_after = now(), locked_by = NULL,
            locked_until = NULL
        WHERE id = p_id;
        PERFORM pg_notify('tandem_jobs', v_job.kind);
    ELSE
        DELETE FROM jobs WHERE id = p_id;
    END IF;
    RETURN true;
END $$;

-- Give a job back: 'retry' with back-off 2, 4, 8 ... seconds up to 15 minutes (spread by a quarter), 'dead', or 'lost'.
CREATE FUNCTION fail_job_v1(p_id bigint, p_worker text, p_claim bigint, p_error text, p_retry boolean) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    PERFORM lock_subject_v1(p_id);
    SELECT * INTO v_job FROM jobs
    WHERE id = p_id AND state = 'running' AND locked_by = p_worker AND claims = p_claim FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'lost';
    END IF;
    -- One that was asked for again meanwhile has new input: it starts afresh.
    IF NOT v_job.again AND (NOT p_retry OR v_job.attempts >= v_job.max_attempts) THEN
        PERFORM bury_job_v1(p_id, p_error);
        RETURN 'dead';
    END IF;
    UPDATE jobs SET state = 'queued', locked_by = NULL, locked_until = NULL, last_error = p_error,
        attempts = CASE WHEN v_job.again THEN 0 ELSE attempts END,
        run_after = now() + make_interval(secs => least(2 ^ v_job.attempts, 900) * (0.75 + random() / 2))
    WHERE id = p_id;
    RETURN 'retry';
END $$;

-- Queue a dead job again with all its attempts. False when it is not dead.
CREATE FUNCTION retry_job_v1(p_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    PERFORM lock_subject_v1(p_id);
    DELETE FROM jobs WHERE id = p_id AND state = 'dead' RETURNING * INTO v_job;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF v_job.kind = 'finalise' THEN
        UPDATE recordings SET state = 'finalising'
        WHERE id = (v_job.payload ->> 'recording_id')::uuid AND state = 'failed';
    END IF;
    PERFORM enqueue_job_v1(v_job.kind, substr(v_job.dedupe_key, length(v_job.kind) + 2), v_job.payload);
    RETURN true;
END $$;
