//! Who asks: the operator, or nobody we know.
//!
//! With an operator token configured, the operator is whoever sends it as `Authorization: Bearer`.
//! Without one, whoever can reach the server is; [`crate::guard`] then keeps other web sites out.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use models::room::Viewer;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Code, Error};
use crate::state::App;

/// The operator's token, kept as its digest: comparing takes the same time for any length.
#[derive(Clone)]
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn new(plain: &str) -> Self {
        Self(Sha256::digest(plain).into())
    }

    fn matches(&self, given: &str) -> bool {
        self.0.ct_eq(&Self::new(given).0).into()
    }
}

/// Extractor: who asks. A wrong token is an error, not a stranger: its owner wants to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller(pub(crate) Viewer);

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        viewer(app.token.as_ref(), &parts.headers).map(Self)
    }
}

/// Extractor: lets the operator through only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator;

impl FromRequestParts<App> for Operator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        match viewer(app.token.as_ref(), &parts.headers)? {
            Viewer::Operator => Ok(Self),
            Viewer::Anyone => Err(challenge(Code::TokenRequired, "Send it as a bearer token.")),
        }
    }
}

fn viewer(token: Option<&Token>, headers: &HeaderMap) -> Result<Viewer, Error> {
    let Some(token) = token else {
        return Ok(Viewer::Operator);
    };
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return Ok(Viewer::Anyone);
    };
    match given.to_str().ok().and_then(bearer) {
        Some(given) if token.matches(given) => Ok(Viewer::Operator),
        _ => Err(challenge(Code::BadToken, "The token sent is not the operator's.")),
    }
}

/// The token of a `Bearer` credential (RFC 6750, section 2.1).
fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn challenge(code: Code, detail: &'static str) -> Error {
    let value = HeaderValue::from_static("Bearer realm=\"roomtape\"");
    Error::new(code, detail).with_header(header::WWW_AUTHENTICATE, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(token: Option<&str>, given: Option<&'static str>) -> Result<Viewer, Code> {
        let headers = given.map(|g| (header::AUTHORIZATION, HeaderValue::from_static(g)));
        viewer(token.map(Token::new).as_ref(), &HeaderMap::from_iter(headers)).map_err(|e| e.code)
    }

    #[test]
    fn only_the_token_makes_an_operator_where_there_is_one() {
        assert_eq!(asks(None, None), Ok(Viewer::Operator));
        assert_eq!(asks(Some("s3cret"), None), Ok(Viewer::Anyone));
        assert_eq!(asks(Some("s3cret"), Some("Bearer s3cret")), Ok(Viewer::Operator));
        assert_eq!(asks(Some("s3cret"), Some("bearer s3cret")), Ok(Viewer::Operator));
        for wrong in ["Bearer s3cre", "Bearer ", "Bearer s3cret2", "Basic s3cret", "s3cret"] {
            assert_eq!(asks(Some("s3cret"), Some(wrong)), Err(Code::BadToken), "{wrong}");
        }
    }
}
