//! Answers that several groups give: tagged texts, and what other web sites may read.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use models::room::{Audience, Viewer};
use serde::Serialize;

use crate::conditional::ETag;
use crate::error::Error;

/// Who besides the asker may keep an answer.
#[must_use]
pub(crate) fn scope(audience: Audience) -> &'static str {
    if audience.admits(Viewer::Anyone) { "public" } else { "private" }
}

/// Lets pages of other origins read the answer (podcast players run in them), where it is for
/// everyone anyway.
pub(crate) fn open_to(audience: Audience, headers: &mut HeaderMap) {
    if !audience.admits(Viewer::Anyone) {
        return;
    }
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "accept-ranges, content-length, content-range, etag",
        ),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A text with its tag, or 304 where the asker has it. It is to be asked for again each time.
pub(crate) fn text(asked: &HeaderMap, kind: &'static str, scope: &str, body: Vec<u8>) -> Response {
    let tag = ETag::of_text(&body);
    let mut response = if tag.is_had_by(asked) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, kind)], body).into_response()
    };
    response.headers_mut().insert(header::ETAG, tag.to_header());
    response.headers_mut().insert(header::CACHE_CONTROL, cache(scope, "no-cache"));
    response
}

/// JSON with its tag, or 304 where the asker has it, so that a page may ask again and again.
///
/// # Errors
/// [`crate::error::Code::Internal`] where it cannot be written as JSON.
pub(crate) fn json(
    asked: &HeaderMap,
    scope: &str,
    value: &impl Serialize,
) -> Result<Response, Error> {
    let body = serde_json::to_vec(value).map_err(Error::internal)?;
    Ok(text(asked, "application/json", scope, body))
}

/// A `Cache-Control` of `scope` and what else is said.
pub(crate) fn cache(scope: &str, rest: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("{scope}, {rest}")).expect("both are ASCII literals")
}

/// Middleware that answers a browser's question whether a page of another origin may read a
/// recording (CORS preflight). Reading changes nothing, and what may be read is decided by the
/// answer itself ([`open_to`]); changes and tokens are not allowed across origins.
pub(crate) async fn preflight(request: Request, next: Next) -> Response {
    let wants = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let reads = wants.is_some_and(|method| method == "GET" || method == "HEAD");
    let is_recording = request.uri().path().starts_with("/api/recordings/");
    if request.method() != Method::OPTIONS || !reads || !is_recording {
        return next.run(request).await;
    }
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "range, if-range, if-none-match"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
