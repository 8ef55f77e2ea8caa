//! Receipts: noted, signed and read; and which recordings want one.

use sqlx::FromRow;
use uuid::Uuid;

use super::code::number;
use super::engine::Tx;
use super::{Change, Db, Error, Result, recordings};
use crate::id::RecordingId;
use crate::receipt::{Brief, Receipt, Signature};
use crate::recording::State;
use crate::time::WallMicros;

const NOT_FOUND: Error = Error::NotFound { what: "receipt" };

/// What a receipt to be made builds on. Read it before everything else that the receipt is to tell:
/// what changes after that is noticed by [`Db::add_receipt`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// How often the sound has changed since the last receipt.
    pub changes: i64,
    /// The last receipt.
    pub last: Option<Receipt>,
}

impl Db {
    /// Recordings that are over and whose last receipt does not tell what is there, or that have
    /// none: the oldest first, `limit` at most.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn unreceipted(&self, limit: u32) -> Result<Vec<RecordingId>> {
        let rows: Vec<(Uuid,)> = all!(
            self.pools,
            "list the recordings without a receipt",
            "SELECT id FROM recordings WHERE unreceipted > 0 ORDER BY id LIMIT $1",
            i64::from(limit),
        )?;
        Ok(rows.into_iter().map(|(id,)| RecordingId(id)).collect())
    }

    /// What the next receipt of a recording builds on.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such recording.
    pub async fn receipt_wanted(&self, id: RecordingId) -> Result<Wanted> {
        let changes = self.receipt_changes(id).await?;
        let last = match self.receipt(id, None).await {
            Ok(last) => Some(last),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Wanted { changes, last })
    }

    /// How often the sound of a recording that is over has changed since its last receipt: 0 where
    /// that tells what is there.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such recording.
    pub async fn receipt_changes(&self, id: RecordingId) -> Result<i64> {
        let sql = "SELECT unreceipted FROM recordings WHERE id = $1";
        let row: Option<(i64,)> = one!(self.pools, "see whether a receipt is wanted", sql, id.0)?;
        row.map(|(changes,)| changes).ok_or(Error::NotFound { what: "recording" })
    }

    /// Receipts that nobody has signed, `limit` at most.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn unsigned(&self, limit: u32) -> Result<Vec<(RecordingId, u32)>> {
        let rows: Vec<(Uuid, i64)> = all!(
            self.pools,
            "list the receipts without a signature",
            "SELECT recording_id, number FROM receipts WHERE signature IS NULL
             ORDER BY recording_id, number LIMIT $1",
            i64::from(limit),
        )?;
        let receipt = |(id, n)| Ok((RecordingId(id), number("number of a receipt", n)?));
        rows.into_iter().map(receipt).collect()
    }

    /// Keeps a receipt, built on `wanted`.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such recording; [`Error::Conflict`] where its sound has
    /// changed, or somebody else has made a receipt, since `wanted` was read, or where the recording
    /// is not over.
    pub async fn add_receipt(
        &self,
        id: RecordingId,
        receipt: &Receipt,
        wanted: &Wanted,
    ) -> Result<()> {
        let step = "keep the receipt";
        let mut tx = self.begin(step).await?;
        if recordings::within(&mut tx, id).await?.state != State::Ended {
            return Err(Error::conflict("a receipt is made of a recording that is over"));
        }
        let sql = "SELECT MAX(number) FROM receipts WHERE recording_id = $1";
        let last: Option<(Option<i64>,)> = one!(tx, step, sql, id.0)?;
        let last = last.and_then(|(number,)| number).unwrap_or(0);
        let sql = "UPDATE recordings SET unreceipted = 0 WHERE id = $1 AND unreceipted = $2";
        let unchanged = run!(tx, step, sql, id.0, wanted.changes)? > 0;
        let built_on = wanted.last.as_ref().map_or(0, |last| i64::from(last.number));
        if !unchanged || last != built_on || i64::from(receipt.number) != last + 1 {
            return Err(Error::conflict("the recording has changed while its receipt was made"));
        }
        insert(&mut tx, id, receipt).await?;
        tx.note(Change::Recording(id));
        tx.commit().await
    }

    /// Signs a receipt that nobody has signed.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none without a signature.
    pub async fn sign_receipt(
        &self,
        id: RecordingId,
        number: u32,
        signature: &Signature,
    ) -> Result<()> {
        let mut tx = self.begin("sign the receipt").await?;
        let signed = run!(
            tx,
            "sign the receipt",
            "UPDATE receipts SET signature = $3, public_key = $4
             WHERE recording_id = $1 AND number = $2 AND signature IS NULL",
            id.0,
            i64::from(number),
            &signature.bytes,
            &signature.public_key,
        )?;
        if signed == 0 {
            return Err(NOT_FOUND);
        }
        tx.note(Change::Recording(id));
        tx.commit().await
    }

    /// Has another receipt made of a recording that is over, although its sound has not changed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where it is not over.
    pub async fn want_receipt(&self, id: RecordingId) -> Result<()> {
        let mut tx = self.begin("ask for a receipt").await?;
        if recordings::within(&mut tx, id).await?.state != State::Ended {
            return Err(Error::conflict("a receipt is made of a recording that is over"));
        }
        changed(&mut tx, id).await?;
        tx.commit().await
    }

    /// A recording's receipt of that number, or its last.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn receipt(&self, id: RecordingId, number: Option<u32>) -> Result<Receipt> {
        let row: Option<Row> = one!(
            self.pools,
            "read the receipt",
            "SELECT * FROM receipts WHERE recording_id = $1 AND ($2 IS NULL OR number = $2)
             ORDER BY number DESC LIMIT 1",
            id.0,
            number.map(i64::from),
        )?;
        row.ok_or(NOT_FOUND)?.try_into()
    }

    /// What is shown of a recording's last receipt.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn receipt_brief(&self, id: RecordingId) -> Result<Option<Brief>> {
        let row: Option<BriefRow> = one!(
            self.pools,
            "read the receipt in brief",
            "SELECT number, sha256, root, chunks, public_key, made_at FROM receipts
             WHERE recording_id = $1 ORDER BY number DESC LIMIT 1",
            id.0,
        )?;
        row.map(Brief::try_from).transpose()
    }

    /// All receipts of a recording, the oldest first.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn receipts(&self, id: RecordingId) -> Result<Vec<Receipt>> {
        let rows: Vec<Row> = all!(
            self.pools,
            "list the receipts",
            "SELECT * FROM receipts WHERE recording_id = $1 ORDER BY number",
            id.0,
        )?;
        rows.into_iter().map(Receipt::try_from).collect()
    }
}

/// Notes that the sound of a recording that is over is another now.
pub(super) async fn changed(tx: &mut Tx, id: RecordingId) -> Result<()> {
    let sql = "UPDATE recordings SET unreceipted = unreceipted + 1 WHERE id = $1";
    run!(tx, "ask for a receipt", sql, id.0)?;
    Ok(())
}

pub(super) async fn insert(tx: &mut Tx, id: RecordingId, receipt: &Receipt) -> Result<()> {
    run!(
        tx,
        "keep the receipt",
        "INSERT INTO receipts (recording_id, number, sha256, body, root, chunks, signature,
                               public_key, made_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        id.0,
        i64::from(receipt.number),
        &receipt.sha256[..],
        &receipt.body,
        hex(&receipt.root),
        i64::from(receipt.chunks),
        receipt.signature.as_ref().map(|signature| signature.bytes.as_str()),
        receipt.signature.as_ref().map(|signature| signature.public_key.as_str()),
        receipt.made_at.0,
    )?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(bytes: Vec<u8>) -> Result<[u8; 32]> {
    let corrupt = |other: Vec<u8>| format!("SHA-256 of {} bytes", other.len());
    bytes.try_into().map_err(|other| Error::Corrupt { what: corrupt(other) })
}

fn root(text: &str) -> Result<[u8; 32]> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(digits).collect();
    let found = bytes.and_then(|bytes| bytes.try_into().ok());
    found.ok_or_else(|| Error::Corrupt { what: format!("root {text:?} of a receipt") })
}

#[derive(FromRow)]
struct Row {
    body: String,
    signature: Option<String>,
    #[sqlx(flatten)]
    brief: BriefRow,
}

#[derive(FromRow)]
struct BriefRow {
    number: i64,
    sha256: Vec<u8>,
    root: String,
    chunks: i64,
    public_key: Option<String>,
    made_at: i64,
}

impl TryFrom<BriefRow> for Brief {
    type Error = Error;

    fn try_from(row: BriefRow) -> Result<Self> {
        Ok(Self {
            number: number("number of a receipt", row.number)?,
            sha256: digest(row.sha256)?,
            root: root(&row.root)?,
            chunks: number("number of chunks", row.chunks)?,
            public_key: row.public_key,
            made_at: WallMicros(row.made_at),
        })
    }
}

impl TryFrom<Row> for Receipt {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let Brief { number, sha256, root, chunks, public_key, made_at } = row.brief.try_into()?;
        let signature = public_key.zip(row.signature);
        let signature = signature.map(|(public_key, bytes)| Signature { public_key, bytes });
        Ok(Self { number, sha256, body: row.body, root, chunks, signature, made_at })
    }
}
