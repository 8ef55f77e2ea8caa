//! The pages: files of `web/`, embedded in the binary.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

use crate::conditional::ETag;
use crate::error::{Code, Error};
use crate::extract::Path;
use crate::state::App;

#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(index))
        .route("/recordings/{id}", get(recording))
        .route("/web/{*path}", get(asset))
}

async fn index(State(app): State<App>, asked: HeaderMap) -> Result<Response, Error> {
    file("index.html", &app, &asked)
}

/// One page for every recording: it reads its address and asks the API.
async fn recording(State(app): State<App>, asked: HeaderMap) -> Result<Response, Error> {
    file("recording.html", &app, &asked)
}

async fn asset(
    State(app): State<App>,
    Path(path): Path<String>,
    asked: HeaderMap,
) -> Result<Response, Error> {
    file(&path, &app, &asked)
}

/// A file of `web/`. Browsers ask each time whether it is still the same: a new binary's pages never
/// meet an old one's scripts.
fn file(path: &str, app: &App, asked: &HeaderMap) -> Result<Response, Error> {
    let file = Web::get(path)
        .ok_or_else(|| Error::new(Code::NotFound, "The server has no such page or file."))?;
    let hash = file.metadata.sha256_hash();
    let tag = ETag::of_file(&hash);
    let mut response = if tag.is_had_by(asked) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.data.into_owned().into_response()
    };
    for (name, value) in [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind(path))),
        (header::ETAG, tag.to_header()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, app.page_policy.clone()),
    ] {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// Media type by extension: those that `web/` holds.
fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
