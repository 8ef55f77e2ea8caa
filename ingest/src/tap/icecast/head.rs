//! The head of a source's request, as a value: bytes in, a head or a refusal out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::body::Framing;

/// Longest head: twice what nginx and Apache take, so that no sane client comes near it.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most header fields.
const MAX_FIELDS: usize = 64;
/// Longest piece of text kept from a field that only people read, in characters.
const MAX_TEXT_CHARS: usize = 120;

/// What the bytes received so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// Not a whole head yet.
    Incomplete,
    /// A head; the body begins `length` bytes in.
    Head {
        /// What it says.
        head: Head,
        /// Its size.
        length: usize,
    },
    /// None, and more bytes will not make it one.
    Bad {
        /// The HTTP status to answer with.
        status: u16,
        /// Why, for the answer and the log.
        reason: &'static str,
    },
}

/// What a source asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `PUT` (since Icecast 2.4), `SOURCE` (before), or something that is refused.
    pub method: Method,
    /// The protocol's version, which the answer repeats.
    pub version: Version,
    /// The mount: the path without its first slash and without a query.
    pub mount: String,
    /// Who it says it is.
    pub login: Option<Login>,
    /// The media type, in lower case and without parameters.
    pub content_type: Option<String>,
    /// Whether it waits for `100 Continue` before it sends.
    pub expects_continue: bool,
    /// How its body ends.
    pub framing: Framing,
    /// Its program.
    pub agent: Option<String>,
    /// What it calls its stream (`ice-name`).
    pub name: Option<String>,
    /// Channels, where `ice-audio-info` has them.
    pub channels: Option<u8>,
}

/// The request's method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// HTTP's own.
    Put,
    /// Icecast's older one.
    Source,
    /// Anything else.
    Other,
}

/// The version in the request line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http11,
    /// HTTP/1.0 and ICE/1.0: no chunks, no `Expect`, as far as the standard goes.
    Http10,
}

/// Basic credentials (RFC 7617). The password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Usually `source`.
    pub user: String,
    /// The source key.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Head {
    /// Reads a head from all bytes received so far. The answer for a head that is complete does not
    /// depend on what follows it.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Parsed {
        // A TLS hello or line noise is told at once: every method begins with a capital letter.
        if bytes.first().is_some_and(|first| !first.is_ascii_uppercase()) {
            return Parsed::Bad { status: 400, reason: "this is not HTTP" };
        }
        let within = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
        let Some(length) = end(within) else {
            return if bytes.len() < MAX_HEAD_BYTES {
                Parsed::Incomplete
            } else {
                Parsed::Bad { status: 431, reason: "the head is longer than 16 KiB" }
            };
        };
        match read(&bytes[..length]) {
            Ok(head) => Parsed::Head { head, length },
            Err((status, reason)) => Parsed::Bad { status, reason },
        }
    }
}

/// Where the empty line ends that ends a head.
fn end(bytes: &[u8]) -> Option<usize> {
    let mut lines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let mut last = lines.next()?;
    for at in lines {
        if matches!(&bytes[last + 1..at], b"" | b"\r") {
            return Some(at + 1);
        }
        last = at;
    }
    None
}

type Refusal = (u16, &'static str);

fn read(bytes: &[u8]) -> Result<Head, Refusal> {
    let line_end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len() - 1);
    let (line, rest) = bytes.split_at(line_end + 1);
    let (method, mount, version) = request_line(line)?;
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let fields = match httparse::parse_headers(rest, &mut fields) {
        Ok(httparse::Status::Complete((length, fields))) if length == rest.len() => fields,
        Err(httparse::Error::TooManyHeaders) => {
            return Err((431, "there are too many header fields"));
        }
        _ => return Err((400, "a header field cannot be read")),
    };
    let mut head = Head {
        method,
        version,
        mount,
        login: None,
        content_type: None,
        expects_continue: false,
        framing: Framing::Endless,
        agent: None,
        name: None,
        channels: None,
    };
    let (mut chunked, mut length) = (false, None);
    for field in fields {
        let value = field.value.trim_ascii();
        match field.name.to_ascii_lowercase().as_str() {
            "authorization" => head.login = login(value),
            "content-type" => head.content_type = media_type(value),
            "expect" => head.expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
            "user-agent" => head.agent = text(value),
            "ice-name" => head.name = text(value),
            "ice-audio-info" => head.channels = channels(value),
            "transfer-encoding" if value.eq_ignore_ascii_case(b"chunked") => chunked = true,
            "transfer-encoding" => return Err((400, "the transfer encoding must be chunked")),
            "content-length" => {
                let stated = decimal(value).ok_or((400, "the content length is no number"))?;
                if length.replace(stated).is_some_and(|other| other != stated) {
                    return Err((400, "there are two content lengths"));
                }
            }
            _ => {}
        }
    }
    head.framing = match (chunked, length) {
        // Whoever sends both is confused or wants two readers to disagree (RFC 9112, section 6.1).
        (true, Some(_)) => return Err((400, "there are a content length and chunks")),
        (true, None) => Framing::Chunked,
        (false, None) => Framing::Endless,
        (false, Some(length)) => Framing::Length(length),
    };
    Ok(head)
}

/// `PUT /mount HTTP/1.1`, `SOURCE /mount ICE/1.0`, `SOURCE /mount HTTP/1.0`.
fn request_line(line: &[u8]) -> Result<(Method, String, Version), Refusal> {
    const BAD: Refusal = (400, "the request line cannot be read");
    let line = std::str::from_utf8(line.trim_ascii_end()).map_err(|_| BAD)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BAD);
    };
    let version = match version {
        "HTTP/1.1" => Version::Http11,
        "HTTP/1.0" | "ICE/1.0" => Version::Http10,
        _ => return Err((400, "the version must be HTTP/1.1, HTTP/1.0 or ICE/1.0")),
    };
    let path = target.strip_prefix('/').ok_or((400, "the mount must begin with a slash"))?;
    let mount = path.split('?').next().unwrap_or_default();
    if mount.chars().any(char::is_control) {
        return Err(BAD);
    }
    let method = match method {
        "PUT" => Method::Put,
        "SOURCE" => Method::Source,
        other if other.bytes().all(|byte| byte.is_ascii_uppercase()) => Method::Other,
        _ => return Err(BAD),
    };
    Ok((method, mount.to_owned(), version))
}

fn login(value: &[u8]) -> Option<Login> {
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim_ascii()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Login { user: user.to_owned(), password: password.to_owned() })
}

fn media_type(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let bare = text.split(';').next().unwrap_or_default().trim();
    (!bare.is_empty()).then(|| bare.to_ascii_lowercase())
}

/// Text for people: printable, and not too long.
fn text(value: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(value);
    let kept: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT_CHARS).collect();
    (!kept.is_empty()).then_some(kept)
}

/// Channels out of `channels=2;samplerate=44100` or `ice-channels=2;...`.
fn channels(value: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(value).ok()?;
    let mut pairs = text.split([';', '&']).filter_map(|pair| pair.split_once('='));
    let (_, count) =
        pairs.find(|(name, _)| name.trim().trim_start_matches("ice-") == "channels")?;
    count.trim().parse().ok().filter(|count| (1..=2).contains(count))
}

fn decimal(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests;
