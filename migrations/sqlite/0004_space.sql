-- Disks that run full: a cause of gaps, and workers that take nothing new.

CREATE TABLE gaps_new (
    recording_id   BLOB    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    start_ticks    INTEGER NOT NULL CHECK (start_ticks >= 0),
    duration_ticks INTEGER NOT NULL CHECK (duration_ticks >= 0),
    wall_us        INTEGER NOT NULL,
    cause          TEXT    NOT NULL
                   CHECK (cause IN
                       ('loss', 'source_away', 'down', 'paused', 'broken', 'no_space')),
    PRIMARY KEY (recording_id, start_ticks, duration_ticks, wall_us, cause)
) STRICT, WITHOUT ROWID;
INSERT INTO gaps_new SELECT recording_id, start_ticks, duration_ticks, wall_us, cause FROM gaps;
DROP TABLE gaps;
ALTER TABLE gaps_new RENAME TO gaps;

-- Until then the worker's disk is taken to be too full for new recordings.
ALTER TABLE workers ADD COLUMN short_until INTEGER;
