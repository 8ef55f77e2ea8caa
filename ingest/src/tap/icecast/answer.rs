//! What a source is told.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::head::Version;
use crate::Refused;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// For the source and for the log.
    pub(super) text: String,
}

impl Answer {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub(super) fn bytes(&self, version: Version) -> Vec<u8> {
        let (name, extra) = match self.status {
            400 => ("Bad Request", ""),
            401 => ("Unauthorized", "WWW-Authenticate: Basic realm=\"Roomtape source\"\r\n"),
            403 => ("Forbidden", ""),
            404 => ("Not Found", ""),
            405 => ("Method Not Allowed", "Allow: PUT, SOURCE\r\n"),
            408 => ("Request Timeout", ""),
            431 => ("Request Header Fields Too Large", ""),
            507 => ("Insufficient Storage", "Retry-After: 60\r\n"),
            _ => ("Service Unavailable", "Retry-After: 2\r\n"),
        };
        let Self { status, text } = self;
        format!(
            "{} {status} {name}\r\n{extra}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{text}\n",
            protocol(version),
            text.len() + 1
        )
        .into_bytes()
    }
}

impl From<&Refused> for Answer {
    fn from(refused: &Refused) -> Self {
        let status = match refused {
            Refused::NotRecordable | Refused::Busy | Refused::Elsewhere(_) => 403,
            Refused::NoRoom => 404,
            Refused::NoRoomOnDisk => 507,
            Refused::Stopping | Refused::Storage { .. } => 503,
        };
        Self::new(status, refused.to_string())
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http11 => "HTTP/1.1",
        Version::Http10 => "HTTP/1.0",
    }
}

/// Tells a source to send.
pub(super) async fn welcome(
    stream: &mut TcpStream,
    version: Version,
    expects_continue: bool,
) -> std::io::Result<()> {
    // Both at once, as Icecast does: some sources wait for the first, some for the second.
    let first = if expects_continue { "HTTP/1.1 100 Continue\r\n\r\n" } else { "" };
    let ok = format!("{first}{} 200 OK\r\nConnection: close\r\n\r\n", protocol(version));
    stream.write_all(ok.as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_http() {
        let text = |answer: &Answer, version| String::from_utf8(answer.bytes(version)).unwrap();
        let denied = text(&Answer::new(401, "no"), Version::Http11);
        assert!(denied.starts_with("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="));
        assert!(denied.ends_with("Content-Length: 3\r\nConnection: close\r\n\r\nno\n"));
        let busy = text(&Answer::from(&Refused::Busy), Version::Http10);
        assert!(busy.starts_with("HTTP/1.0 403 Forbidden\r\n"));
        assert!(busy.contains("another source is sending"));
        let full = text(&Answer::from(&Refused::NoRoomOnDisk), Version::Http11);
        assert!(full.starts_with("HTTP/1.1 507 Insufficient Storage\r\nRetry-After"));
        let stopping = text(&Answer::from(&Refused::Stopping), Version::Http11);
        assert!(stopping.starts_with("HTTP/1.1 503 Service Unavailable\r\nRetry-After"));
    }
}
