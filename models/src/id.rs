//! Identifiers: UUID version 7 (RFC 9562), one type for each kind of thing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
        )]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identifier that sorts after every earlier one.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a default would hide that it is unique")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id!(
    /// Names a room.
    RoomId
);
id!(
    /// Names a recording.
    RecordingId
);
id!(
    /// Names one version of a recording's words.
    TranscriptId
);
id!(
    /// Names an ingest worker: the owner of one spool.
    WorkerId
);
id!(
    /// Names a job.
    JobId
);
id!(
    /// Names a batch of jobs.
    BatchId
);
