//! Rooms: made, read and changed.

use axum::Json as Out;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use models::room::{Audience, RecordingPolicy, SourceKey, Viewer};
use models::{Room, RoomId, WallMicros};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::auth::{Caller, Operator};
use crate::error::Error;
use crate::extract::{Json, Path};
use crate::problem::answers;
use crate::state::App;

/// A source away for longer than this ends the recording, unless the room says otherwise.
const GRACE_DEFAULT_MS: u64 = 30_000;
/// Ports below need privileges and belong to others.
const PORT_MIN: u16 = 1024;
/// Bounds of a source password that a person chose, in characters.
const KEY_CHARS: std::ops::RangeInclusive<usize> = 8..=128;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, change))
}

/// A room as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Room)]
pub struct RoomView {
    id: RoomId,
    /// Its name in addresses; also the Icecast mount.
    slug: String,
    title: String,
    host: String,
    /// Names and words that the transcriber is told; only the operator sees them.
    glossary: String,
    audience: Audience,
    policy: RecordingPolicy,
    /// UDP port of its RTP tap; only the operator sees it.
    rtp_port: Option<u16>,
    /// Whether an Icecast source may send to it.
    icecast: bool,
    /// A source away for longer than this ends the recording.
    grace_ms: u64,
    /// When it was made (RFC 3339).
    created_at: String,
}

impl RoomView {
    fn new(room: &Room, viewer: Viewer) -> Self {
        let shown = viewer == Viewer::Operator;
        Self {
            id: room.id,
            slug: room.slug.clone(),
            title: room.title.clone(),
            host: room.host.clone(),
            glossary: if shown { room.glossary.clone() } else { String::new() },
            audience: room.audience,
            policy: room.policy,
            rtp_port: room.rtp_port.filter(|_| shown),
            icecast: room.source_key.is_some(),
            grace_ms: room.grace_ms,
            created_at: room.created_at.to_rfc3339(),
        }
    }
}

/// The rooms.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rooms {
    items: Vec<RoomView>,
}

/// A room just made or changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomWithKey {
    #[serde(flatten)]
    room: RoomView,
    /// The password an Icecast source must give. Shown this once; only its hash is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_key: Option<String>,
}

/// A room to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoom {
    /// 1 to 64 lower-case letters, digits and inner dashes.
    slug: String,
    /// 1 to 200 characters.
    title: String,
    /// At most 200 characters.
    #[serde(default)]
    host: String,
    /// Names and words that are said in the room and that the transcriber would not guess, at most 1000
    /// characters, such as `Ada Lovelace, Roomtape, kWh`. The first ones count most.
    #[serde(default)]
    glossary: String,
    /// Who may listen; everyone where it is left out.
    #[serde(default = "everyone")]
    audience: Audience,
    /// When it is recorded; `auto` where it is left out.
    #[serde(default = "auto")]
    policy: RecordingPolicy,
    /// UDP port on which RTP is received, 1024 or above.
    rtp_port: Option<u16>,
    /// Password for an Icecast source, 8 to 128 characters; `auto`: one is made; empty or left out:
    /// no Icecast source.
    #[serde(default)]
    source_key: String,
    /// 1000 to 3600000; 30000 where it is left out.
    #[serde(default = "grace_default")]
    grace_ms: u64,
}

/// What is to change of a room; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomChange {
    title: Option<String>,
    host: Option<String>,
    glossary: Option<String>,
    audience: Option<Audience>,
    policy: Option<RecordingPolicy>,
    /// `null` takes the RTP tap away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u16>)]
    rtp_port: Option<Option<u16>>,
    /// As for a new room: `auto` makes a new one, an empty one takes the Icecast tap away.
    source_key: Option<String>,
    grace_ms: Option<u64>,
}

const fn everyone() -> Audience {
    Audience::Everyone
}

const fn auto() -> RecordingPolicy {
    RecordingPolicy::Auto
}

const fn grace_default() -> u64 {
    GRACE_DEFAULT_MS
}

/// Tells `null` from a field that is left out.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u16>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Lists the rooms that the asker may see, in the order they were made.
#[utoipa::path(
    get, path = "/api/rooms", operation_id = "listRooms", tag = "rooms", security((), ("operator" = [])),
    responses(
        (status = 200, description = "The rooms.", body = Rooms),
        answers::Unauthorized, answers::Failed
    )
)]
async fn list(State(app): State<App>, Caller(viewer): Caller) -> Result<Out<Rooms>, Error> {
    let rooms = app.db.rooms().await?;
    let seen = rooms.iter().filter(|room| room.audience.admits(viewer));
    Ok(Out(Rooms { items: seen.map(|room| RoomView::new(room, viewer)).collect() }))
}

/// Makes a room.
#[utoipa::path(
    post, path = "/api/rooms", operation_id = "makeRoom", tag = "rooms", security((), ("operator" = [])),
    request_body = NewRoom,
    responses(
        (status = 201, description = "The room, and its source password where it has one.",
         body = RoomWithKey, headers(("location" = String, description = "Address of the room."))),
        answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::Conflict,
        answers::TooLarge, answers::WrongContentType, answers::Invalid, answers::Failed
    )
)]
async fn create(
    State(app): State<App>,
    _: Operator,
    Json(new): Json<NewRoom>,
) -> Result<Response, Error> {
    let (source_key, plain) = key(&new.source_key)?.unzip();
    let room = Room {
        id: RoomId::new(),
        slug: new.slug,
        title: new.title,
        host: new.host,
        glossary: new.glossary,
        audience: new.audience,
        policy: new.policy,
        rtp_port: new.rtp_port,
        source_key,
        grace_ms: new.grace_ms,
        created_at: WallMicros::now(),
    };
    check(&room)?;
    app.db.create_room(&room).await?;
    tracing::info!(room = room.slug, "room made");
    let place = HeaderValue::from_str(&format!("/api/rooms/{}", room.slug))
        .expect("a slug holds lower-case letters, digits and dashes only");
    let shown = RoomWithKey { room: RoomView::new(&room, Viewer::Operator), source_key: plain };
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Out(shown)).into_response())
}

/// Reads a room.
#[utoipa::path(
    get, path = "/api/rooms/{slug}", operation_id = "readRoom", tag = "rooms", security((), ("operator" = [])),
    params(("slug" = String, Path, description = "The room's short name.")),
    responses(
        (status = 200, description = "The room.", body = RoomView),
        answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn read(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path(slug): Path<String>,
) -> Result<Out<RoomView>, Error> {
    let room = app.room(&slug, viewer).await?;
    Ok(Out(RoomView::new(&room, viewer)))
}

/// Changes a room.
#[utoipa::path(
    patch, path = "/api/rooms/{slug}", operation_id = "changeRoom", tag = "rooms", security((), ("operator" = [])),
    params(("slug" = String, Path, description = "The room's short name.")),
    request_body = RoomChange,
    responses(
        (status = 200, description = "The room as it is now, and its source password where it is new.",
         body = RoomWithKey),
        answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::Missing,
        answers::Conflict, answers::TooLarge, answers::WrongContentType, answers::Invalid,
        answers::Failed
    )
)]
async fn change(
    State(app): State<App>,
    _: Operator,
    Path(slug): Path<String>,
    Json(change): Json<RoomChange>,
) -> Result<Out<RoomWithKey>, Error> {
    let mut room = app.room(&slug, Viewer::Operator).await?;
    let mut plain = None;
    if let Some(text) = &change.source_key {
        (room.source_key, plain) = key(text)?.unzip();
    }
    room.title = change.title.unwrap_or(room.title);
    room.host = change.host.unwrap_or(room.host);
    room.glossary = change.glossary.unwrap_or(room.glossary);
    room.audience = change.audience.unwrap_or(room.audience);
    room.policy = change.policy.unwrap_or(room.policy);
    room.rtp_port = change.rtp_port.unwrap_or(room.rtp_port);
    room.grace_ms = change.grace_ms.unwrap_or(room.grace_ms);
    check(&room)?;
    app.db.update_room(&room).await?;
    tracing::info!(room = room.slug, "room changed");
    Ok(Out(RoomWithKey { room: RoomView::new(&room, Viewer::Operator), source_key: plain }))
}

fn check(room: &Room) -> Result<(), Error> {
    room.check()?;
    match room.rtp_port {
        Some(port) if port < PORT_MIN => Err(Error::invalid(format!(
            "the RTP port must be {PORT_MIN} or above; this one is {port}"
        ))),
        _ => Ok(()),
    }
}

/// What is kept of a source password and the password itself; `None` where there is to be none.
fn key(asked: &str) -> Result<Option<(SourceKey, String)>, Error> {
    let plain = match asked {
        "" => return Ok(None),
        "auto" => Uuid::new_v4().simple().to_string(),
        chosen => chosen.to_owned(),
    };
    let chars = plain.chars().count();
    if !KEY_CHARS.contains(&chars) || plain.chars().any(char::is_control) {
        let (least, most) = (KEY_CHARS.start(), KEY_CHARS.end());
        return Err(Error::invalid(format!(
            "the source key must have {least} to {most} characters, none of them a control \
             character; this one has {chars}"
        )));
    }
    let salt = Uuid::new_v4().into_bytes();
    Ok(Some((SourceKey::make(&plain, salt), plain)))
}
