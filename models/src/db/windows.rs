//! A transcript grows window by window: in order, and those that were read too early wait.

use super::code::{int, span, text};
use super::transcripts::{fenced, write_spans};
use super::{Change, Db, Error, Result, leases, segments};
use crate::id::TranscriptId;
use crate::job::Lease;
use crate::time::{Span, Ticks, WallMicros};
use crate::transcript::{Coverage, Segment, State, Transcript};

/// What one window gave: segments that follow those that are there and, where it is known, how much of
/// its speech they cover.
#[derive(Debug, Clone, Copy)]
pub struct NewWords<'a> {
    segments: &'a [Segment],
    coverage: Option<&'a Coverage>,
}

impl<'a, T: AsRef<[Segment]> + ?Sized> From<&'a T> for NewWords<'a> {
    fn from(segments: &'a T) -> Self {
        Self { segments: segments.as_ref(), coverage: None }
    }
}

impl<'a> From<(&'a [Segment], &'a Coverage)> for NewWords<'a> {
    fn from((segments, coverage): (&'a [Segment], &'a Coverage)) -> Self {
        Self { segments, coverage: Some(coverage) }
    }
}

impl Db {
    /// Adds the words of one more window, and how much of its speech they cover: all audio before
    /// `covered` has then been worked through, of `total` there is. One transaction, so that whoever
    /// takes the job over goes on from here.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; [`Error::NotFound`] where the job's recording has no such transcript;
    /// [`Error::Conflict`] where it is not running, `covered` goes back, or the segments do not
    /// continue those that are there.
    pub async fn commit_window(
        &self,
        lease: &Lease,
        transcript: TranscriptId,
        covered: Ticks,
        words: impl Into<NewWords<'_>>,
        total: Ticks,
        now: WallMicros,
    ) -> Result<()> {
        let step = "keep the window's words";
        let NewWords { segments: words, coverage } = words.into();
        let mut tx = self.begin(step).await?;
        let current = running(fenced(&mut tx, lease, transcript, now).await?)?;
        if covered < current.covered {
            let what = format!("{} is covered already, not {covered} only", current.covered);
            return Err(Error::conflict(what));
        }
        let last = "SELECT ordinal FROM segments
                    WHERE transcript_id = $1 ORDER BY ordinal DESC LIMIT 1";
        let last: Option<(i64,)> = one!(tx, step, last, transcript.0)?;
        let first = last.map_or(0, |(last,)| last + 1);
        for (next, segment) in (first..).zip(words) {
            if i64::from(segment.ordinal) != next {
                let what = format!("segment {next} was to follow, not {}", segment.ordinal);
                return Err(Error::conflict(what));
            }
            segments::insert(&mut tx, transcript, segment).await?;
        }
        let Coverage { speech, bare } = coverage.cloned().unwrap_or_default();
        let bare = [current.coverage.bare, bare].concat();
        run!(
            tx,
            step,
            "UPDATE transcripts
             SET covered_ticks = $2, speech_ticks = speech_ticks + $3, bare = $4
             WHERE id = $1",
            transcript.0,
            int(covered.0),
            int(speech.0),
            write_spans(&bare),
        )?;
        let sql = "DELETE FROM windows_ahead WHERE transcript_id = $1 AND start_ticks < $2";
        run!(tx, step, sql, transcript.0, int(covered.0))?;
        leases::progress(&mut tx, lease.job_id, covered, total).await?;
        tx.note(Change::Recording(current.recording_id));
        tx.commit().await
    }

    /// Keeps what was read of a window while one before it is not written yet, so that nobody has to
    /// read it again: `reading`, in the words of whoever reads, of what is kept of that window. Goes
    /// when the window is committed.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; [`Error::NotFound`] where the job's recording has no such transcript;
    /// [`Error::Conflict`] where it is not running, or has that window already.
    pub async fn keep_ahead(
        &self,
        lease: &Lease,
        transcript: TranscriptId,
        kept: Span,
        reading: &str,
        now: WallMicros,
    ) -> Result<()> {
        let step = "keep a window that was read early";
        let mut tx = self.begin(step).await?;
        let current = running(fenced(&mut tx, lease, transcript, now).await?)?;
        if kept.start < current.covered {
            return Err(Error::conflict(format!("{} is covered already", current.covered)));
        }
        run!(
            tx,
            step,
            "INSERT INTO windows_ahead (transcript_id, start_ticks, end_ticks, reading)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (transcript_id, start_ticks) DO UPDATE
             SET end_ticks = excluded.end_ticks, reading = excluded.reading",
            transcript.0,
            int(kept.start.0),
            int(kept.end.0),
            text(reading),
        )?;
        tx.commit().await
    }

    /// The windows of a transcript that were read early and are not committed, in order: what is kept
    /// of each, and what [`keep_ahead`](Self::keep_ahead) was given.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn kept_ahead(&self, transcript: TranscriptId) -> Result<Vec<(Span, String)>> {
        let rows: Vec<(i64, i64, String)> = all!(
            self.pools,
            "read the windows that were read early",
            "SELECT start_ticks, end_ticks, reading FROM windows_ahead
             WHERE transcript_id = $1 ORDER BY start_ticks",
            transcript.0,
        )?;
        rows.into_iter().map(|(start, end, reading)| Ok((span(start, end)?, reading))).collect()
    }
}

fn running(transcript: Transcript) -> Result<Transcript> {
    match transcript.state {
        State::Running => Ok(transcript),
        State::Complete | State::Failed => Err(Error::conflict("the transcript is finished")),
    }
}
