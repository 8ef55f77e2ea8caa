//! Speakers of a recording and their turns.

use sqlx::FromRow;

use super::code::{Code, int, span, text};
use super::engine::Tx;
use super::{Change, Db, Result, recordings};
use crate::id::RecordingId;
use crate::speaker::{KnownBy, Speaker};

impl Db {
    /// Notes a speaker with all their turns, in place of what was known under the same label.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound) where there is no such recording.
    pub async fn put_speaker(&self, recording: RecordingId, speaker: &Speaker) -> Result<()> {
        let mut tx = self.begin("note the speaker").await?;
        recordings::within(&mut tx, recording).await?;
        put_within(&mut tx, recording, speaker).await?;
        tx.note(Change::Recording(recording));
        tx.commit().await
    }

    /// All speakers of a recording by label, each with their turns in order.
    ///
    /// # Errors
    /// [`Error::Query`](super::Error::Query).
    pub async fn speakers(&self, recording: RecordingId) -> Result<Vec<Speaker>> {
        let rows: Vec<Row> = all!(
            self.pools,
            "list the speakers",
            "SELECT speakers.label, name, known_by, start_ticks, end_ticks
             FROM speakers
             LEFT JOIN turns ON turns.recording_id = speakers.recording_id
                            AND turns.label = speakers.label
             WHERE speakers.recording_id = $1
             ORDER BY speakers.label, start_ticks, end_ticks",
            recording.0,
        )?;
        let mut speakers: Vec<Speaker> = Vec::new();
        for row in rows {
            if speakers.last().is_none_or(|last| last.label != row.label) {
                speakers.push(Speaker {
                    label: row.label,
                    name: row.name,
                    known_by: KnownBy::parse(&row.known_by)?,
                    turns: Vec::new(),
                });
            }
            if let (Some(speaker), Some(start), Some(end)) =
                (speakers.last_mut(), row.start_ticks, row.end_ticks)
            {
                speaker.turns.push(span(start, end)?);
            }
        }
        Ok(speakers)
    }
}

/// Writes a speaker with all their turns, in place of what stood under the same label.
pub(super) async fn put_within(
    tx: &mut Tx,
    recording: RecordingId,
    speaker: &Speaker,
) -> Result<()> {
    let step = "note the speaker";
    run!(
        tx,
        step,
        "INSERT INTO speakers (recording_id, label, name, known_by) VALUES ($1, $2, $3, $4)
         ON CONFLICT (recording_id, label)
         DO UPDATE SET name = excluded.name, known_by = excluded.known_by",
        recording.0,
        text(&speaker.label),
        text(&speaker.name),
        speaker.known_by.code(),
    )?;
    run!(
        tx,
        step,
        "DELETE FROM turns WHERE recording_id = $1 AND label = $2",
        recording.0,
        text(&speaker.label),
    )?;
    for turn in &speaker.turns {
        run!(
            tx,
            step,
            "INSERT INTO turns (recording_id, label, start_ticks, end_ticks)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
            recording.0,
            text(&speaker.label),
            int(turn.start.0),
            int(turn.end.0),
        )?;
    }
    Ok(())
}

/// One turn of a speaker, or a speaker without any.
#[derive(FromRow)]
struct Row {
    label: String,
    name: String,
    known_by: String,
    start_ticks: Option<i64>,
    end_ticks: Option<i64>,
}
