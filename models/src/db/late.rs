//! Chunks that come late: what a worker that had died kept in its spool, when others have gone on.

use super::chunks::{self, end_within, insert_chunk, insert_gaps};
use super::code::int;
use super::engine::Tx;
use super::{Change, Db, Error, Result, jobs, receipts, recordings};
use crate::chunk::{Chunk, Gap};
use crate::id::RecordingId;
use crate::job::{Class, Kind};
use crate::recording::{Recording, State};
use crate::time::{Ticks, WallMicros};

/// What became of late chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Late {
    /// They are part of the recording now, in the place of these chunks, whose objects nobody needs
    /// any more.
    Landed(Vec<Chunk>),
    /// Their place is not known yet: whoever holds the recording has not written on, nor ended it.
    Wait,
}

impl Db {
    /// Puts late chunks, which lie in the store, where they belong: in the place of the chunks with
    /// the same numbers, if those cover the same media time and have nothing but concealment of
    /// gaps in them; or at the end, if the recording is over. `gaps` are what stays of the gaps, and
    /// those that the late chunks have of their own.
    ///
    /// Words that were made without them are made again: a recording that is over gets a new job,
    /// and a new receipt ([`Db::unreceipted`]).
    /// Chunks that are there already change nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where they fit nowhere.
    pub async fn land(
        &self,
        recording: RecordingId,
        late: &[Chunk],
        gaps: &[Gap],
        now: WallMicros,
    ) -> Result<Late> {
        let (Some(first), Some(last)) = (late.first(), late.last()) else {
            return Ok(Late::Landed(Vec::new()));
        };
        let mut tx = self.begin("put late chunks in their place").await?;
        let row = recordings::within(&mut tx, recording).await?;
        let there = chunks::numbered(&mut tx, recording, first.seq, last.seq).await?;
        if there == late {
            return Ok(Late::Landed(Vec::new()));
        }
        if there.is_empty() && row.state.is_open() {
            return Ok(Late::Wait);
        }
        if there.is_empty() {
            follows(&mut tx, &row, first).await?;
        } else {
            fits(&mut tx, recording, &there, late).await?;
            remove(&mut tx, recording, &there).await?;
        }
        let mut end = first.start;
        for chunk in late {
            if chunk.start != end {
                return Err(Error::conflict("the late chunks do not follow one another"));
            }
            end = chunk.span().end;
            insert_chunk(&mut tx, recording, chunk, now).await?;
        }
        // What was noted last is not the end where others have gone on.
        restore_duration(&mut tx, recording, row.duration.max(end)).await?;
        insert_gaps(&mut tx, recording, gaps).await?;
        if row.state == State::Ended {
            jobs::enqueue_within(&mut tx, Kind::Transcribe, Class::Fresh, &row, now).await?;
            receipts::changed(&mut tx, recording).await?;
        }
        tx.note(Change::Recording(recording));
        tx.commit().await?;
        Ok(Late::Landed(there))
    }
}

/// Whether a chunk is the next of a recording that is over.
async fn follows(tx: &mut Tx, row: &Recording, first: &Chunk) -> Result<()> {
    if row.state != State::Ended {
        return Err(Error::conflict("nothing of this recording is kept"));
    }
    if end_within(tx, row.id).await? == (first.seq, first.start) {
        Ok(())
    } else {
        Err(Error::conflict("the late chunks do not follow the last one"))
    }
}

/// Whether `there` covers the same as `late`, and nothing but gaps.
async fn fits(tx: &mut Tx, id: RecordingId, there: &[Chunk], late: &[Chunk]) -> Result<()> {
    let span = |chunks: &[Chunk]| {
        let ends = chunks.first().zip(chunks.last());
        ends.map(|(first, last)| (first.start, last.span().end))
    };
    let numbers = |chunks: &[Chunk]| chunks.iter().map(|chunk| chunk.seq).collect::<Vec<_>>();
    let (Some((start, end)), true) = (span(there), numbers(there) == numbers(late)) else {
        return Err(Error::conflict("there are other chunks in the place of the late ones"));
    };
    if span(late) != Some((start, end)) {
        return Err(Error::conflict("the late chunks cover other media time"));
    }
    let missed: Option<(Option<i64>,)> = one!(
        tx,
        "see what the chunks have in them",
        "SELECT CAST(SUM(duration_ticks) AS BIGINT) FROM gaps
         WHERE recording_id = $1 AND start_ticks >= $2 AND start_ticks + duration_ticks <= $3
           AND cause IN ('source_away', 'down')",
        id.0,
        int(start.0),
        int(end.0),
    )?;
    if missed.and_then(|(sum,)| sum) == Some(int(end.saturating_sub(start).0)) {
        Ok(())
    } else {
        Err(Error::conflict("there is sound in the place of the late chunks"))
    }
}

/// Takes chunks of concealment and their gaps out of the rows.
async fn remove(tx: &mut Tx, id: RecordingId, there: &[Chunk]) -> Result<()> {
    let step = "take concealment out";
    for chunk in there {
        run!(
            tx,
            step,
            "DELETE FROM chunks WHERE recording_id = $1 AND seq = $2",
            id.0,
            i64::from(chunk.seq),
        )?;
        run!(
            tx,
            step,
            "DELETE FROM gaps WHERE recording_id = $1 AND duration_ticks > 0
               AND start_ticks >= $2 AND start_ticks < $3",
            id.0,
            int(chunk.start.0),
            int(chunk.span().end.0),
        )?;
        run!(
            tx,
            step,
            "UPDATE recordings SET bytes = bytes - $2 WHERE id = $1",
            id.0,
            int(chunk.bytes),
        )?;
    }
    Ok(())
}

async fn restore_duration(tx: &mut Tx, id: RecordingId, duration: Ticks) -> Result<()> {
    run!(
        tx,
        "keep the recording's duration",
        "UPDATE recordings SET duration_ticks = $2 WHERE id = $1",
        id.0,
        int(duration.0),
    )?;
    Ok(())
}
