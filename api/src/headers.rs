//! Headers that keep browsers safe, on every answer.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// What a page may load: only what this server serves. `blob:` is how a page hands live sound to its
/// own player (MediaSource).
pub(crate) const PAGE_POLICY: &str = "default-src 'self'; media-src 'self' blob:; \
    img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";

/// [`PAGE_POLICY`], for pages whose sound comes from `origin` as well.
pub(crate) fn page_policy(origin: Option<&str>) -> HeaderValue {
    let Some(origin) = origin else { return HeaderValue::from_static(PAGE_POLICY) };
    let media = format!("connect-src 'self' {origin}; media-src 'self' {origin} blob:");
    let policy = PAGE_POLICY.replace("media-src 'self' blob:", &media);
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(PAGE_POLICY))
}

/// Swagger UI sets styles from its script.
pub(crate) const DOCS_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// What is data is never to act as a page.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Middleware that adds each header where the handler did not set it.
pub(crate) async fn secure(request: Request, next: Next) -> Response {
    let is_docs = request.uri().path().starts_with("/api/docs");
    let mut response = next.run(request).await;
    // An answer that says nothing of caches is of the moment, or holds a key shown once.
    let (policy, cache) =
        if is_docs { (DOCS_POLICY, "no-cache") } else { (DATA_POLICY, "no-store") };
    for (name, value) in [
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
