//! Recordings: what is kept of a room's runs, and where each stands.

use sqlx::FromRow;
use uuid::Uuid;

use super::code::{Code, number, parse_opt, text, ticks};
use super::engine::Tx;
use super::rooms::room_within;
use super::{Change, Db, Error, Result, holds, jobs, receipts, transcripts};
use crate::hold::Hold;
use crate::id::{RecordingId, RoomId};
use crate::job::{Class, Kind};
use crate::recording::{EndReason, Origin, Recording, Request, State};
use crate::room::{Audience, RecordingPolicy};
use crate::time::{Ticks, WallMicros};

const NOT_FOUND: Error = Error::NotFound { what: "recording" };

/// What a recording is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecording {
    /// The room it is of.
    pub room_id: RoomId,
    /// What people call it.
    pub title: String,
    /// How its audio reaches us.
    pub origin: Origin,
    /// Live, paused or importing.
    pub state: State,
    /// Channels its decoder should give: 1 or 2.
    pub channels: u8,
    /// What the source says of itself.
    pub source: String,
    /// Now.
    pub created_at: WallMicros,
}

/// Which recordings to list. The default lists all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this room.
    pub room: Option<RoomId>,
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those with this text in their title, or in the title or host of their room. Letter
    /// case does not matter (on SQLite: in ASCII).
    pub text: Option<String>,
    /// Only those of rooms that anyone may hear.
    pub open_to_everyone_only: bool,
}

impl Db {
    /// Makes a recording without any audio yet.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such room; [`Error::Conflict`] where the room must not
    /// be recorded, already has a live or paused recording (those being imported do not count), or
    /// `new.state` is not an open one.
    pub async fn create_recording(&self, new: &NewRecording) -> Result<Recording> {
        let step = "make the recording";
        if !new.state.is_open() {
            return Err(Error::conflict("a recording begins live, paused or importing"));
        }
        let mut tx = self.begin(step).await?;
        if room_within(&mut tx, new.room_id).await?.policy == RecordingPolicy::Never {
            return Err(Error::conflict("this room must not be recorded"));
        }
        let open: Option<(Uuid,)> = one!(
            tx,
            step,
            "SELECT id FROM recordings WHERE room_id = $1 AND state IN ('live', 'paused')",
            new.room_id.0,
        )?;
        if open.is_some() && new.state != State::Importing {
            return Err(Error::conflict("the room is already being recorded"));
        }
        let row: Option<Row> = one!(
            tx,
            step,
            "INSERT INTO recordings
                 (id, room_id, title, origin, state, channels, source, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
             RETURNING *",
            RecordingId::new().0,
            new.room_id.0,
            text(&new.title),
            new.origin.code(),
            new.state.code(),
            i64::from(new.channels),
            text(&new.source),
            new.created_at.0,
        )?;
        let recording = Recording::try_from(row.ok_or(NOT_FOUND)?)?;
        tx.note(Change::Recording(recording.id));
        tx.commit().await?;
        Ok(recording)
    }

    /// The recording with this identifier.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn recording(&self, id: RecordingId) -> Result<Recording> {
        let sql = "SELECT * FROM recordings WHERE id = $1";
        let row: Option<Row> = one!(self.pools, "read the recording", sql, id.0)?;
        row.ok_or(NOT_FOUND)?.try_into()
    }

    /// At most `limit` recordings that fit `filter`, the newest first; the next page begins after
    /// the last one of this page (`before`).
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn recordings(
        &self,
        filter: &Filter,
        before: Option<RecordingId>,
        limit: u32,
    ) -> Result<Vec<Recording>> {
        let rows: Vec<Row> = all!(
            self.pools,
            "list the recordings",
            "SELECT recordings.*
             FROM recordings JOIN rooms ON rooms.id = recordings.room_id
             WHERE ($1 IS NULL OR recordings.room_id = $1)
               AND ($2 IS NULL OR recordings.state = $2)
               AND ($3 IS NULL OR lower(recordings.title) LIKE lower($3) ESCAPE '\\'
                               OR lower(rooms.title) LIKE lower($3) ESCAPE '\\'
                               OR lower(rooms.host) LIKE lower($3) ESCAPE '\\')
               AND ($4 IS NULL OR rooms.audience = $4)
               AND ($5 IS NULL OR recordings.id < $5)
             ORDER BY recordings.id DESC
             LIMIT $6",
            filter.room.map(|room| room.0),
            filter.state.map(Code::code),
            filter.text.as_deref().map(|part| containing(&text(part))),
            filter.open_to_everyone_only.then(|| Audience::Everyone.code()),
            before.map(|id| id.0),
            i64::from(limit),
        )?;
        rows.into_iter().map(Recording::try_from).collect()
    }

    /// The room's live or paused recording.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn open_recording(&self, room: RoomId) -> Result<Option<Recording>> {
        let row: Option<Row> = one!(
            self.pools,
            "find the room's open recording",
            "SELECT * FROM recordings WHERE room_id = $1 AND state IN ('live', 'paused')",
            room.0,
        )?;
        row.map(Recording::try_from).transpose()
    }

    /// All recordings that are not over, imports included, the oldest first.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn unfinished_recordings(&self) -> Result<Vec<Recording>> {
        let rows: Vec<Row> = all!(
            self.pools,
            "list the unfinished recordings",
            "SELECT * FROM recordings WHERE state IN ('live', 'paused', 'importing') ORDER BY id",
        )?;
        rows.into_iter().map(Recording::try_from).collect()
    }

    /// Notes what the host asks of a live or paused recording, for ingest to do. A newer request
    /// takes the place of an older one, but nothing takes the place of the request to end.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Illegal`] where the recording may not go there, has ended or
    /// is about to end, or is an import.
    pub async fn request(
        &self,
        id: RecordingId,
        request: Request,
        now: WallMicros,
    ) -> Result<Recording> {
        let step = "note the request";
        let mut tx = self.begin(step).await?;
        let recording = within(&mut tx, id).await?;
        let target = request.target();
        let ending = recording.request == Some(Request::End);
        let from = if ending { State::Ended } else { recording.state };
        let again = ending && request == Request::End;
        if !again && (from == State::Importing || !from.may_become(target)) {
            return Err(Error::Illegal { from, to: target });
        }
        let row: Option<Row> = one!(
            tx,
            step,
            "UPDATE recordings SET request = $2, updated_at = $3 WHERE id = $1 RETURNING *",
            id.0,
            request.code(),
            now.0,
        )?;
        let recording = row.ok_or(NOT_FOUND)?.try_into()?;
        tx.note(Change::Recording(id));
        tx.commit().await?;
        Ok(recording)
    }

    /// Notes what a recording's audio comes from. Media time zero is fixed by the first
    /// `started_at`; later ones change nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LeaseLost`] where somebody else has taken hold.
    pub async fn set_source(
        &self,
        hold: impl Into<Hold>,
        origin: Origin,
        channels: u8,
        source: &str,
        started_at: Option<WallMicros>,
    ) -> Result<()> {
        let step = "note the source";
        let mut tx = self.begin(step).await?;
        let id = holds::fence(&mut tx, hold.into()).await?.id;
        run!(
            tx,
            step,
            "UPDATE recordings
             SET origin = $2, channels = $3, source = $4, started_at = COALESCE(started_at, $5)
             WHERE id = $1",
            id.0,
            origin.code(),
            i64::from(channels),
            text(source),
            started_at.map(|at| at.0),
        )?;
        tx.note(Change::Recording(id));
        tx.commit().await
    }

    /// Pauses or resumes a recording, or leaves it as it is where it is there already. The request
    /// that asked for this is done; another that came meanwhile stands.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LeaseLost`] where somebody else has taken hold;
    /// [`Error::Illegal`] for every other change (an end is [`Db::end_recording`]'s).
    pub async fn set_state(
        &self,
        hold: impl Into<Hold>,
        state: State,
        now: WallMicros,
    ) -> Result<()> {
        let step = "pause or resume the recording";
        let mut tx = self.begin(step).await?;
        let Recording { id, state: from, .. } = holds::fence(&mut tx, hold.into()).await?;
        let answered = match state {
            State::Live => Request::Resume,
            State::Paused => Request::Pause,
            State::Importing | State::Ended | State::Failed => {
                return Err(Error::Illegal { from, to: state });
            }
        };
        if from != state && !from.may_become(state) {
            return Err(Error::Illegal { from, to: state });
        }
        run!(
            tx,
            step,
            "UPDATE recordings
             SET state = $2, updated_at = $3,
                 request = CASE WHEN request = $4 THEN NULL ELSE request END
             WHERE id = $1",
            id.0,
            state.code(),
            now.0,
            answered.code(),
        )?;
        tx.note(Change::Recording(id));
        tx.commit().await
    }

    /// Ends a recording: it is then [`State::Failed`] where its file was unreadable, else
    /// [`State::Ended`]. In the same transaction its live captions are closed, their job ends, where
    /// anything was kept the job that transcribes the whole is made, and its receipt is asked for
    /// ([`Db::unreceipted`]).
    ///
    /// A recording that is over stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LeaseLost`] where somebody else has taken hold;
    /// [`Error::Illegal`] where a live recording is called unreadable.
    pub async fn end_recording(
        &self,
        hold: impl Into<Hold>,
        reason: EndReason,
        at: WallMicros,
    ) -> Result<Recording> {
        let step = "end the recording";
        let hold = hold.into();
        let id = hold.recording_id;
        let mut tx = self.begin(step).await?;
        let recording = within(&mut tx, id).await?;
        if !recording.state.is_open() {
            return Ok(recording);
        }
        holds::check(&mut tx, hold).await?;
        let to = if reason == EndReason::Unreadable { State::Failed } else { State::Ended };
        if !recording.state.may_become(to) {
            return Err(Error::Illegal { from: recording.state, to });
        }
        let row: Option<Row> = one!(
            tx,
            step,
            "UPDATE recordings
             SET state = $2, end_reason = $3, ended_at = $4, request = NULL, updated_at = $4
             WHERE id = $1
             RETURNING *",
            id.0,
            to.code(),
            reason.code(),
            at.0,
        )?;
        jobs::end_live(&mut tx, id, at).await?;
        transcripts::complete_live(&mut tx, id, at).await?;
        if to == State::Ended && recording.duration > Ticks::ZERO {
            jobs::enqueue_within(&mut tx, Kind::Transcribe, Class::Fresh, &recording, at).await?;
        }
        if to == State::Ended {
            receipts::changed(&mut tx, id).await?;
        }
        let recording = row.ok_or(NOT_FOUND)?.try_into()?;
        tx.note(Change::Recording(id));
        tx.commit().await?;
        Ok(recording)
    }
}

/// The recording as the transaction sees it, and nobody else's to change until that ends.
pub(super) async fn within(tx: &mut Tx, id: RecordingId) -> Result<Recording> {
    let step = "read the recording";
    let row: Option<Row> = locked!(tx, step, "SELECT * FROM recordings WHERE id = $1", id.0)?;
    row.ok_or(NOT_FOUND)?.try_into()
}

/// A `LIKE` pattern (escape `\`) for texts that contain `text` as it stands.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[derive(FromRow)]
pub(super) struct Row {
    id: Uuid,
    room_id: Uuid,
    title: String,
    origin: String,
    state: String,
    request: Option<String>,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    end_reason: Option<String>,
    duration_ticks: i64,
    bytes: i64,
    channels: i64,
    source: String,
    created_at: i64,
}

impl TryFrom<Row> for Recording {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: RecordingId(row.id),
            room_id: RoomId(row.room_id),
            title: row.title,
            origin: Origin::parse(&row.origin)?,
            state: State::parse(&row.state)?,
            request: parse_opt(row.request.as_deref())?,
            started_at: row.started_at.map(WallMicros),
            ended_at: row.ended_at.map(WallMicros),
            end_reason: parse_opt(row.end_reason.as_deref())?,
            duration: ticks(row.duration_ticks)?,
            bytes: number("size", row.bytes)?,
            channels: number("number of channels", row.channels)?,
            source: row.source,
            created_at: WallMicros(row.created_at),
        })
    }
}
