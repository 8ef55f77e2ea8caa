-- Disks that run full: a cause of gaps, and workers that take nothing new.

ALTER TABLE gaps DROP CONSTRAINT gaps_cause_check;
ALTER TABLE gaps ADD CONSTRAINT gaps_cause_check
    CHECK (cause IN ('loss', 'source_away', 'down', 'paused', 'broken', 'no_space'));

-- Until then the worker's disk is taken to be too full for new recordings.
ALTER TABLE workers ADD COLUMN short_until BIGINT;
