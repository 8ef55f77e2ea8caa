//! Keeps other web sites from using the operator's browser, where no token is configured.
//!
//! Two attacks reach a server that trusts whoever can connect: a foreign page that sends a form or a
//! `fetch` here (cross-site request forgery), and a foreign name made to resolve to this address (DNS
//! rebinding), which lets its page read answers too. The first is known by `Sec-Fetch-Site` and
//! `Origin`, the second by `Host`. With a token configured neither can do harm: a foreign page does
//! not have it.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::{Code, Error};
use crate::state::App;

/// Middleware that refuses requests a foreign page may have made.
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    // A balancer asks for signs of life by whatever address it has; they tell nothing.
    let is_sign = matches!(request.uri().path(), "/healthz" | "/readyz");
    if app.token.is_none() && !is_sign {
        let verdict = judge(request.method(), request.uri(), request.headers(), &app.allowed_hosts);
        if let Err(error) = verdict {
            return error.into_response();
        }
    }
    next.run(request).await
}

fn judge(method: &Method, uri: &Uri, headers: &HeaderMap, allowed: &[String]) -> Result<(), Error> {
    let host = authority(uri, headers).filter(|host| is_ours(host.host(), allowed));
    let Some(host) = host else {
        let detail = "Without an operator token this server answers to localhost and to the hosts \
                      in its configuration (allowed_hosts) only.";
        return Err(Error::new(Code::HostNotAllowed, detail));
    };
    if method.is_safe() || is_same_origin(&host, headers) {
        return Ok(());
    }
    let detail = "Changes are accepted from this server's own pages and from programs only.";
    Err(Error::new(Code::CrossOrigin, detail))
}

/// What the request calls the server: HTTP/2 says it in the URI, HTTP/1.1 in `Host`.
fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let header = || headers.get(header::HOST)?.to_str().ok()?.parse().ok();
    uri.authority().cloned().or_else(header)
}

fn is_ours(host: &str, allowed: &[String]) -> bool {
    let is = |name: &str| host.eq_ignore_ascii_case(name);
    is("localhost") || is("127.0.0.1") || is("[::1]") || allowed.iter().any(|name| is(name))
}

/// Whether a change comes from our own page, or from a program (which sends neither header).
fn is_same_origin(host: &Authority, headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let origin = origin.to_str().ok().and_then(|o| o.parse::<Uri>().ok());
    origin.and_then(|o| o.authority().cloned()).is_some_and(|o| o == *host)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn judged(method: Method, pairs: &[(&'static str, &'static str)]) -> Option<Code> {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers = HeaderMap::from_iter(pairs.iter().map(pair));
        let allowed = ["tape.example".to_owned()];
        judge(&method, &Uri::from_static("/api/rooms"), &headers, &allowed).err().map(|e| e.code)
    }

    #[test]
    fn only_names_that_are_ours_are_answered_to() {
        for ours in ["localhost", "LOCALHOST:8090", "127.0.0.1:8090", "[::1]:8090", "tape.example"]
        {
            assert_eq!(judged(Method::GET, &[("host", ours)]), None, "{ours}");
        }
        for foreign in
            ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "tape.example.org"]
        {
            assert_eq!(
                judged(Method::GET, &[("host", foreign)]),
                Some(Code::HostNotAllowed),
                "{foreign}"
            );
        }
        assert_eq!(judged(Method::GET, &[]), Some(Code::HostNotAllowed));
    }

    #[test]
    fn changes_come_from_our_pages_and_from_programs_only() {
        let host = ("host", "localhost:8090");
        let post =
            |more: &[(&'static str, &'static str)]| judged(Method::POST, &[&[host], more].concat());
        assert_eq!(post(&[]), None);
        assert_eq!(post(&[("origin", "http://localhost:8090")]), None);
        assert_eq!(
            post(&[("origin", "http://localhost:8090"), ("sec-fetch-site", "same-origin")]),
            None
        );
        for foreign in [
            ("origin", "http://evil.example"),
            ("origin", "http://localhost:3000"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(post(&[foreign]), Some(Code::CrossOrigin), "{foreign:?}");
            assert_eq!(judged(Method::GET, &[host, foreign]), None, "reading is not a change");
        }
    }
}
