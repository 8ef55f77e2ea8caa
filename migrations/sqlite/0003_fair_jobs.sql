-- Jobs claimed by one index probe, fair between hosts.

-- For whom it is done: the room's host, or the room's short name where nobody is named. Jobs of one
-- host queue behind each other.
ALTER TABLE jobs ADD COLUMN host TEXT NOT NULL DEFAULT '';
-- Its place among the jobs of its kind and priority: the least goes next.
ALTER TABLE jobs ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
-- It may be claimed now. One that waits to be tried again is ready, but not due.
ALTER TABLE jobs ADD COLUMN due INTEGER NOT NULL DEFAULT 0
    CHECK (due IN (0, 1) AND (due = 0 OR state = 'ready'));

UPDATE jobs SET due = TRUE WHERE state = 'ready' AND attempt = 0;
UPDATE jobs SET host = (
    SELECT CASE WHEN rooms.host = '' THEN rooms.slug ELSE rooms.host END
    FROM recordings JOIN rooms ON rooms.id = recordings.room_id
    WHERE recordings.id = jobs.recording_id
);

-- What a claim looks at: what may be claimed, what waits, what is worked on.
DROP INDEX jobs_to_claim;
CREATE INDEX jobs_to_claim ON jobs (kind, priority DESC, turn, id) WHERE due = TRUE;
-- The state leads, though it is always the same: without statistics SQLite would take jobs_by_state.
CREATE INDEX jobs_waiting ON jobs (state, run_after) WHERE state = 'ready' AND due = FALSE;
DROP INDEX jobs_leased;
CREATE INDEX jobs_leased ON jobs (kind, lease_until) WHERE state = 'running';
-- What decides a new job's turn, beside jobs_to_claim.
CREATE INDEX jobs_begun ON jobs (kind, priority, turn) WHERE state = 'running';
CREATE INDEX jobs_of_a_host ON jobs (kind, priority, host, turn)
    WHERE state IN ('ready', 'running');
-- What an operator looks for.
CREATE INDEX jobs_by_state ON jobs (state, id);
