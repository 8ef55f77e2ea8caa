-- What was read of windows while one before them was not written yet: a crash does not have them read
-- again. They go when they are committed.

CREATE TABLE windows_ahead (
    transcript_id UUID    NOT NULL REFERENCES transcripts (id) ON DELETE CASCADE,
    start_ticks   BIGINT  NOT NULL CHECK (start_ticks >= 0),
    end_ticks     BIGINT  NOT NULL CHECK (end_ticks >= start_ticks),
    -- In the words of whoever read it, which are nobody else's.
    reading       TEXT    NOT NULL,
    PRIMARY KEY (transcript_id, start_ticks)
);
