//! Rows put right by what was found in the store: `roomtape repair`.

use super::chunks::{self, insert_chunk, insert_gaps};
use super::engine::Tx;
use super::{Change, Db, Error, Result, jobs, receipts, recordings};
use crate::chunk::{Chunk, Gap};
use crate::id::RecordingId;
use crate::job::{Class, Kind};
use crate::recording::State;
use crate::time::{Ticks, WallMicros};

/// A change to the rows of a recording that is over. The objects of the new chunks lie in the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mend {
    /// Rows as they were found, whose place others take: each has a successor of the same number,
    /// which covers the same media time.
    pub old: Vec<Chunk>,
    /// Rows in their place, and rows where there was none. In order.
    pub new: Vec<Chunk>,
    /// Gaps that there are now.
    pub gaps: Vec<Gap>,
    /// Whether there is sound that has not been transcribed.
    pub has_new_sound: bool,
}

impl Db {
    /// Changes rows as `mend` says, all of them or none; brings the recording's duration and size in
    /// line with its chunks, and asks for a new receipt. Without chunks and gaps it does only that.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where the recording is not over, where its rows are
    /// not as they were found, or where the new ones do not fit between the others.
    pub async fn mend(&self, id: RecordingId, mend: &Mend, now: WallMicros) -> Result<()> {
        let mut tx = self.begin("put the rows right").await?;
        let row = recordings::within(&mut tx, id).await?;
        if row.state.is_open() {
            return Err(Error::conflict("the recording is going on"));
        }
        for old in &mend.old {
            if chunks::numbered(&mut tx, id, old.seq, old.seq).await? != [old.clone()] {
                return Err(Error::conflict(format!("chunk {} has changed", old.seq)));
            }
            let successor = mend.new.iter().find(|new| new.seq == old.seq);
            if successor.map(Chunk::span) != Some(old.span()) {
                return Err(Error::conflict(format!("chunk {} has no successor", old.seq)));
            }
            remove_chunk(&mut tx, id, old.seq).await?;
        }
        for new in &mend.new {
            insert_chunk(&mut tx, id, new, now).await?;
        }
        for new in &mend.new {
            fits(&mut tx, id, new).await?;
        }
        insert_gaps(&mut tx, id, &mend.gaps).await?;
        add_up(&mut tx, id).await?;
        if row.state == State::Ended {
            receipts::changed(&mut tx, id).await?;
            if mend.has_new_sound {
                jobs::enqueue_within(&mut tx, Kind::Transcribe, Class::Fresh, &row, now).await?;
            }
        }
        tx.note(Change::Recording(id));
        tx.commit().await
    }
}

async fn remove_chunk(tx: &mut Tx, id: RecordingId, seq: u32) -> Result<()> {
    run!(
        tx,
        "take the chunk's row out",
        "DELETE FROM chunks WHERE recording_id = $1 AND seq = $2",
        id.0,
        i64::from(seq),
    )?;
    Ok(())
}

/// Whether a chunk begins where the one before it ends, and ends where the next begins. One that is
/// missing beside it has its own time to be put right.
async fn fits(tx: &mut Tx, id: RecordingId, chunk: &Chunk) -> Result<()> {
    let (first, last) = (chunk.seq.saturating_sub(1), chunk.seq.saturating_add(1));
    for other in chunks::numbered(tx, id, first, last).await? {
        let meets = match other.seq.cmp(&chunk.seq) {
            std::cmp::Ordering::Less => other.span().end == chunk.start,
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Greater => chunk.span().end == other.start,
        };
        if !meets {
            let what = format!("chunks {} and {} do not meet", chunk.seq, other.seq);
            return Err(Error::conflict(what));
        }
    }
    if chunk.seq == 0 && chunk.start != Ticks::ZERO {
        return Err(Error::conflict("the first chunk does not begin at media time 0"));
    }
    Ok(())
}

/// Duration and size as the chunks have them.
async fn add_up(tx: &mut Tx, id: RecordingId) -> Result<()> {
    let step = "add the chunks up";
    let sums: Option<(Option<i64>, Option<i64>)> = one!(
        tx,
        step,
        "SELECT MAX(start_ticks + duration_ticks), CAST(SUM(bytes) AS BIGINT)
         FROM chunks WHERE recording_id = $1",
        id.0,
    )?;
    let (end, bytes) = sums.unwrap_or_default();
    run!(
        tx,
        step,
        "UPDATE recordings SET duration_ticks = $2, bytes = $3 WHERE id = $1",
        id.0,
        end.unwrap_or(0),
        bytes.unwrap_or(0),
    )?;
    Ok(())
}
