//! A recording: one live run of a room and everything kept of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{RecordingId, RoomId};
use crate::time::{Ticks, WallMicros};

/// One live run of a room (a room that goes live twice has two), or one imported file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Its identifier.
    pub id: RecordingId,
    /// The room it is of.
    pub room_id: RoomId,
    /// What people call it.
    pub title: String,
    /// How its audio reached us.
    pub origin: Origin,
    /// Where it stands.
    pub state: State,
    /// What the host has asked for and ingest has not yet done.
    pub request: Option<Request>,
    /// Wall-clock time of media time zero; `None` until the first audio arrives.
    pub started_at: Option<WallMicros>,
    /// Wall-clock time of its end.
    pub ended_at: Option<WallMicros>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// Media time kept in the store so far: the end of its last chunk.
    pub duration: Ticks,
    /// Bytes of all chunks.
    pub bytes: u64,
    /// Channels its decoder should give: 1 or 2.
    pub channels: u8,
    /// What the source said of itself: codec, program, address. For people, not for code.
    pub source: String,
    /// When the row was made.
    pub created_at: WallMicros,
}

/// How audio reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Not known yet: asked for before a source came.
    Pending,
    /// RTP over UDP.
    Rtp,
    /// An Icecast source.
    Icecast,
    /// An existing file.
    Import,
}

/// Where a recording stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RecordingState)]
pub enum State {
    /// Audio is kept as it arrives.
    Live,
    /// The host has paused it: what arrives is not written, and media time stands still.
    Paused,
    /// A file is being read in.
    Importing,
    /// Over; every chunk is in the store.
    Ended,
    /// An import that could not be read to its end; nothing of it is offered.
    Failed,
}

impl State {
    /// Whether more audio may come.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Live | Self::Paused | Self::Importing)
    }

    /// Whether a recording may go from this state to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Live, Self::Paused | Self::Ended)
                | (Self::Paused, Self::Live | Self::Ended)
                | (Self::Importing, Self::Ended | Self::Failed)
        )
    }
}

/// What a host may ask of a live recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RecordingRequest)]
pub enum Request {
    /// Stop writing, keep the recording open.
    Pause,
    /// Write again.
    Resume,
    /// End it.
    End,
}

impl Request {
    /// The state this request leads to.
    #[must_use]
    pub const fn target(self) -> State {
        match self {
            Self::Pause => State::Paused,
            Self::Resume => State::Live,
            Self::End => State::Ended,
        }
    }
}

/// Why a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The host asked.
    Host,
    /// The source stayed away longer than the grace time.
    SourceAway,
    /// The file was read to its end.
    Imported,
    /// The file could not be read.
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_stays_ended() {
        for next in [State::Live, State::Paused, State::Importing, State::Failed] {
            assert!(!State::Ended.may_become(next));
            assert!(!State::Failed.may_become(next));
        }
    }

    #[test]
    fn every_request_leads_where_some_open_state_may_go() {
        assert!(State::Live.may_become(Request::Pause.target()));
        assert!(State::Paused.may_become(Request::Resume.target()));
        assert!(State::Paused.may_become(Request::End.target()));
        assert!(!State::Importing.may_become(Request::Pause.target()));
    }
}
