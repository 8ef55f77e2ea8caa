//! Problem details (RFC 9457): the one shape of every answer that is an error, whoever made it.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tower_http::request_id::RequestId;
use utoipa::ToSchema;

use crate::error::{Code, Error};

/// An error as it is sent, with content type `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank#` and the code.
    #[serde(rename = "type")]
    #[schema(example = "about:blank#unknown_recording")]
    kind: String,
    /// A summary, the same for every occurrence.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// For programs: never changes.
    #[schema(value_type = Code)]
    code: Code,
    /// For people: about this occurrence.
    detail: String,
    /// With `words_changed`: what stands there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    there: Option<String>,
    /// Under which the server's log has this request; also the `x-request-id` header.
    request_id: String,
}

/// Middleware that writes the body of every error: ours, axum's and those of other services.
///
/// What failed inside is logged here once, with the request's id.
pub async fn render(request: Request, next: Next) -> Response {
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .and_then(|id| id.header_value().to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let error = parts.extensions.remove::<Error>().unwrap_or_else(|| foreign(status));
    if let Some(cause) = error.chain() {
        tracing::error!(request_id, route, code = error.code.as_str(), cause, "request failed");
    }
    let problem = Problem {
        kind: format!("about:blank#{}", error.code.as_str()),
        title: error.code.title(),
        status: status.as_u16(),
        code: error.code,
        detail: error.detail.into_owned(),
        there: error.there,
        request_id,
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = (parts, body).into_response();
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An error that a service below answered without our type.
fn foreign(status: StatusCode) -> Error {
    let code = match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        status if status.is_client_error() => Code::BadRequest,
        _ => Code::Internal,
    };
    Error::new(code, code.title())
}

/// Answers that the endpoints share in the OpenAPI document.
macro_rules! shared {
    ($($(#[doc = $text:literal])+ $name:ident = $status:literal;)+) => {$(
        $(#[doc = $text])+
        pub struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                use utoipa::openapi::{Content, Ref, ResponseBuilder};
                let content = Content::new(Some(Ref::from_schema_name("Problem")));
                let response = ResponseBuilder::new()
                    .description(concat!($($text),+).trim())
                    .content("application/problem+json", content)
                    .build();
                [($status.to_owned(), response.into())].into()
            }
        }
    )+};
}

/// The shared answers, one type for each, to be named in `responses(…)`.
pub mod answers {
    shared! {
        /// The body, the query or an identifier cannot be read: `bad_json`, `bad_query`, `bad_id`.
        Malformed = "400";
        /// The operator's token is missing or wrong: `token_required`, `bad_token`.
        Unauthorized = "401";
        /// Refused: `cross_origin`, `not_recordable`.
        Forbidden = "403";
        /// Not there, or not for the one who asks: `unknown_room`, `unknown_recording`,
        /// `unknown_chunk`, `unknown_job`, `unknown_batch`, `no_audio`, `no_transcript`,
        /// `no_receipt`, `unknown_edit`, `unknown_speaker`.
        Missing = "404";
        /// In conflict with what is: `conflict`, `already_recording`, `illegal_transition`,
        /// `job_state`, `batch_state`, `transcript_state`, `words_changed`, `edit_state`.
        Conflict = "409";
        /// The body is larger than 64 KiB: `too_large`.
        TooLarge = "413";
        /// The body is not declared as JSON: `wrong_content_type`.
        WrongContentType = "415";
        /// The range lies outside the file; `Content-Range` says how long it is:
        /// `range_not_satisfiable`.
        BadRange = "416";
        /// The server does not answer to that host name: `host_not_allowed`.
        Misdirected = "421";
        /// A field is missing, unknown or out of bounds: `invalid`.
        Invalid = "422";
        /// Something failed on the server: `internal`.
        Failed = "500";
        /// The process cannot do its work now, or not any more: `not_ready`.
        NotReady = "503";
        /// The disk of whoever would record is too full for a new recording: `no_space`.
        NoSpace = "507";
    }
}
