-- Edits: people's corrections, kept apart from the versions of the words and laid over each of them.

-- An edit that is undone stays, so that numbers are never given twice.
CREATE TABLE edits (
    recording_id UUID NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    number       BIGINT NOT NULL CHECK (number >= 1),
    -- Words, by when they are said, or a speaker, by the label.
    start_ticks  BIGINT CHECK (start_ticks >= 0),
    end_ticks    BIGINT,
    speaker      TEXT,
    -- What people were shown there, what the version itself said, and what is shown from then on.
    replaced     TEXT NOT NULL,
    heard        TEXT NOT NULL,
    text         TEXT NOT NULL,
    made_by      TEXT NOT NULL,
    made_at      BIGINT NOT NULL,
    undone_at    BIGINT,
    PRIMARY KEY (recording_id, number),
    CHECK (end_ticks > start_ticks),
    CHECK ((start_ticks IS NULL) = (end_ticks IS NULL)),
    CHECK ((start_ticks IS NULL) = (speaker IS NOT NULL))
);
