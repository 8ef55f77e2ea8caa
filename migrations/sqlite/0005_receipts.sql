-- Receipts: what was kept of a recording, said once and for all.

-- Each names the one before it, so that what was said once cannot be taken back unseen.
CREATE TABLE receipts (
    recording_id BLOB    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL CHECK (number >= 1),
    -- Of the body, byte for byte.
    sha256       BLOB    NOT NULL CHECK (length(sha256) = 32),
    -- Canonical JSON (RFC 8785).
    body         TEXT    NOT NULL,
    -- What pages show of it: the root of the tree over its chunks in hexadecimal digits, and their
    -- number.
    root         TEXT    NOT NULL,
    chunks       INTEGER NOT NULL CHECK (chunks >= 0),
    -- Ed25519 over the body, and the public key, both in Base64.
    signature    TEXT,
    public_key   TEXT,
    made_at      INTEGER NOT NULL,
    PRIMARY KEY (recording_id, number),
    CHECK ((signature IS NULL) = (public_key IS NULL))
) STRICT;

-- How often the sound of a recording that is over has changed since its last receipt was made: 0
-- where the receipt tells what is there.
ALTER TABLE recordings ADD COLUMN unreceipted INTEGER NOT NULL DEFAULT 0 CHECK (unreceipted >= 0);
UPDATE recordings SET unreceipted = 1 WHERE state = 'ended';
CREATE INDEX recordings_unreceipted ON recordings (id) WHERE unreceipted > 0;
