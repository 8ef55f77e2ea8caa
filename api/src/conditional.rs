//! Conditional requests (RFC 9110, section 13): entity tags and what they are compared with.

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

/// An entity tag (RFC 9110, section 8.8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag {
    opaque: String,
    weak: bool,
}

impl ETag {
    /// A strong tag: the same bytes have the same tag. Characters that a tag may not hold are left
    /// out.
    #[must_use]
    pub fn strong(opaque: &str) -> Self {
        let legal = |c: &char| c.is_ascii_graphic() && *c != '"';
        Self { opaque: opaque.chars().filter(legal).collect(), weak: false }
    }

    /// The strong tag of an object whose SHA-256 is known.
    #[must_use]
    pub fn of_sha256(sha256: &[u8; 32]) -> Self {
        Self::strong(&hex(sha256))
    }

    /// The weak tag of a text that may be compressed on its way.
    #[must_use]
    pub fn of_text(text: &[u8]) -> Self {
        Self::of_file(&Sha256::digest(text).into())
    }

    /// The weak tag of what may be compressed on its way and whose SHA-256 is known.
    #[must_use]
    pub fn of_file(sha256: &[u8; 32]) -> Self {
        Self { opaque: hex(&sha256[..16]), weak: true }
    }

    /// As a header's value.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.to_string())
            .expect("a tag holds visible ASCII only, by construction")
    }

    /// Whether `If-None-Match` says that the client has this already (weak comparison).
    #[must_use]
    pub fn is_had_by(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|tag| {
                tag == "*" || opaque(tag.strip_prefix("W/").unwrap_or(tag)) == Some(&self.opaque)
            })
    }

    /// Whether `If-Range` lets a `Range` stand (section 13.1.5): absent, or strongly equal. A date
    /// never is, because nothing here has a modification date.
    #[must_use]
    pub fn lets_range_stand(&self, headers: &HeaderMap) -> bool {
        headers.get(header::IF_RANGE).is_none_or(|value| {
            !self.weak && value.to_str().ok().and_then(opaque) == Some(&self.opaque)
        })
    }
}

impl std::fmt::Display for ETag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let prefix = if self.weak { "W/" } else { "" };
        write!(f, "{prefix}\"{}\"", self.opaque)
    }
}

/// What stands between a tag's quotes.
fn opaque(tag: &str) -> Option<&str> {
    tag.strip_prefix('"')?.strip_suffix('"')
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_client_that_has_it_is_told_so() {
        let tag = ETag::strong("abc");
        for had in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert!(tag.is_had_by(&with(header::IF_NONE_MATCH, had)), "{had}");
        }
        for not in ["\"abcd\"", "abc", "", "\"x\", \"y\""] {
            assert!(!tag.is_had_by(&with(header::IF_NONE_MATCH, not)), "{not}");
        }
        assert!(!tag.is_had_by(&HeaderMap::new()));
    }

    #[test]
    fn a_range_stands_only_on_the_same_bytes() {
        let tag = ETag::strong("abc");
        assert!(tag.lets_range_stand(&HeaderMap::new()));
        assert!(tag.lets_range_stand(&with(header::IF_RANGE, "\"abc\"")));
        for not in ["W/\"abc\"", "\"abd\"", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert!(!tag.lets_range_stand(&with(header::IF_RANGE, not)), "{not}");
        }
        let weak = ETag::of_text(b"text");
        assert!(weak.to_string().starts_with("W/\""));
        let same = HeaderMap::from_iter([(header::IF_RANGE, weak.to_header())]);
        assert!(!weak.lets_range_stand(&same));
    }

    #[test]
    fn a_tag_never_breaks_its_header() {
        assert_eq!(ETag::strong("a\"\r\nb c").to_string(), "\"abc\"");
    }
}
