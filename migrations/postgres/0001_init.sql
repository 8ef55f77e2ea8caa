-- The first schema.
--
-- Identifiers are UUIDs of version 7, so they sort by creation. Media times end in _ticks and count
-- 48 kHz ticks from a recording's first sample. Wall-clock times end in _at (or _until, _after) and
-- count microseconds since 1970 in UTC. Enums are their names. What lists are sorted by sorts by its
-- bytes (collation C).

CREATE TABLE rooms (
    id         UUID    NOT NULL PRIMARY KEY,
    slug       TEXT    NOT NULL UNIQUE,
    title      TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    audience   TEXT    NOT NULL CHECK (audience IN ('everyone', 'followers', 'invited')),
    policy     TEXT    NOT NULL CHECK (policy IN ('auto', 'manual', 'never')),
    rtp_port   BIGINT  UNIQUE CHECK (rtp_port BETWEEN 1 AND 65535),
    source_key TEXT,
    grace_ms   BIGINT  NOT NULL CHECK (grace_ms >= 0),
    created_at BIGINT  NOT NULL
);

CREATE TABLE recordings (
    id             UUID    NOT NULL PRIMARY KEY,
    room_id        UUID    NOT NULL REFERENCES rooms (id),
    title          TEXT    NOT NULL,
    origin         TEXT    NOT NULL CHECK (origin IN ('pending', 'rtp', 'icecast', 'import')),
    state          TEXT    NOT NULL
                   CHECK (state IN ('live', 'paused', 'importing', 'ended', 'failed')),
    request        TEXT    CHECK (request IN ('pause', 'resume', 'end')),
    started_at     BIGINT,
    ended_at       BIGINT,
    end_reason     TEXT
                   CHECK (end_reason IN ('host', 'source_away', 'imported', 'unreadable')),
    duration_ticks BIGINT  NOT NULL DEFAULT 0 CHECK (duration_ticks >= 0),
    bytes          BIGINT  NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    channels       BIGINT  NOT NULL CHECK (channels IN (1, 2)),
    source         TEXT    NOT NULL,
    created_at     BIGINT  NOT NULL,
    updated_at     BIGINT  NOT NULL,
    CHECK ((state IN ('ended', 'failed')) = (ended_at IS NOT NULL)),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
    CHECK (request IS NULL OR state IN ('live', 'paused'))
);

-- A room has at most one recording that is going on; files may be imported into it meanwhile.
CREATE UNIQUE INDEX recordings_one_open_a_room ON recordings (room_id)
    WHERE state IN ('live', 'paused');
CREATE INDEX recordings_by_room ON recordings (room_id, id);
CREATE INDEX recordings_unfinished ON recordings (id)
    WHERE state IN ('live', 'paused', 'importing');

CREATE TABLE chunks (
    recording_id   UUID    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    seq            BIGINT  NOT NULL CHECK (seq >= 0),
    start_ticks    BIGINT  NOT NULL CHECK (start_ticks >= 0),
    duration_ticks BIGINT  NOT NULL CHECK (duration_ticks > 0),
    bytes          BIGINT  NOT NULL CHECK (bytes > 0),
    sha256         BYTEA   NOT NULL CHECK (length(sha256) = 32),
    created_at     BIGINT  NOT NULL,
    PRIMARY KEY (recording_id, seq)
);

-- The whole row is the key: the same gap told twice is kept once, and two pauses at one media time
-- (nothing was heard between them) are two gaps.
CREATE TABLE gaps (
    recording_id   UUID    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    start_ticks    BIGINT  NOT NULL CHECK (start_ticks >= 0),
    duration_ticks BIGINT  NOT NULL CHECK (duration_ticks >= 0),
    wall_us        BIGINT  NOT NULL,
    cause          TEXT    NOT NULL
                   CHECK (cause IN ('loss', 'source_away', 'down', 'paused', 'broken')),
    PRIMARY KEY (recording_id, start_ticks, duration_ticks, wall_us, cause)
);

-- One media time has two anchors where media time stood still between them.
CREATE TABLE anchors (
    recording_id UUID    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    media_ticks  BIGINT  NOT NULL CHECK (media_ticks >= 0),
    wall_at      BIGINT  NOT NULL,
    PRIMARY KEY (recording_id, media_ticks, wall_at)
);

CREATE TABLE transcripts (
    id             UUID    NOT NULL PRIMARY KEY,
    recording_id   UUID    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    version        BIGINT  NOT NULL CHECK (version >= 0),
    state          TEXT    NOT NULL CHECK (state IN ('running', 'complete', 'failed')),
    promoted       BOOLEAN NOT NULL DEFAULT FALSE,
    engine         TEXT    NOT NULL,
    weights        TEXT    NOT NULL,
    weights_sha256 TEXT    NOT NULL,
    parameters     TEXT    NOT NULL,
    covered_ticks  BIGINT  NOT NULL DEFAULT 0 CHECK (covered_ticks >= 0),
    created_at     BIGINT  NOT NULL,
    completed_at   BIGINT,
    UNIQUE (recording_id, version),
    CHECK ((state = 'complete') = (completed_at IS NOT NULL))
);

CREATE UNIQUE INDEX transcripts_one_promoted ON transcripts (recording_id) WHERE promoted;

-- Words are always read together with their segment: a JSON array of [start, end, text, confidence].
CREATE TABLE segments (
    transcript_id UUID    NOT NULL REFERENCES transcripts (id) ON DELETE CASCADE,
    ordinal       BIGINT  NOT NULL CHECK (ordinal >= 0),
    start_ticks   BIGINT  NOT NULL CHECK (start_ticks >= 0),
    end_ticks     BIGINT  NOT NULL,
    text          TEXT    NOT NULL,
    speaker       TEXT,
    confidence    DOUBLE PRECISION NOT NULL,
    suppressed    TEXT    CHECK (suppressed IN ('silence', 'loop', 'low_confidence')),
    words         TEXT    NOT NULL,
    PRIMARY KEY (transcript_id, ordinal),
    CHECK (end_ticks >= start_ticks)
);

CREATE TABLE speakers (
    recording_id UUID NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    label        TEXT COLLATE "C" NOT NULL,
    name         TEXT NOT NULL,
    known_by     TEXT NOT NULL CHECK (known_by IN ('platform', 'voice', 'person')),
    PRIMARY KEY (recording_id, label)
);

CREATE TABLE turns (
    recording_id UUID    NOT NULL,
    label        TEXT    COLLATE "C" NOT NULL,
    start_ticks  BIGINT  NOT NULL CHECK (start_ticks >= 0),
    end_ticks    BIGINT  NOT NULL,
    PRIMARY KEY (recording_id, label, start_ticks, end_ticks),
    FOREIGN KEY (recording_id, label) REFERENCES speakers (recording_id, label) ON DELETE CASCADE,
    CHECK (end_ticks >= start_ticks)
);

CREATE TABLE jobs (
    id           UUID    NOT NULL PRIMARY KEY,
    kind         TEXT    NOT NULL CHECK (kind IN ('transcribe_live', 'transcribe')),
    recording_id UUID    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    state        TEXT    NOT NULL
                 CHECK (state IN ('ready', 'running', 'done', 'dead', 'cancelled')),
    priority     BIGINT  NOT NULL,
    attempt      BIGINT  NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    run_after    BIGINT  NOT NULL,
    worker       TEXT,
    lease_until  BIGINT,
    token        BIGINT  NOT NULL DEFAULT 0,
    -- There is more to do than the worker that holds the lease knew when it claimed the job.
    woken        BOOLEAN NOT NULL DEFAULT FALSE,
    done_ticks   BIGINT  NOT NULL DEFAULT 0 CHECK (done_ticks >= 0),
    total_ticks  BIGINT  NOT NULL DEFAULT 0 CHECK (total_ticks >= 0),
    error        TEXT,
    created_at   BIGINT  NOT NULL,
    updated_at   BIGINT  NOT NULL,
    CHECK ((state = 'running') = (worker IS NOT NULL)),
    CHECK ((state = 'running') = (lease_until IS NOT NULL))
);

CREATE UNIQUE INDEX jobs_one_open_a_kind ON jobs (recording_id, kind)
    WHERE state IN ('ready', 'running');
CREATE INDEX jobs_to_claim ON jobs (priority DESC, run_after, id)
    WHERE state IN ('ready', 'running');
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_by_recording ON jobs (recording_id, id);
