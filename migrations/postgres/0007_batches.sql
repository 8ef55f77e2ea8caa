-- Recordings transcribed again in bulk, with weights of the operator's choice; and what it costs.

-- Where none of a batch's jobs is left to do it is done: that is counted, not kept.
CREATE TABLE batches (
    id             UUID   NOT NULL PRIMARY KEY,
    -- Which recordings, in the words of whoever asked.
    filter         TEXT   NOT NULL,
    weights        TEXT   NOT NULL,
    weights_sha256 TEXT   NOT NULL,
    priority       BIGINT NOT NULL,
    -- Whether people are shown the new words once they are complete.
    promote        BOOLEAN NOT NULL,
    state          TEXT   NOT NULL CHECK (state IN ('running', 'paused', 'cancelled')),
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);

-- The weights that it has to be done with; empty: any.
ALTER TABLE jobs ADD COLUMN weights TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN weights_sha256 TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN batch_id UUID REFERENCES batches (id);
-- Its batch is paused.
ALTER TABLE jobs ADD COLUMN held BOOLEAN NOT NULL DEFAULT FALSE
    CHECK (NOT held OR state = 'ready' AND NOT due);
-- What it took so far, of whoever told.
ALTER TABLE jobs ADD COLUMN cost_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN cost_ticks BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN cost_windows BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN cost_threads BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN cost_device TEXT NOT NULL DEFAULT '';

ALTER TABLE transcripts ADD COLUMN cost_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE transcripts ADD COLUMN cost_ticks BIGINT NOT NULL DEFAULT 0;
ALTER TABLE transcripts ADD COLUMN cost_windows BIGINT NOT NULL DEFAULT 0;
ALTER TABLE transcripts ADD COLUMN cost_threads BIGINT NOT NULL DEFAULT 0;
ALTER TABLE transcripts ADD COLUMN cost_device TEXT NOT NULL DEFAULT '';
CREATE INDEX transcripts_by_weights ON transcripts (weights_sha256, recording_id);

-- What a claim looks at, for each weights that jobs ask for.
DROP INDEX jobs_to_claim;
CREATE INDEX jobs_to_claim ON jobs (kind, weights_sha256, priority DESC, turn, id)
    WHERE due = TRUE;
DROP INDEX jobs_waiting;
CREATE INDEX jobs_waiting ON jobs (state, run_after)
    WHERE state = 'ready' AND due = FALSE AND held = FALSE;
DROP INDEX jobs_of_a_host;
CREATE INDEX jobs_of_a_host ON jobs (kind, priority, host, weights_sha256, turn)
    WHERE state IN ('ready', 'running');
-- A recording may be waited for with several weights, but is worked on once at a time.
DROP INDEX jobs_one_open_a_kind;
CREATE UNIQUE INDEX jobs_one_open_a_kind ON jobs (recording_id, kind, weights_sha256)
    WHERE state IN ('ready', 'running');
CREATE UNIQUE INDEX jobs_one_running_a_kind ON jobs (recording_id, kind) WHERE state = 'running';
CREATE INDEX jobs_of_a_batch ON jobs (batch_id, state) WHERE batch_id IS NOT NULL;

-- Transcription workers: what each makes words with, and until when it is taken to live. One that is
-- gone stays as the last that made them so.
CREATE TABLE transcribers (
    name           TEXT   NOT NULL PRIMARY KEY,
    engine         TEXT   NOT NULL,
    weights        TEXT   NOT NULL,
    weights_sha256 TEXT   NOT NULL,
    parameters     TEXT   NOT NULL,
    -- Recordings that it works on at once.
    places         BIGINT NOT NULL,
    alive_until    BIGINT NOT NULL
);
