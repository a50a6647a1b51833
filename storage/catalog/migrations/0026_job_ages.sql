-- Since when a job runs: `jobs list` tells it, and `status` the longest one.
ALTER TABLE jobs ADD COLUMN claimed_at timestamptz;   -- of the present or last claim

CREATE OR REPLACE FUNCTION claim_job_v1(p_worker text, p_kinds text[], p_lease interval) RETURNS SETOF jobs
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
        locked_by = p_worker, locked_until = now() + p_lease, claimed_at = now()
    WHERE id = v_job.id RETURNING *;
END $$;

