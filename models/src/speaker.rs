//! Who speaks, and when.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Span;

/// Someone heard in a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// Short name, unique within the recording; segments refer to it.
    pub label: String,
    /// Name as shown to people.
    pub name: String,
    /// How we know.
    pub known_by: KnownBy,
    /// When they were heard.
    pub turns: Vec<Span>,
}

/// How a speaker is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KnownBy {
    /// The platform told us.
    Platform,
    /// Told apart by voice.
    Voice,
    /// A person wrote it.
    Person,
}
