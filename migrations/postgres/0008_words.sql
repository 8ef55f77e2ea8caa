-- Words: their language, made-up phrases, the speech that has none, and those a room's engine is told.

ALTER TABLE segments DROP CONSTRAINT segments_suppressed_check;
ALTER TABLE segments ADD CONSTRAINT segments_suppressed_check
    CHECK (suppressed IN ('silence', 'loop', 'low_confidence', 'phantom'));
-- The language that was spoken, where the engine tells; the text is English.
ALTER TABLE segments ADD COLUMN language TEXT;

-- How long people speak, and where they do without words: a JSON array of [start, end].
ALTER TABLE transcripts ADD COLUMN speech_ticks BIGINT NOT NULL DEFAULT 0 CHECK (speech_ticks >= 0);
ALTER TABLE transcripts ADD COLUMN bare TEXT NOT NULL DEFAULT '[]';

-- Names and words that are said in the room, as the engine is told them.
ALTER TABLE rooms ADD COLUMN glossary TEXT NOT NULL DEFAULT '';
