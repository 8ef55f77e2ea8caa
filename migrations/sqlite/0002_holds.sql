-- Many ingest workers: which of them writes a recording, and whose objects its chunks are.

-- A worker is alive until lease_until. It has a row once it has held a recording.
CREATE TABLE workers (
    id          BLOB    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT;

-- The worker that holds the recording, or held it last.
ALTER TABLE recordings ADD COLUMN holder BLOB REFERENCES workers (id);
-- How firmly: firm, loose (a worker that has the room's source may take it), none (anyone may).
ALTER TABLE recordings ADD COLUMN grip TEXT NOT NULL DEFAULT 'none'
    CHECK (grip IN ('firm', 'loose', 'none'));
-- Goes up each time somebody takes hold; a write that carries an older one is refused.
ALTER TABLE recordings ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0);
-- The take of the holder's chunks, and the greatest there has been.
ALTER TABLE recordings ADD COLUMN take INTEGER NOT NULL DEFAULT 0 CHECK (take >= 0);
ALTER TABLE recordings ADD COLUMN takes INTEGER NOT NULL DEFAULT 0 CHECK (takes >= 0);

-- A recording has at any time at most one object for each chunk; its name has the take in it.
ALTER TABLE chunks ADD COLUMN take INTEGER NOT NULL DEFAULT 0 CHECK (take >= 0);
