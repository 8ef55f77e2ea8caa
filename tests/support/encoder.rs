//! An Icecast source that sends Ogg Opus, a page a packet, and is there again as soon as it can.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ogg::{PacketWriteEndInfo, PacketWriter};

/// How long a server may take to let it in.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(100);
/// A page every so many samples.
const PACKET: u64 = 960;

pub struct Encoder {
    server: SocketAddr,
    head: String,
    stream: Option<Stream>,
    tried: Option<Instant>,
}

/// A connection and the Ogg stream in it.
struct Stream {
    connection: TcpStream,
    pages: PacketWriter<'static, Vec<u8>>,
    granule: u64,
}

impl Encoder {
    pub fn new(server: SocketAddr, slug: &str, key: &str) -> Self {
        let login = STANDARD.encode(format!("source:{key}"));
        let head = format!(
            "PUT /{slug} HTTP/1.1\r\nHost: {server}\r\nAuthorization: Basic {login}\r\n\
             Content-Type: audio/ogg\r\nUser-Agent: crowd\r\n\r\n"
        );
        Self { server, head, stream: None, tried: None }
    }

    /// Whether the server has not hung up.
    pub fn is_connected(&mut self) -> bool {
        let there = |stream: &Stream| stream.is_open().unwrap_or(false);
        if !self.stream.as_ref().is_some_and(there) {
            self.stream = None;
        }
        self.stream.is_some()
    }

    /// Tries to connect, unless that was just tried; whether it is.
    pub fn connect(&mut self) -> bool {
        if self.tried.is_none_or(|tried| tried.elapsed() >= TRY_EVERY) {
            self.stream = Stream::open(self.server, &self.head).ok();
            self.tried = Some(Instant::now());
        }
        self.stream.is_some()
    }

    /// Sends a packet; whether the server's socket took it.
    pub fn send(&mut self, packet: &[u8]) -> bool {
        let sent = self.stream.as_mut().is_some_and(|stream| stream.send(packet).is_ok());
        sent && self.is_connected()
    }

    /// Hangs up.
    pub fn leave(&mut self) {
        self.stream = None;
    }
}

impl Stream {
    fn open(server: SocketAddr, head: &str) -> io::Result<Self> {
        let mut connection = TcpStream::connect_timeout(&server, ANSWER_WITHIN)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(ANSWER_WITHIN))?;
        connection.set_write_timeout(Some(ANSWER_WITHIN))?;
        connection.write_all(head.as_bytes())?;
        let mut answer = [0; 64];
        let length = connection.read(&mut answer)?;
        if !String::from_utf8_lossy(&answer[..length]).contains(" 200") {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let pages = PacketWriter::new(Vec::new());
        let mut stream = Self { connection, pages, granule: 0 };
        // Mono, no pre-skip, 48 kHz, no gain; who made it, and no comments.
        stream.page(b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0")?;
        stream.page(b"OpusTags\x05\0\0\0crowd\0\0\0\0")?;
        Ok(stream)
    }

    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.granule += PACKET;
        self.page(packet)
    }

    fn page(&mut self, packet: &[u8]) -> io::Result<()> {
        let end = PacketWriteEndInfo::EndPage;
        self.pages.write_packet(packet.to_vec(), 1, end, self.granule)?;
        let pages = std::mem::take(self.pages.inner_mut());
        self.connection.write_all(&pages)
    }

    fn is_open(&self) -> io::Result<bool> {
        self.connection.set_nonblocking(true)?;
        let peeked = self.connection.peek(&mut [0]);
        self.connection.set_nonblocking(false)?;
        match peeked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            // An answer, of which nothing is expected.
            Ok(read) => Ok(read > 0),
            Err(error) => Err(error),
        }
    }
}
