//! The sound of a recording: HLS, and the whole as one file.

use archive::concat::{Layout, Piece};
use archive::{Key, Store, wav};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use models::recording::State as Stage;
use models::room::Audience;
use models::{Chunk, Recording, RecordingId, Ticks, db};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::auth::Caller;
use crate::conditional::ETag;
use crate::error::{Code, Error};
use crate::extract::{Path, Query};
use crate::problem::answers;
use crate::range::{self, Asked};
use crate::respond::{self, cache, open_to, scope};
use crate::state::App;
use crate::{disposition, hls};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(playlist))
        .routes(routes!(init))
        .routes(routes!(chunk))
        .routes(routes!(mp4))
        .routes(routes!(wave))
}

/// How a file is to be handed over.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Handover {
    /// `1`: to be kept as a file rather than played in place.
    download: Option<u8>,
}

impl Handover {
    /// Whether it is to be kept as a file.
    pub(super) fn is_download(&self) -> bool {
        self.download.is_some_and(|n| n != 0)
    }
}

/// The HLS media playlist: `EVENT` while the recording is open, `VOD` after.
#[utoipa::path(
    get, path = "/api/recordings/{id}/playlist.m3u8", operation_id = "playlist", tag = "sound",
    security((), ("operator" = [])),
    params(("id" = RecordingId, Path, description = "The recording.")),
    responses(
        (status = 200, description = "The playlist.", body = String,
         content_type = "application/vnd.apple.mpegurl"),
        (status = 304, description = "The asker has it."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn playlist(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path(id): Path<RecordingId>,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let (recording, room) = app.recording(id, viewer).await?;
    if recording.state == Stage::Failed {
        return Err(no_audio());
    }
    let anchors = app.db.anchors(id).await?;
    let mut playlist =
        hls::Playlist::new(recording.state.is_open(), recording.started_at, &anchors);
    app.db.each_chunk(id, Ticks::ZERO, |chunk| playlist.push(&chunk)).await?;
    if playlist.is_empty() {
        return Err(no_audio());
    }
    let (kind, text) = ("application/vnd.apple.mpegurl", playlist.finish().into_bytes());
    let mut response = respond::text(&asked, kind, scope(room.audience), text);
    open_to(room.audience, response.headers_mut());
    Ok(response)
}

/// The CMAF header that the chunks need before them.
#[utoipa::path(
    get, path = "/api/recordings/{id}/init.mp4", operation_id = "init", tag = "sound",
    security((), ("operator" = [])),
    params(("id" = RecordingId, Path, description = "The recording.")),
    responses(
        (status = 200, description = "The header; it never changes.", body = [u8],
         content_type = "audio/mp4"),
        (status = 307, description = "Where the operator allows it: to be fetched from the object store, at an address that is good for a while."),
        (status = 304, description = "The asker has it."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn init(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path(id): Path<RecordingId>,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let (recording, room) = app.recording(id, viewer).await?;
    if recording.state == Stage::Failed {
        return Err(no_audio());
    }
    let key = Key::Init(id);
    if let Some(elsewhere) = &app.elsewhere {
        app.store.head(&key).await?.ok_or_else(no_audio)?;
        if let Some(answer) = elsewhere.object(&key, room.audience, None).await? {
            return Ok(answer);
        }
    }
    let bytes = app.store.get(&key, None).await.map_err(|error| match error {
        archive::store::Error::Missing(_) => no_audio(),
        other => other.into(),
    })?;
    let tag = ETag::of_sha256(&Sha256::digest(&bytes).into());
    Ok(object(&key, &tag, room.audience, &asked, bytes))
}

/// A chunk: an HLS media segment of about four seconds.
#[utoipa::path(
    get, path = "/api/recordings/{id}/chunks/{chunk}", operation_id = "chunk", tag = "sound",
    security((), ("operator" = [])),
    params(
        ("id" = RecordingId, Path, description = "The recording."),
        ("chunk" = String, Path, description = "Its name as in the playlist.", example = "12.m4s")
    ),
    responses(
        (status = 200, description = "The chunk; it never changes.", body = [u8],
         content_type = "audio/mp4"),
        (status = 307, description = "Where the operator allows it: to be fetched from the object store, at an address that is good for a while."),
        (status = 304, description = "The asker has it."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn chunk(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path((id, name)): Path<(RecordingId, String)>,
    method: Method,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let (recording, room) = app.recording(id, viewer).await?;
    let unknown = || Error::new(Code::UnknownChunk, "The recording has no such chunk.");
    let seq = sequence(&name).ok_or_else(unknown)?;
    if recording.state == Stage::Failed {
        return Err(no_audio());
    }
    let chunk = app.db.chunk(id, seq).await.map_err(|error| match error {
        db::Error::NotFound { .. } => unknown(),
        other => other.into(),
    })?;
    let key = Key::of(id, &chunk);
    let tag = ETag::of_sha256(&chunk.sha256);
    if method == Method::HEAD || tag.is_had_by(&asked) {
        let mut response = object(&key, &tag, room.audience, &asked, Bytes::new());
        if response.status() == StatusCode::OK {
            response.headers_mut().insert(header::CONTENT_LENGTH, chunk.bytes.into());
        }
        return Ok(response);
    }
    if let Some(elsewhere) = &app.elsewhere
        && let Some(answer) = elsewhere.object(&key, room.audience, None).await?
    {
        return Ok(answer);
    }
    let bytes = app.store.get(&key, None).await?;
    Ok(object(&key, &tag, room.audience, &asked, bytes))
}

/// The whole recording as one MP4 file with an index, for players and for keeping. Of a recording
/// that is still open, what is kept so far.
#[utoipa::path(
    get, path = "/api/recordings/{id}/audio.mp4", operation_id = "audioMp4", tag = "sound",
    security((), ("operator" = [])),
    params(
        ("id" = RecordingId, Path, description = "The recording."), Handover,
        ("range" = Option<String>, Header, description = "One range of bytes (RFC 9110, section 14).")
    ),
    responses(
        (status = 200, description = "The file.", body = [u8], content_type = "audio/mp4"),
        (status = 206, description = "The range asked for.", body = [u8],
         content_type = "audio/mp4"),
        (status = 307, description = "Where the operator allows it: to be fetched from the object store, at an address that is good for a while."),
        (status = 304, description = "The asker has it."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::BadRange,
        answers::Failed
    )
)]
async fn mp4(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path(id): Path<RecordingId>,
    Query(handover): Query<Handover>,
    method: Method,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let (recording, room) = app.recording(id, viewer).await?;
    let layout = Layout::new(recording.channels, &chunks(&app, &recording).await?);
    let len = layout.len();
    let tag = ETag::strong(&layout.etag());
    let mut headers = file_headers(&recording, room.audience, &tag, "mp4", &handover);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if tag.is_had_by(&asked) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let keeps = handover.is_download() && !recording.state.is_open() && method == Method::GET;
    if let Some(elsewhere) = app.elsewhere.as_ref().filter(|_| keeps)
        && let Some(key) = elsewhere.whole(id, &layout).await?
    {
        let name = headers.get(header::CONTENT_DISPOSITION);
        if let Some(answer) = elsewhere.object(&key, room.audience, name).await? {
            return Ok(answer);
        }
    }
    let wanted = asked.get(header::RANGE).filter(|_| method == Method::GET);
    let wanted = wanted.filter(|_| tag.lets_range_stand(&asked));
    // What is not even text cannot be a range.
    let wanted = wanted.map(|value| range::parse(value.to_str().unwrap_or_default(), len));
    let (status, part) = match wanted {
        None | Some(Asked::Whole) => (StatusCode::OK, 0..len),
        Some(Asked::Part(part)) => {
            let value = format!("bytes {}-{}/{len}", part.start, part.end - 1);
            headers.insert(header::CONTENT_RANGE, ascii(&value));
            (StatusCode::PARTIAL_CONTENT, part)
        }
        Some(Asked::Unsatisfiable) => {
            let detail = format!("The file has {len} bytes; a range looks like bytes=0-499.");
            return Err(Error::new(Code::RangeNotSatisfiable, detail)
                .with_header(header::CONTENT_RANGE, ascii(&format!("bytes */{len}"))));
        }
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/mp4"));
    headers.insert(header::CONTENT_LENGTH, (part.end - part.start).into());
    let body = Body::from_stream(pieces(app.store, id, layout.pieces(part), 1));
    Ok((status, headers, body).into_response())
}

/// The whole recording as WAV (48 kHz, 16 bit), decoded while it is sent.
#[utoipa::path(
    get, path = "/api/recordings/{id}/audio.wav", operation_id = "audioWav", tag = "sound",
    security((), ("operator" = [])),
    params(("id" = RecordingId, Path, description = "The recording."), Handover),
    responses(
        (status = 200, description = "The file.", body = [u8], content_type = "audio/wav"),
        (status = 304, description = "The asker has it."),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn wave(
    State(app): State<App>,
    Caller(viewer): Caller,
    Path(id): Path<RecordingId>,
    Query(handover): Query<Handover>,
    asked: HeaderMap,
) -> Result<Response, Error> {
    let (recording, room) = app.recording(id, viewer).await?;
    let chunks = chunks(&app, &recording).await?;
    let channels = recording.channels;
    let tag = Layout::new(channels, &chunks).etag();
    let tag = ETag::strong(&format!("{tag}-wav"));
    let mut headers = file_headers(&recording, room.audience, &tag, "wav", &handover);
    if tag.is_had_by(&asked) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let total: Ticks = chunks.iter().map(|chunk| chunk.duration).sum();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    headers.insert(header::CONTENT_LENGTH, wav::len(total, channels).into());
    let head = stream::iter([Ok(Bytes::from(wav::header(total, channels)))]);
    let samples = wav::stream(app.store, id, channels, chunks).inspect_err(move |error| {
        let error: &(dyn std::error::Error + 'static) = error;
        tracing::error!(recording = %id, error, "sending wav failed");
    });
    let body = Body::from_stream(head.chain(samples));
    Ok((headers, body).into_response())
}

/// The chunks of a recording that has sound to offer.
async fn chunks(app: &App, recording: &Recording) -> Result<Vec<Chunk>, Error> {
    if recording.state == Stage::Failed {
        return Err(no_audio());
    }
    let chunks = app.db.chunks(recording.id).await?;
    if chunks.is_empty() { Err(no_audio()) } else { Ok(chunks) }
}

fn no_audio() -> Error {
    Error::new(Code::NoAudio, "Nothing of this recording's sound is kept (yet).")
}

/// The sequence number in `12.m4s`, `00000012.m4s` or `12-3.m4s`. Whoever asks for a take that is gone
/// gets what has taken its place: it fills the same media time.
fn sequence(name: &str) -> Option<u32> {
    let name = name.strip_suffix(".m4s")?;
    let (digits, take) = name.split_once('-').unwrap_or((name, "0"));
    take.parse::<u32>().ok()?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// An object of the store as an answer; 304 where the asker has it.
fn object(key: &Key, tag: &ETag, audience: Audience, asked: &HeaderMap, bytes: Bytes) -> Response {
    let mut response = if tag.is_had_by(asked) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, key.content_type())], bytes).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag.to_header());
    headers.insert(header::CACHE_CONTROL, cache(scope(audience), key.cache_control()));
    open_to(audience, headers);
    response
}

/// What the answers for a whole file have in common, also without a body.
fn file_headers(
    recording: &Recording,
    audience: Audience,
    tag: &ETag,
    extension: &str,
    handover: &Handover,
) -> HeaderMap {
    let named = disposition::header(&recording.title, extension, handover.is_download());
    let mut headers = HeaderMap::from_iter([
        (header::ETAG, tag.to_header()),
        (header::CACHE_CONTROL, cache(scope(audience), "no-cache")),
        (header::CONTENT_DISPOSITION, named),
    ]);
    open_to(audience, &mut headers);
    headers
}

fn ascii(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("digits and ASCII punctuation")
}

/// The bytes of `pieces`, of which `ahead` are read before they are sent: memory is that of as many
/// chunks.
///
/// After an error the stream ends short of the announced length, so that the client knows.
pub(crate) fn pieces(
    store: Store,
    id: RecordingId,
    pieces: Vec<Piece>,
    ahead: usize,
) -> impl Stream<Item = Result<Bytes, archive::store::Error>> {
    let read = move |piece| {
        let store = store.clone();
        async move {
            match piece {
                Piece::Header(bytes) => Ok(bytes),
                Piece::Chunk { seq, take, range } => {
                    store.get(&Key::Chunk(id, seq, take), Some(range)).await
                }
            }
        }
    };
    stream::iter(pieces).map(read).buffered(ahead).inspect_err(move |error| {
        let error: &(dyn std::error::Error + 'static) = error;
        tracing::error!(recording = %id, error, "sending mp4 failed");
    })
}
