//! Who writes which recording: workers' leases, and the fence every write of theirs goes through.

use sqlx::FromRow;
use uuid::Uuid;

use super::code::{Code, number};
use super::engine::Tx;
use super::{Db, Error, Result, recordings};
use crate::hold::{Grip, Hold, Worker};
use crate::id::{RecordingId, WorkerId};
use crate::recording::Recording;
use crate::time::WallMicros;

const NOT_FOUND: Error = Error::NotFound { what: "recording" };

/// What a worker that took hold of a recording has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The right to write it.
    pub hold: Hold,
    /// The take of the chunks written under it. While it stays the same nobody else has written the
    /// recording in between.
    pub take: u32,
    /// The recording as it is.
    pub recording: Recording,
}

/// Who holds a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The worker.
    pub worker: WorkerId,
    /// What people call it.
    pub name: String,
    /// How firmly it holds, if its lease still lasts.
    pub grip: Grip,
    /// When its lease ends unless it gives a sign of life.
    pub lease_until: WallMicros,
}

impl Db {
    /// Takes hold of a recording for `worker` and renews the worker's lease. `None` where another
    /// worker holds it and must not be disturbed: its lease lasts and its grip is firm, or loose
    /// and ours would be no firmer.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where the recording is over.
    pub async fn hold(
        &self,
        recording: RecordingId,
        worker: &Worker,
        grip: Grip,
        now: WallMicros,
    ) -> Result<Option<Held>> {
        let step = "take hold of the recording";
        let mut tx = self.begin(step).await?;
        let row = recordings::within(&mut tx, recording).await?;
        if !row.state.is_open() {
            return Err(Error::conflict("the recording is over"));
        }
        let held = held_row(&mut tx, recording).await?;
        if !held.is_free(worker.id, grip, now)? {
            return Ok(None);
        }
        renew(&mut tx, worker, now).await?;
        let after_another = held.holder.is_some_and(|holder| holder != worker.id.0);
        let take = if after_another { held.takes + 1 } else { held.take };
        run!(
            tx,
            step,
            "UPDATE recordings
             SET holder = $2, grip = $3, epoch = $4, take = $5, takes = $6, updated_at = $7
             WHERE id = $1",
            recording.0,
            worker.id.0,
            grip.code(),
            held.epoch + 1,
            take,
            take.max(held.takes),
            now.0,
        )?;
        tx.commit().await?;
        let hold = Hold { recording_id: recording, epoch: held.epoch + 1 };
        Ok(Some(Held { hold, take: number("take", take)?, recording: row }))
    }

    /// Renews a worker's lease.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn keep_worker(&self, worker: &Worker, now: WallMicros) -> Result<()> {
        let mut tx = self.begin("renew the worker's lease").await?;
        renew(&mut tx, worker, now).await?;
        tx.commit().await
    }

    /// Notes until when a worker's disk is taken to be too full for new recordings; `None`: it is
    /// not.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn set_short(&self, worker: &Worker, until: Option<WallMicros>) -> Result<()> {
        let step = "note how full the worker's disk is";
        let mut tx = self.begin(step).await?;
        run!(
            tx,
            step,
            "INSERT INTO workers (id, name, lease_until, short_until) VALUES ($1, $2, 0, $3)
             ON CONFLICT (id) DO UPDATE SET short_until = excluded.short_until",
            worker.id.0,
            &worker.name,
            until.map(|until| until.0),
        )?;
        tx.commit().await
    }

    /// Whether a worker's disk is too full for new recordings, and no other worker that records has
    /// room.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn is_short(&self, now: WallMicros) -> Result<bool> {
        let row: Option<(bool,)> = one!(
            self.pools,
            "see how full the workers' disks are",
            "SELECT EXISTS (SELECT 1 FROM workers WHERE short_until > $1)
                AND NOT EXISTS (SELECT 1 FROM workers
                                WHERE lease_until > $1 AND COALESCE(short_until, 0) <= $1)
                AS short",
            now.0,
        )?;
        Ok(row.is_some_and(|(short,)| short))
    }

    /// Holds a recording more or less firmly.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] where another worker has taken hold.
    pub async fn set_grip(&self, hold: &Hold, grip: Grip) -> Result<()> {
        let step = "change the grip on the recording";
        let mut tx = self.begin(step).await?;
        fence(&mut tx, *hold).await?;
        run!(
            tx,
            step,
            "UPDATE recordings SET grip = $2 WHERE id = $1",
            hold.recording_id.0,
            grip.code(),
        )?;
        tx.commit().await
    }

    /// Whether nobody else has taken hold since.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such recording.
    pub async fn is_held(&self, hold: &Hold) -> Result<bool> {
        let sql = "SELECT epoch FROM recordings WHERE id = $1";
        let row: Option<(i64,)> = one!(self.pools, "check the hold", sql, hold.recording_id.0)?;
        Ok(row.ok_or(NOT_FOUND)?.0 == hold.epoch)
    }

    /// Who holds a recording, or held it last.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn holder(&self, recording: RecordingId) -> Result<Option<Holder>> {
        let row: Option<HolderRow> = one!(
            self.pools,
            "see who holds the recording",
            "SELECT workers.id AS holder, workers.name, workers.lease_until, recordings.grip
             FROM recordings LEFT JOIN workers ON workers.id = recordings.holder
             WHERE recordings.id = $1",
            recording.0,
        )?;
        let HolderRow { holder, name, lease_until, grip } = row.ok_or(NOT_FOUND)?;
        let (Some(holder), Some(name), Some(until)) = (holder, name, lease_until) else {
            return Ok(None);
        };
        let (worker, grip) = (WorkerId(holder), Grip::parse(&grip)?);
        Ok(Some(Holder { worker, name, grip, lease_until: WallMicros(until) }))
    }

    /// The live and paused recordings that another worker does not hold firmly, the oldest first;
    /// with each whether it is ours or nobody's, so that we have to look after it. The others are
    /// for whoever has their room's source.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn recordings_to_hold(
        &self,
        worker: WorkerId,
        now: WallMicros,
    ) -> Result<Vec<(Recording, bool)>> {
        let rows: Vec<ToHold> = all!(
            self.pools,
            "list the recordings to look after",
            "SELECT recordings.*,
                    (holder IS NULL OR holder = $1 OR grip = 'none' OR lease_until <= $2) AS free
             FROM recordings LEFT JOIN workers ON workers.id = recordings.holder
             WHERE state IN ('live', 'paused')
               AND (holder IS NULL OR holder = $1 OR grip <> 'firm' OR lease_until <= $2)
             ORDER BY recordings.id",
            worker.0,
            now.0,
        )?;
        rows.into_iter().map(|row| Ok((row.recording.try_into()?, row.free))).collect()
    }

    /// The take of the chunks that a recording's holder writes, or wrote last.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn take(&self, recording: RecordingId) -> Result<u32> {
        let sql = "SELECT take FROM recordings WHERE id = $1";
        let row: Option<(i64,)> = one!(self.pools, "read the take", sql, recording.0)?;
        number("take", row.ok_or(NOT_FOUND)?.0)
    }

    /// A take that no chunk of the recording has had.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn new_take(&self, recording: RecordingId) -> Result<u32> {
        let step = "begin a new take";
        let mut tx = self.begin(step).await?;
        let row: Option<(i64,)> = one!(
            tx,
            step,
            "UPDATE recordings SET takes = takes + 1 WHERE id = $1 RETURNING takes",
            recording.0,
        )?;
        tx.commit().await?;
        number("take", row.ok_or(NOT_FOUND)?.0)
    }
}

/// The recording, where `hold` still counts; its row is locked until the transaction ends, so that
/// nobody takes hold in between.
pub(super) async fn fence(tx: &mut Tx, hold: Hold) -> Result<Recording> {
    let recording = recordings::within(tx, hold.recording_id).await?;
    check(tx, hold).await?;
    Ok(recording)
}

/// Whether `hold` still counts. To be called behind [`recordings::within`].
pub(super) async fn check(tx: &mut Tx, hold: Hold) -> Result<()> {
    let current = held_row(tx, hold.recording_id).await?.epoch;
    if current == hold.epoch { Ok(()) } else { Err(Error::LeaseLost) }
}

async fn renew(tx: &mut Tx, worker: &Worker, now: WallMicros) -> Result<()> {
    run!(
        tx,
        "renew the worker's lease",
        "INSERT INTO workers (id, name, lease_until) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, lease_until = excluded.lease_until",
        worker.id.0,
        &worker.name,
        now.plus_millis(worker.lease_ms).0,
    )?;
    Ok(())
}

async fn held_row(tx: &mut Tx, id: RecordingId) -> Result<HeldRow> {
    let row: Option<HeldRow> = one!(
        tx,
        "see who holds the recording",
        "SELECT holder, grip, epoch, take, takes, lease_until
         FROM recordings LEFT JOIN workers ON workers.id = recordings.holder
         WHERE recordings.id = $1",
        id.0,
    )?;
    row.ok_or(NOT_FOUND)
}

#[derive(FromRow)]
struct HeldRow {
    holder: Option<Uuid>,
    grip: String,
    epoch: i64,
    take: i64,
    takes: i64,
    lease_until: Option<i64>,
}

impl HeldRow {
    /// Whether `worker` may take hold.
    fn is_free(&self, worker: WorkerId, wanted: Grip, now: WallMicros) -> Result<bool> {
        if self.holder.is_none_or(|holder| holder == worker.0) {
            return Ok(true);
        }
        if self.lease_until.is_none_or(|until| until <= now.0) {
            return Ok(true);
        }
        Ok(match Grip::parse(&self.grip)? {
            Grip::Firm => false,
            Grip::Loose => wanted == Grip::Firm,
            Grip::None => true,
        })
    }
}

#[derive(FromRow)]
struct ToHold {
    #[sqlx(flatten)]
    recording: recordings::Row,
    free: bool,
}

#[derive(FromRow)]
struct HolderRow {
    holder: Option<Uuid>,
    name: Option<String>,
    lease_until: Option<i64>,
    grip: String,
}
