//! Receipts: made when a recording has ended, and again when its sound has changed.
//!
//! That one is wanted stands in the recording's row, put there by the transaction that ended it or
//! changed its sound. Whoever records looks for such rows, so that a receipt whose maker died is made
//! by the next; of several that make it at once one is kept.

mod command;

use std::time::Duration;

use anyhow::Context as _;
use archive::receipt::sign::Signer;
use archive::receipt::{self, Facts};
use models::recording::State;
use models::{Anchor, Chunk, Db, Gap, Receipt, Recording, RecordingId, Room, WallMicros, db};

pub(crate) use command::run;

/// How often it is looked whether a receipt is wanted.
const LOOK: Duration = Duration::from_secs(1);
/// Receipts looked for at once.
const PAGE: u32 = 100;
/// How often a recording may change under our hands before it is left to the next look.
const TRIES: u32 = 3;

/// All rows that say what is kept of a recording.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) recording: Recording,
    pub(crate) room: Room,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) anchors: Vec<Anchor>,
    /// Whether the last receipt tells what is there.
    pub(crate) is_receipted: bool,
}

impl Kept {
    /// Reads them.
    ///
    /// # Errors
    /// [`db::Error::NotFound`] where there is no such recording.
    pub(crate) async fn read(db: &Db, id: RecordingId) -> db::Result<Self> {
        let wanted = db.receipt_changes(id).await?;
        let recording = db.recording(id).await?;
        Ok(Self {
            room: db.room(recording.room_id).await?,
            recording,
            chunks: db.chunks(id).await?,
            gaps: db.gaps(id).await?,
            anchors: db.anchors(id).await?,
            is_receipted: wanted == 0,
        })
    }

    /// The same for whoever only looks.
    pub(crate) fn facts(&self) -> Facts<'_> {
        let Self { recording, room, chunks, gaps, anchors, .. } = self;
        Facts { recording, room, chunks, gaps, anchors }
    }
}

/// Makes the receipt that a recording wants; `None` where it wants none.
///
/// # Errors
/// The rows could not be read or written, or changed again and again.
pub(crate) async fn make(
    db: &Db,
    signer: Option<&Signer>,
    id: RecordingId,
) -> anyhow::Result<Option<Receipt>> {
    let mut tries = 1;
    loop {
        let wanted = db.receipt_wanted(id).await.context("seeing whether a receipt is wanted")?;
        if wanted.changes == 0 {
            return Ok(None);
        }
        let kept = Kept::read(db, id).await.context("reading what is kept")?;
        if kept.recording.state != State::Ended {
            return Ok(None);
        }
        let made = receipt::make(&kept.facts(), wanted.last.as_ref(), WallMicros::now());
        let mut made = made.context("writing the receipt")?;
        made.signature = signer.map(|signer| signer.sign(&made.body));
        match db.add_receipt(id, &made, &wanted).await {
            Ok(()) => return Ok(Some(made)),
            Err(db::Error::Conflict { .. }) if tries < TRIES => tries += 1,
            Err(error) => return Err(error).context("keeping the receipt"),
        }
    }
}

/// Makes receipts that are wanted, as long as it is polled. What fails is logged and tried again.
pub(crate) async fn keep_making(db: Db, signer: Option<Signer>) {
    loop {
        if let Err(error) = make_all(&db, signer.as_ref()).await {
            tracing::warn!(error = format!("{error:#}"), "a receipt was not made; trying again");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn make_all(db: &Db, signer: Option<&Signer>) -> anyhow::Result<()> {
    let mut failed = None;
    for id in db.unreceipted(PAGE).await.context("looking for recordings without a receipt")? {
        match make(db, signer, id).await {
            Ok(Some(made)) => {
                let root = receipt::hex(&made.root);
                tracing::info!(recording = %id, number = made.number, root, "receipt made");
            }
            Ok(None) => {}
            // The others must not wait for this one.
            Err(error) => failed = Some(error.context(format!("the receipt of {id}"))),
        }
    }
    failed.map_or(Ok(()), Err)
}
