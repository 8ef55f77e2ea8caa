//! What an engine is told before it reads a recording.

use super::{Db, Result};
use crate::id::RecordingId;

impl Db {
    /// The names and words that may be said in a recording, the likeliest first: its title, its room's,
    /// who holds the room, the room's glossary, and who speaks.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound), [`Error::Query`](super::Error::Query).
    pub async fn vocabulary(&self, id: RecordingId) -> Result<String> {
        let recording = self.recording(id).await?;
        let room = self.room(recording.room_id).await?;
        let speakers = self.speakers(id).await?;
        let mut names = vec![recording.title, room.title, room.host, room.glossary];
        names.extend(speakers.into_iter().map(|speaker| speaker.name));
        names.retain(|name| !name.trim().is_empty());
        names.dedup();
        Ok(names.join(", "))
    }
}
