//! Everything put together: endpoints, and what stands round them.

use std::any::Any;
use std::time::Duration;

use archive::store::Store;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use models::Db;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::trace::TraceLayer;
use tracing::{Level, Span};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::error::{Code, Error};
use crate::problem::{self, Problem};
use crate::state::App;
use crate::{Config, guard, headers, respond, routes};

/// Largest body of a request, in bytes: everything sent here is a small form.
const BODY_MAX: usize = 64 * 1024;
/// How long an answer may take to begin. The slowest one waits five seconds for ingest.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Texts below this many bytes are not worth compressing.
const COMPRESS_ABOVE: u64 = 512;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Roomtape",
        description = "Records live audio rooms, writes down what was said and plays it back with \
            the words in step.\n\nMedia time is given in whole milliseconds (`*_ms`), wall-clock \
            time as RFC 3339 (`*_at`). Every error is a problem document (RFC 9457) with a stable \
            `code`.\n\nWhere the server has an operator token, changes and recordings that are not \
            for everyone need it as a bearer token; what one may not hear answers like what does \
            not exist."
    ),
    components(schemas(Problem, Code)),
    tags(
        (name = "rooms", description = "What is recorded, and how."),
        (name = "recordings", description = "What was kept: found, started and ended."),
        (name = "sound", description = "HLS, and whole files."),
        (name = "words", description = "Transcripts and captions."),
        (name = "jobs", description = "Work under way, and what is transcribed again in bulk."),
        (name = "server", description = "The server itself.")
    ),
    modifiers(&Security)
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The operator's token, where the server has one."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("operator", SecurityScheme::Http(token));
    }
}

fn documented() -> (Router<App>, utoipa::openapi::OpenApi) {
    let document = Document::openapi();
    utoipa_axum::router::OpenApiRouter::with_openapi(document)
        .merge(routes::all())
        .split_for_parts()
}

/// The OpenAPI 3.1 document of the API, as indented JSON.
#[must_use]
pub fn openapi() -> String {
    let (_, document) = documented();
    document.to_pretty_json().expect("the document is made of strings and numbers")
}

/// The whole server, to be given to [`crate::serve`].
pub fn router(db: Db, store: Store, config: Config) -> Router {
    assemble(App::new(db, store, config, openapi()))
}

/// The endpoints and what stands round them.
pub(crate) fn assemble(app: App) -> Router {
    let (endpoints, _) = documented();
    endpoints
        .merge(routes::pages::routes())
        .merge(routes::docs::page())
        .fallback(async || Error::new(Code::NotFound, "The server has nothing at this address."))
        .method_not_allowed_fallback(async || {
            Error::new(Code::MethodNotAllowed, "The address exists, but not with this method.")
        })
        // Read from below: what stands last sees the request first.
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn(respond::preflight))
        .layer(from_fn_with_state(app.clone(), guard::check))
        .layer(from_fn(in_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(problem::render))
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(COMPRESS_ABOVE).and(is_text)))
        .layer(from_fn(headers::secure))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_request(())
                .on_response(log)
                .on_failure(()),
        )
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(from_fn(tame_request_id))
        .with_state(app)
}

/// Drops a request id of the client's that would not look well in a log.
async fn tame_request_id(mut request: Request, next: Next) -> Response {
    let name = HeaderName::from_static("x-request-id");
    let is_tame = |id: &HeaderValue| {
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(plain)
    };
    if !request.headers().get(&name).is_some_and(is_tame) {
        request.headers_mut().remove(&name);
    }
    next.run(request).await
}

/// Gives up on an answer that does not begin in time. Bodies may take as long as they are long.
async fn in_time(request: Request, next: Next) -> Response {
    let late = |_| Error::new(Code::Timeout, "Try again in a moment.").into_response();
    tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await.unwrap_or_else(late)
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Error::internal(std::io::Error::other(format!("handler panicked: {message}"))).into_response()
}

/// Only what is text gains by compression, and media must keep their ranges.
fn is_text(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|value| value.split(';').next()).unwrap_or_default();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || matches!(
            kind,
            "application/json"
                | "application/javascript"
                | "application/vnd.apple.mpegurl"
                | "application/x-subrip"
                | "image/svg+xml"
        )
}

/// Method and route, without the query: nothing in a log says what somebody searched for.
fn span(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>().map_or("(none)", MatchedPath::as_str);
    let id = request.extensions().get::<RequestId>();
    let id = id.and_then(|id| id.header_value().to_str().ok()).unwrap_or_default();
    tracing::span!(Level::INFO, "http", method = %request.method(), route, request_id = id)
}

fn log(response: &Response, took: Duration, span: &Span) {
    let _entered = span.enter();
    let status = response.status().as_u16();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(status, took_ms, "request answered");
}
