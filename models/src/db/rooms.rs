//! Rooms.

use sqlx::FromRow;
use uuid::Uuid;

use super::code::{Code, int, number, text};
use super::engine::Tx;
use super::{Change, Db, Error, Result};
use crate::id::RoomId;
use crate::room::{Audience, RecordingPolicy, Room, SourceKey};
use crate::time::WallMicros;

const NOT_FOUND: Error = Error::NotFound { what: "room" };

impl Db {
    /// Makes a room.
    ///
    /// # Errors
    /// [`Error::Conflict`] where its slug or its RTP port is another room's.
    pub async fn create_room(&self, room: &Room) -> Result<()> {
        let step = "make the room";
        let mut tx = self.begin(step).await?;
        refuse_taken(&mut tx, room).await?;
        run!(
            tx,
            step,
            "INSERT INTO rooms (id, slug, title, host, audience, policy, rtp_port, source_key,
                                grace_ms, created_at, glossary)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            room.id.0,
            text(&room.slug),
            text(&room.title),
            text(&room.host),
            room.audience.code(),
            room.policy.code(),
            room.rtp_port.map(i64::from),
            room.source_key.as_ref().map(|key| &key.0),
            int(room.grace_ms),
            room.created_at.0,
            text(&room.glossary),
        )?;
        tx.note(Change::Room(room.id));
        tx.commit().await
    }

    /// Replaces every field of a room but its identifier and when it was made.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where its slug or its RTP port is another room's.
    pub async fn update_room(&self, room: &Room) -> Result<()> {
        let step = "edit the room";
        let mut tx = self.begin(step).await?;
        refuse_taken(&mut tx, room).await?;
        let touched = run!(
            tx,
            step,
            "UPDATE rooms
             SET slug = $2, title = $3, host = $4, audience = $5, policy = $6, rtp_port = $7,
                 source_key = $8, grace_ms = $9, glossary = $10
             WHERE id = $1",
            room.id.0,
            text(&room.slug),
            text(&room.title),
            text(&room.host),
            room.audience.code(),
            room.policy.code(),
            room.rtp_port.map(i64::from),
            room.source_key.as_ref().map(|key| &key.0),
            int(room.grace_ms),
            text(&room.glossary),
        )?;
        if touched == 0 {
            return Err(NOT_FOUND);
        }
        tx.note(Change::Room(room.id));
        tx.commit().await
    }

    /// The room with this identifier.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn room(&self, id: RoomId) -> Result<Room> {
        let row: Option<Row> =
            one!(self.pools, "read the room", "SELECT * FROM rooms WHERE id = $1", id.0)?;
        row.ok_or(NOT_FOUND)?.try_into()
    }

    /// The room with this slug.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn room_by_slug(&self, slug: &str) -> Result<Room> {
        let row: Option<Row> =
            one!(self.pools, "find the room", "SELECT * FROM rooms WHERE slug = $1", text(slug))?;
        row.ok_or(NOT_FOUND)?.try_into()
    }

    /// All rooms, the oldest first.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn rooms(&self) -> Result<Vec<Room>> {
        let rows: Vec<Row> =
            all!(self.pools, "list the rooms", "SELECT * FROM rooms ORDER BY created_at, id")?;
        rows.into_iter().map(Room::try_from).collect()
    }
}

/// The room as the transaction sees it, and nobody else's to change until that ends: nobody forbids
/// to record it while a recording is being made. To be called before any recording is locked.
pub(super) async fn room_within(tx: &mut Tx, id: RoomId) -> Result<Room> {
    let row: Option<Row> = locked!(tx, "read the room", "SELECT * FROM rooms WHERE id = $1", id.0)?;
    row.ok_or(NOT_FOUND)?.try_into()
}

/// Says which of a room's unique fields another room has. An engine's own refusal does not tell.
async fn refuse_taken(tx: &mut Tx, room: &Room) -> Result<()> {
    let others: Vec<(String, Option<i64>)> = all!(
        tx,
        "look for rooms of the same name",
        "SELECT slug, rtp_port FROM rooms WHERE id <> $1 AND (slug = $2 OR rtp_port = $3)",
        room.id.0,
        text(&room.slug),
        room.rtp_port.map(i64::from),
    )?;
    if others.iter().any(|(slug, _)| *slug == room.slug) {
        return Err(Error::conflict(format!("another room has the slug {}", room.slug)));
    }
    match (others.first(), room.rtp_port) {
        (Some((slug, _)), Some(port)) => {
            Err(Error::conflict(format!("the room {slug} has the RTP port {port}")))
        }
        _ => Ok(()),
    }
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    slug: String,
    title: String,
    host: String,
    audience: String,
    policy: String,
    rtp_port: Option<i64>,
    source_key: Option<String>,
    grace_ms: i64,
    glossary: String,
    created_at: i64,
}

impl TryFrom<Row> for Room {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: RoomId(row.id),
            slug: row.slug,
            title: row.title,
            host: row.host,
            glossary: row.glossary,
            audience: Audience::parse(&row.audience)?,
            policy: RecordingPolicy::parse(&row.policy)?,
            rtp_port: row.rtp_port.map(|port| number("RTP port", port)).transpose()?,
            source_key: row.source_key.map(SourceKey),
            grace_ms: number("grace time", row.grace_ms)?,
            created_at: WallMicros(row.created_at),
        })
    }
}
