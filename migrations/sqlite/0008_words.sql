-- Words: their language, made-up phrases, the speech that has none, and those a room's engine is told.

CREATE TABLE segments_new (
    transcript_id BLOB    NOT NULL REFERENCES transcripts (id) ON DELETE CASCADE,
    ordinal       INTEGER NOT NULL CHECK (ordinal >= 0),
    start_ticks   INTEGER NOT NULL CHECK (start_ticks >= 0),
    end_ticks     INTEGER NOT NULL,
    text          TEXT    NOT NULL,
    speaker       TEXT,
    confidence    REAL    NOT NULL,
    suppressed    TEXT    CHECK (suppressed IN ('silence', 'loop', 'low_confidence', 'phantom')),
    words         TEXT    NOT NULL,
    -- The language that was spoken, where the engine tells; the text is English.
    language      TEXT,
    PRIMARY KEY (transcript_id, ordinal),
    CHECK (end_ticks >= start_ticks)
) STRICT;
INSERT INTO segments_new
    SELECT transcript_id, ordinal, start_ticks, end_ticks, text, speaker, confidence, suppressed, words,
           NULL
    FROM segments;
DROP TABLE segments;
ALTER TABLE segments_new RENAME TO segments;

-- How long people speak, and where they do without words: a JSON array of [start, end].
ALTER TABLE transcripts ADD COLUMN speech_ticks INTEGER NOT NULL DEFAULT 0 CHECK (speech_ticks >= 0);
ALTER TABLE transcripts ADD COLUMN bare TEXT NOT NULL DEFAULT '[]';

-- Names and words that are said in the room, as the engine is told them.
ALTER TABLE rooms ADD COLUMN glossary TEXT NOT NULL DEFAULT '';
