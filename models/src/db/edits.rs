//! Edits: people's corrections, made, undone and read.

use sqlx::FromRow;

use super::code::{int, number, span, text};
use super::engine::Tx;
use super::{Change, Db, Error, Result, recordings};
use crate::edit::{self, Edit, Overlaid, Refusal, Subject, Wanted};
use crate::id::RecordingId;
use crate::time::{Ticks, WallMicros};
use crate::transcript::{State, Transcript};

const NOT_FOUND: Error = Error::NotFound { what: "edit" };
/// How often an edit is tried anew because another one came between.
const ATTEMPTS: usize = 8;

impl Db {
    /// All edits of a recording that are in force, in the order they were made.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn edits(&self, recording: RecordingId) -> Result<Vec<Edit>> {
        let all = self.all_edits(recording).await?;
        Ok(all.into_iter().filter(|edit| edit.undone_at.is_none()).collect())
    }

    /// All edits of a recording in the order they were made, undone ones included.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn all_edits(&self, recording: RecordingId) -> Result<Vec<Edit>> {
        let sql = "SELECT * FROM edits WHERE recording_id = $1 ORDER BY number";
        let rows: Vec<Row> = all!(self.pools, "list the edits", sql, recording.0)?;
        rows.into_iter().map(Edit::try_from).collect()
    }

    /// How often edits of a recording were made or undone.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn edits_revision(&self, recording: RecordingId) -> Result<u64> {
        let row: Option<(i64,)> = one!(self.pools, REVISION_STEP, REVISION, recording.0)?;
        number("revision of edits", row.map_or(0, |(count,)| count))
    }

    /// A version's words with the edits laid over them, without names in place of labels.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn overlaid(&self, transcript: &Transcript, edits: &[Edit]) -> Result<Overlaid> {
        let own = self.segments(transcript.id, 0).await?;
        Ok(edit::overlay(own, edits, reached(transcript)))
    }

    /// Makes an edit, if what is there is still what was read.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such recording, version or speaker; [`Error::Changed`]
    /// where something else is there; [`Error::Conflict`] where the words cannot be told from their
    /// neighbours by their times.
    pub async fn make_edit(
        &self,
        recording: RecordingId,
        wanted: &Wanted,
        now: WallMicros,
    ) -> Result<Edit> {
        for _ in 0..ATTEMPTS {
            // Looked at before everything that is read: what comes between is noticed.
            let revision = self.edits_revision(recording).await?;
            let (subject, heard) = match &wanted.subject {
                Subject::Words(_) => self.find_words(recording, wanted).await?,
                Subject::Speaker(label) => {
                    (wanted.subject.clone(), self.find_speaker(recording, label, wanted).await?)
                }
            };
            let edit = Edit {
                number: 0,
                subject,
                replaced: wanted.replaced.clone(),
                heard,
                text: wanted.text.clone(),
                made_by: wanted.made_by.clone(),
                made_at: now,
                undone_at: None,
            };
            if let Some(number) = self.add_edit(recording, &edit, revision).await? {
                return Ok(Edit { number, ..edit });
            }
        }
        Err(Error::conflict("others edit the same recording at this moment: try again"))
    }

    /// Undoes an edit that is in force.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where a later edit lies over it, which would then
    /// stand on nothing.
    pub async fn undo_edit(
        &self,
        recording: RecordingId,
        number: u32,
        now: WallMicros,
    ) -> Result<Edit> {
        let step = "undo the edit";
        let mut tx = self.begin(step).await?;
        recordings::within(&mut tx, recording).await?;
        let sql = "SELECT * FROM edits WHERE recording_id = $1 AND number >= $2
                   AND undone_at IS NULL ORDER BY number";
        let rows: Vec<Row> = all!(tx, step, sql, recording.0, i64::from(number))?;
        let from: Vec<Edit> = rows.into_iter().map(Edit::try_from).collect::<Result<_>>()?;
        let (edit, later) = from.split_first().ok_or(NOT_FOUND)?;
        if edit.number != number {
            return Err(NOT_FOUND);
        }
        if let Some(over) = later.iter().rfind(|later| edit.lies_under(later)) {
            let what = format!("edit {} was made over this one: undo that first", over.number);
            return Err(Error::conflict(what));
        }
        let sql = "UPDATE edits SET undone_at = $3 WHERE recording_id = $1 AND number = $2";
        run!(tx, step, sql, recording.0, i64::from(number), now.0)?;
        tx.note(Change::Recording(recording));
        tx.commit().await?;
        Ok(Edit { undone_at: Some(now), ..edit.clone() })
    }

    /// The exact time of the words that are wanted, and what the version says there itself.
    async fn find_words(&self, id: RecordingId, wanted: &Wanted) -> Result<(Subject, String)> {
        let Subject::Words(span) = wanted.subject else { return Err(NOT_FOUND) };
        let transcript = self.transcript_version(id, wanted.version).await?;
        let transcript = transcript.ok_or(Error::NotFound { what: "transcript" })?;
        let own = self.segments(transcript.id, 0).await?;
        let shown = edit::overlay(own.clone(), &self.edits(id).await?, reached(&transcript));
        match edit::locate(&own, &shown, span, &wanted.replaced) {
            Ok((span, heard)) => Ok((Subject::Words(span), heard)),
            Err(Refusal::Changed(there)) => Err(Error::Changed { there }),
            Err(Refusal::Inseparable) => Err(Error::conflict(
                "these words share their time with neighbours: edit them together with those",
            )),
        }
    }

    /// What a speaker is called without edits.
    async fn find_speaker(&self, id: RecordingId, label: &str, wanted: &Wanted) -> Result<String> {
        let speakers = self.speakers(id).await?;
        let is_known = speakers.iter().any(|known| known.label == label);
        if !is_known && !self.is_speaking(id, label).await? {
            return Err(Error::NotFound { what: "speaker" });
        }
        let edits = self.edits(id).await?;
        let there = edit::name_of(label, &speakers, &edits);
        if there != wanted.replaced {
            return Err(Error::Changed { there: there.to_owned() });
        }
        Ok(edit::own_name(label, &speakers).to_owned())
    }

    /// Whether a version of the words names this speaker.
    async fn is_speaking(&self, id: RecordingId, label: &str) -> Result<bool> {
        let found: Option<(i64,)> = one!(
            self.pools,
            "look for the speaker",
            "SELECT ordinal FROM segments
             JOIN transcripts ON transcripts.id = segments.transcript_id
             WHERE transcripts.recording_id = $1 AND segments.speaker = $2 LIMIT 1",
            id.0,
            label,
        )?;
        Ok(found.is_some())
    }

    /// Keeps an edit and tells its number; `None` where others were made or undone since `revision`.
    async fn add_edit(&self, id: RecordingId, edit: &Edit, revision: u64) -> Result<Option<u32>> {
        let step = "keep the edit";
        let mut tx = self.begin(step).await?;
        recordings::within(&mut tx, id).await?;
        let row: Option<(i64,)> = one!(tx, REVISION_STEP, REVISION, id.0)?;
        if row.map_or(0, |(count,)| count) != int(revision) {
            return Ok(None);
        }
        let sql = "SELECT MAX(number) FROM edits WHERE recording_id = $1";
        let last: Option<(Option<i64>,)> = one!(tx, step, sql, id.0)?;
        let last = last.and_then(|(number,)| number).unwrap_or(0);
        let number = number("number of an edit", last + 1)?;
        insert(&mut tx, id, &Edit { number, ..edit.clone() }).await?;
        tx.note(Change::Recording(id));
        tx.commit().await?;
        Ok(Some(number))
    }
}

const REVISION_STEP: &str = "see whether there are edits";
/// Each edit counts once when it is made and once when it is undone.
const REVISION: &str = "SELECT COUNT(*) + COUNT(undone_at) FROM edits WHERE recording_id = $1";

/// The time before which a version will get no more words.
fn reached(transcript: &Transcript) -> Ticks {
    match transcript.state {
        State::Complete => Ticks(u64::MAX),
        State::Running | State::Failed => transcript.covered,
    }
}

/// Writes an edit as it is.
pub(super) async fn insert(tx: &mut Tx, id: RecordingId, edit: &Edit) -> Result<()> {
    let (span, speaker) = match &edit.subject {
        Subject::Words(span) => (Some(*span), None),
        Subject::Speaker(label) => (None, Some(text(label))),
    };
    run!(
        tx,
        "keep the edit",
        "INSERT INTO edits (recording_id, number, start_ticks, end_ticks, speaker, replaced, heard,
                            text, made_by, made_at, undone_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        id.0,
        i64::from(edit.number),
        span.map(|span| int(span.start.0)),
        span.map(|span| int(span.end.0)),
        speaker.as_deref(),
        text(&edit.replaced),
        text(&edit.heard),
        text(&edit.text),
        text(&edit.made_by),
        edit.made_at.0,
        edit.undone_at.map(|at| at.0),
    )?;
    Ok(())
}

#[derive(FromRow)]
struct Row {
    number: i64,
    start_ticks: Option<i64>,
    end_ticks: Option<i64>,
    speaker: Option<String>,
    replaced: String,
    heard: String,
    text: String,
    made_by: String,
    made_at: i64,
    undone_at: Option<i64>,
}

impl TryFrom<Row> for Edit {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let subject = match (row.start_ticks, row.end_ticks, row.speaker) {
            (Some(start), Some(end), None) => Subject::Words(span(start, end)?),
            (None, None, Some(label)) => Subject::Speaker(label),
            _ => return Err(Error::Corrupt { what: format!("subject of edit {}", row.number) }),
        };
        Ok(Self {
            number: number("number of an edit", row.number)?,
            subject,
            replaced: row.replaced,
            heard: row.heard,
            text: row.text,
            made_by: row.made_by,
            made_at: WallMicros(row.made_at),
            undone_at: row.undone_at.map(WallMicros),
        })
    }
}
