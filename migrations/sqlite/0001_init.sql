-- The first schema.
--
-- Identifiers are UUIDs of version 7, so they sort by creation. Media times end in _ticks and count
-- 48 kHz ticks from a recording's first sample. Wall-clock times end in _at (or _until, _after) and
-- count microseconds since 1970 in UTC. Booleans are 0 or 1. Enums are their names.

CREATE TABLE rooms (
    id         BLOB    NOT NULL PRIMARY KEY,
    slug       TEXT    NOT NULL UNIQUE,
    title      TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    audience   TEXT    NOT NULL CHECK (audience IN ('everyone', 'followers', 'invited')),
    policy     TEXT    NOT NULL CHECK (policy IN ('auto', 'manual', 'never')),
    rtp_port   INTEGER UNIQUE CHECK (rtp_port BETWEEN 1 AND 65535),
    source_key TEXT,
    grace_ms   INTEGER NOT NULL CHECK (grace_ms >= 0),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE recordings (
    id             BLOB    NOT NULL PRIMARY KEY,
    room_id        BLOB    NOT NULL REFERENCES rooms (id),
    title          TEXT    NOT NULL,
    origin         TEXT    NOT NULL CHECK (origin IN ('pending', 'rtp', 'icecast', 'import')),
    state          TEXT    NOT NULL
                   CHECK (state IN ('live', 'paused', 'importing', 'ended', 'failed')),
    request        TEXT    CHECK (request IN ('pause', 'resume', 'end')),
    started_at     INTEGER,
    ended_at       INTEGER,
    end_reason     TEXT
                   CHECK (end_reason IN ('host', 'source_away', 'imported', 'unreadable')),
    duration_ticks INTEGER NOT NULL DEFAULT 0 CHECK (duration_ticks >= 0),
    bytes          INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    channels       INTEGER NOT NULL CHECK (channels IN (1, 2)),
    source         TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    CHECK ((state IN ('ended', 'failed')) = (ended_at IS NOT NULL)),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
    CHECK (request IS NULL OR state IN ('live', 'paused'))
) STRICT;

-- A room has at most one recording that is going on; files may be imported into it meanwhile.
CREATE UNIQUE INDEX recordings_one_open_a_room ON recordings (room_id)
    WHERE state IN ('live', 'paused');
CREATE INDEX recordings_by_room ON recordings (room_id, id);
CREATE INDEX recordings_unfinished ON recordings (id)
    WHERE state IN ('live', 'paused', 'importing');

CREATE TABLE chunks (
    recording_id   BLOB    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    seq            INTEGER NOT NULL CHECK (seq >= 0),
    start_ticks    INTEGER NOT NULL CHECK (start_ticks >= 0),
    duration_ticks INTEGER NOT NULL CHECK (duration_ticks > 0),
    bytes          INTEGER NOT NULL CHECK (bytes > 0),
    sha256         BLOB    NOT NULL CHECK (length(sha256) = 32),
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (recording_id, seq)
) STRICT, WITHOUT ROWID;

-- The whole row is the key: the same gap told twice is kept once, and two pauses at one media time
-- (nothing was heard between them) are two gaps.
CREATE TABLE gaps (
    recording_id   BLOB    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    start_ticks    INTEGER NOT NULL CHECK (start_ticks >= 0),
    duration_ticks INTEGER NOT NULL CHECK (duration_ticks >= 0),
    wall_us        INTEGER NOT NULL,
    cause          TEXT    NOT NULL
                   CHECK (cause IN ('loss', 'source_away', 'down', 'paused', 'broken')),
    PRIMARY KEY (recording_id, start_ticks, duration_ticks, wall_us, cause)
) STRICT, WITHOUT ROWID;

-- One media time has two anchors where media time stood still between them.
CREATE TABLE anchors (
    recording_id BLOB    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    media_ticks  INTEGER NOT NULL CHECK (media_ticks >= 0),
    wall_at      INTEGER NOT NULL,
    PRIMARY KEY (recording_id, media_ticks, wall_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE transcripts (
    id             BLOB    NOT NULL PRIMARY KEY,
    recording_id   BLOB    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    version        INTEGER NOT NULL CHECK (version >= 0),
    state          TEXT    NOT NULL CHECK (state IN ('running', 'complete', 'failed')),
    promoted       INTEGER NOT NULL DEFAULT 0 CHECK (promoted IN (0, 1)),
    engine         TEXT    NOT NULL,
    weights        TEXT    NOT NULL,
    weights_sha256 TEXT    NOT NULL,
    parameters     TEXT    NOT NULL,
    covered_ticks  INTEGER NOT NULL DEFAULT 0 CHECK (covered_ticks >= 0),
    created_at     INTEGER NOT NULL,
    completed_at   INTEGER,
    UNIQUE (recording_id, version),
    CHECK ((state = 'complete') = (completed_at IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX transcripts_one_promoted ON transcripts (recording_id) WHERE promoted = 1;

-- Words are always read together with their segment: a JSON array of [start, end, text, confidence].
CREATE TABLE segments (
    transcript_id BLOB    NOT NULL REFERENCES transcripts (id) ON DELETE CASCADE,
    ordinal       INTEGER NOT NULL CHECK (ordinal >= 0),
    start_ticks   INTEGER NOT NULL CHECK (start_ticks >= 0),
    end_ticks     INTEGER NOT NULL,
    text          TEXT    NOT NULL,
    speaker       TEXT,
    confidence    REAL    NOT NULL,
    suppressed    TEXT    CHECK (suppressed IN ('silence', 'loop', 'low_confidence')),
    words         TEXT    NOT NULL,
    PRIMARY KEY (transcript_id, ordinal),
    CHECK (end_ticks >= start_ticks)
) STRICT;

CREATE TABLE speakers (
    recording_id BLOB NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    label        TEXT NOT NULL,
    name         TEXT NOT NULL,
    known_by     TEXT NOT NULL CHECK (known_by IN ('platform', 'voice', 'person')),
    PRIMARY KEY (recording_id, label)
) STRICT;

CREATE TABLE turns (
    recording_id BLOB    NOT NULL,
    label        TEXT    NOT NULL,
    start_ticks  INTEGER NOT NULL CHECK (start_ticks >= 0),
    end_ticks    INTEGER NOT NULL,
    PRIMARY KEY (recording_id, label, start_ticks, end_ticks),
    FOREIGN KEY (recording_id, label) REFERENCES speakers (recording_id, label) ON DELETE CASCADE,
    CHECK (end_ticks >= start_ticks)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id           BLOB    NOT NULL PRIMARY KEY,
    kind         TEXT    NOT NULL CHECK (kind IN ('transcribe_live', 'transcribe')),
    recording_id BLOB    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    state        TEXT    NOT NULL
                 CHECK (state IN ('ready', 'running', 'done', 'dead', 'cancelled')),
    priority     INTEGER NOT NULL,
    attempt      INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    run_after    INTEGER NOT NULL,
    worker       TEXT,
    lease_until  INTEGER,
    token        INTEGER NOT NULL DEFAULT 0,
    -- There is more to do than the worker that holds the lease knew when it claimed the job.
    woken        INTEGER NOT NULL DEFAULT 0 CHECK (woken IN (0, 1)),
    done_ticks   INTEGER NOT NULL DEFAULT 0 CHECK (done_ticks >= 0),
    total_ticks  INTEGER NOT NULL DEFAULT 0 CHECK (total_ticks >= 0),
    error        TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    CHECK ((state = 'running') = (worker IS NOT NULL)),
    CHECK ((state = 'running') = (lease_until IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX jobs_one_open_a_kind ON jobs (recording_id, kind)
    WHERE state IN ('ready', 'running');
CREATE INDEX jobs_to_claim ON jobs (priority DESC, run_after, id)
    WHERE state IN ('ready', 'running');
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_by_recording ON jobs (recording_id, id);
