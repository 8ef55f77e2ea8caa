//! Which ingest worker writes a recording: a lease on it, with a fence.
//!
//! A worker is alive while it renews its lease. It takes hold of the recordings it writes; each time
//! somebody takes hold of one its epoch goes up, and every write to it carries the writer's epoch,
//! so that a worker that was thought dead writes nothing once another has its place.

use crate::id::{RecordingId, WorkerId};

/// A process that writes recordings, as other processes know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its spool's identifier: a process that is started again on the same spool is the same worker.
    pub id: WorkerId,
    /// What people call it: a host name.
    pub name: String,
    /// How long it is taken to be alive after each sign of life, in milliseconds.
    pub lease_ms: i64,
}

/// The right to write a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The recording.
    pub recording_id: RecordingId,
    /// The fencing token: writes are refused once somebody else has taken hold.
    pub epoch: i64,
}

/// Before anybody has taken hold of a recording, whoever made it may write it.
impl From<RecordingId> for Hold {
    fn from(recording_id: RecordingId) -> Self {
        Self { recording_id, epoch: 0 }
    }
}

impl From<&Hold> for Hold {
    fn from(hold: &Hold) -> Self {
        *hold
    }
}

/// How firmly a worker holds a recording, while its lease lasts. Without a lease it holds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grip {
    /// It has the room's source: nobody else may take hold.
    Firm,
    /// It has no source now: a worker that has it may take hold.
    Loose,
    /// It has given the recording up: anybody may.
    None,
}
