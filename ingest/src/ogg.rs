//! Ogg Opus (RFC 7845): packets out of a stream or a file, as they came.
//!
//! [`Demuxer`] takes bytes in any portions. Each packet keeps its bytes and takes the media time
//! that its TOC announces; pre-skip is left in (media time begins with the first packet, see
//! [`tap`](crate::tap)), and the end is trimmed by shortening the last packet's stored duration. A
//! new `OpusHead` (a chained stream, as radio automation sends one for each song) goes on in the
//! same media time. A page that is lost or whose checksum is wrong costs its packets: the granule
//! position of the next page says how much media time that was.
//!
//! Only what every browser and RTP hears is read: channel mapping family 0, one or two channels. The
//! header's output gain is not carried over; encoders in use write 0.

mod head;
mod page;
#[cfg(test)]
mod tests;

use archive::Packet;
use bytes::{Bytes, BytesMut};
use models::{GapCause, Ticks};

pub use self::head::Head;
use self::head::{OPUS_HEAD, codec, parse_head};
use self::page::{CAPTURE, Found, Page, Pages};
use crate::bounds::Credit;
use crate::tap::Event;

/// Enough of a stream's beginning to tell what it carries: several codecs' first pages.
pub const SNIFF_BYTES: usize = 512;
/// This many bytes without a readable page, and it is no Ogg stream: twice the largest page.
const MAX_JUNK_BYTES: usize = 128 * 1024;
/// So many broken pages in a row, and it is no Ogg stream any more.
const MAX_TORN_PAGES: usize = 64;
/// Bytes of broken pages that are checked whatever comes, and for each byte that comes. A few bytes can
/// claim a page of 64 KiB, and the next few another one in the same place: nobody may ask for that
/// work with every byte, nor by whole pages between the broken ones.
const CHECKED_FREE: usize = 1024 * 1024;
const CHECKED_PER_BYTE: usize = 4;
/// Longest packet worth keeping: 48 frames of 1275 bytes and their lengths (RFC 6716, section 3.2.5).
const MAX_PACKET_BYTES: usize = 64 * 1024;
/// A jump of the granule position without a lost page is believed from this length on; encoders
/// that round their input's timestamps wander by less.
const MIN_JUMP: u64 = Ticks::from_millis(120).0;
/// Longer jumps are a broken clock, not lost audio.
const MAX_JUMP: u64 = Ticks::from_secs(600).0;

/// Why a stream cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No page, or none for a long time.
    #[error("no readable Ogg page in {0} bytes")]
    NotOgg(usize),
    /// Page after page is broken.
    #[error("too many broken Ogg pages")]
    Broken,
    /// It begins in the middle.
    #[error("the Ogg stream's first page is missing")]
    NoBeginning,
    /// It carries something else.
    #[error("the Ogg stream carries {0}, not Opus")]
    NotOpus(&'static str),
    /// The identification header cannot be read.
    #[error("the Opus header is {0}")]
    Head(&'static str),
    /// Surround sound and the like.
    #[error(
        "Opus with {channels} channels in mapping family {family} is not supported: send 1 or 2"
    )]
    Channels {
        /// Channels announced.
        channels: u8,
        /// Channel mapping family (RFC 7845, section 5.1.1).
        family: u8,
    },
    /// It ended before its first audio packet.
    #[error("the Ogg stream ends before any audio")]
    NoAudio,
}

/// Whether a stream that begins with `prefix` ([`SNIFF_BYTES`] of it, or all there is) is for this
/// demuxer: Ogg that announces Opus.
#[must_use]
pub fn is_opus(prefix: &[u8]) -> bool {
    prefix.starts_with(CAPTURE) && prefix.windows(OPUS_HEAD.len()).any(|at| at == OPUS_HEAD)
}

const OPUS_TAGS: &[u8] = b"OpusTags";

/// Reads an Ogg Opus stream from bytes in any portions.
pub struct Demuxer {
    pages: Pages,
    junk: usize,
    torn: usize,
    /// Bytes of broken pages that may still be checked.
    checks: usize,
    credit: Credit,
    other: Option<&'static str>,
    stream: Option<Stream>,
    any_audio: bool,
    cut: bool,
    failed: Option<Error>,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self {
            pages: Pages::default(),
            junk: 0,
            torn: 0,
            checks: CHECKED_FREE,
            credit: Credit::default(),
            other: None,
            stream: None,
            any_audio: false,
            cut: false,
            failed: None,
        }
    }
}

/// The logical stream being read.
struct Stream {
    head: Head,
    serial: u32,
    next_page: Option<u32>,
    /// Whether its comment header has been passed.
    tagged: bool,
    ended: bool,
    /// The packet that goes on with the next page.
    partial: BytesMut,
    /// The packet that goes on with the next page is not wanted.
    dropping: bool,
    /// Granule position at the end of what was handed on.
    position: Option<u64>,
    /// Packets were lost since then.
    lost: Option<GapCause>,
}

impl Demuxer {
    /// The header of the stream being read, once it has been.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.stream.as_ref().map(|stream| stream.head)
    }

    /// Whether the stream said that it ended, and nothing torn follows. Asked after
    /// [`end`](Self::end).
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.cut
            && self.failed.is_none()
            && self.stream.as_ref().is_some_and(|stream| stream.ended)
    }

    /// What was wrong, where something was: asked after [`end`](Self::end), which may still have had
    /// events to hand out.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        self.failed
    }

    /// Takes bytes in, and hands out what they complete. Where something is wrong, all that comes
    /// before it is handed out first, and the error with the next call.
    ///
    /// # Errors
    /// It is no Ogg Opus stream (any more); the demuxer is of no further use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Error> {
        self.credit.earn(bytes.len() as u64);
        self.checks = self.checks.saturating_add(bytes.len().saturating_mul(CHECKED_PER_BYTE));
        self.pages.push(bytes);
        self.drain()
    }

    /// No more bytes will come.
    ///
    /// # Errors
    /// It was no Ogg Opus stream, or had no audio.
    pub fn end(&mut self) -> Result<Vec<Event>, Error> {
        self.pages.end();
        let events = self.drain()?;
        match (self.any_audio, self.other) {
            (true, _) => Ok(events),
            (false, Some(codec)) if self.stream.is_none() => Err(Error::NotOpus(codec)),
            (false, _) if self.stream.is_none() => Err(Error::NotOgg(self.junk)),
            (false, _) => Err(Error::NoAudio),
        }
    }

    fn drain(&mut self) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        while self.failed.is_none()
            && let Some(found) = self.pages.next()
        {
            self.failed = self.take(found, &mut events).err();
        }
        match self.failed {
            Some(error) if events.is_empty() => Err(error),
            _ => Ok(events),
        }
    }

    fn take(&mut self, found: Found, events: &mut Vec<Event>) -> Result<(), Error> {
        match found {
            Found::Page(page) => {
                (self.junk, self.torn, self.cut) = (0, 0, false);
                self.page(&page, events)?;
            }
            Found::Junk(bytes) => self.junk += bytes,
            Found::Torn(looked_at) => {
                self.torn += 1;
                self.junk += 1;
                self.cut = true;
                self.checks = self.checks.checked_sub(looked_at).ok_or(Error::Broken)?;
            }
        }
        if self.torn > MAX_TORN_PAGES {
            return Err(Error::Broken);
        }
        if self.junk > MAX_JUNK_BYTES {
            return Err(Error::NotOgg(self.junk));
        }
        Ok(())
    }

    fn page(&mut self, page: &Page, events: &mut Vec<Event>) -> Result<(), Error> {
        if page.first {
            return self.begin(page);
        }
        match &mut self.stream {
            Some(stream) if stream.serial == page.serial => {
                let before = events.len();
                stream.page(page, &mut self.credit, events);
                self.any_audio |= events.len() > before;
                Ok(())
            }
            // Another logical stream beside ours.
            Some(_) => Ok(()),
            None => Err(self.other.map_or(Error::NoBeginning, Error::NotOpus)),
        }
    }

    /// A logical stream begins.
    fn begin(&mut self, page: &Page) -> Result<(), Error> {
        // Streams side by side all begin before the first one goes on: the first Opus one is ours.
        let beside = self.stream.as_ref().is_some_and(|stream| !stream.tagged && !stream.ended);
        let opus = page.magic().starts_with(OPUS_HEAD);
        if !opus {
            self.other = Some(codec(page.magic()));
        }
        if !beside {
            let head = opus.then(|| parse_head(page.magic())).transpose()?;
            self.stream = head.map(|head| Stream::new(page, head));
        }
        Ok(())
    }
}

impl Stream {
    fn new(page: &Page, head: Head) -> Self {
        Self {
            head,
            serial: page.serial,
            next_page: Some(page.sequence.wrapping_add(1)),
            tagged: false,
            ended: page.last,
            partial: BytesMut::new(),
            dropping: false,
            position: None,
            lost: None,
        }
    }

    fn page(&mut self, page: &Page, credit: &mut Credit, events: &mut Vec<Event>) {
        let in_order = self.next_page == Some(page.sequence);
        self.next_page = Some(page.sequence.wrapping_add(1));
        let pending = !self.partial.is_empty() || self.dropping;
        if !in_order {
            self.lost = Some(GapCause::Loss);
        }
        if !in_order || (pending && !page.continued) {
            self.lost = self.lost.or(Some(GapCause::Broken));
            self.partial.clear();
            self.dropping = false;
        }
        if page.continued && (!pending || !in_order) {
            self.dropping = true;
        }
        let mut packets = Vec::new();
        for (piece, ends) in page.pieces() {
            if let Some(packet) = self.piece(piece, ends) {
                packets.extend(self.packet(packet));
            }
        }
        self.ended |= page.last;
        self.place(page, packets, credit, events);
    }

    /// Puts a packet together from its pieces.
    fn piece(&mut self, piece: Bytes, ends: bool) -> Option<Bytes> {
        if self.dropping {
            self.dropping = !ends;
            return None;
        }
        if ends && self.partial.is_empty() {
            return Some(piece);
        }
        if self.partial.len() + piece.len() <= MAX_PACKET_BYTES {
            self.partial.extend_from_slice(&piece);
        } else if self.tagged {
            // A comment header may be long (pictures): only its beginning matters.
            self.lost = self.lost.or(Some(GapCause::Broken));
            self.partial.clear();
            self.dropping = !ends;
            return None;
        }
        ends.then(|| self.partial.split().freeze())
    }

    /// A whole packet: the comment header, audio, or something broken.
    fn packet(&mut self, data: Bytes) -> Option<Packet> {
        if !self.tagged {
            self.tagged = true;
            if data.starts_with(OPUS_TAGS) {
                return None;
            }
        }
        match archive::opus::duration(&data) {
            Ok(duration) => Some(Packet { data, duration }),
            Err(_) => {
                self.lost = self.lost.or(Some(GapCause::Broken));
                None
            }
        }
    }

    /// Places a page's packets on the timeline by its granule position (RFC 7845, section 4).
    fn place(
        &mut self,
        page: &Page,
        mut packets: Vec<Packet>,
        credit: &mut Credit,
        events: &mut Vec<Event>,
    ) {
        let length: u64 = packets.iter().map(|packet| packet.duration.0).sum();
        let Some(granule) = page.granule.filter(|_| !packets.is_empty()) else {
            self.position = self.position.map(|position| position.saturating_add(length));
            events.extend(packets.into_iter().map(Event::Packet));
            return;
        };
        // The first page may begin anywhere; where it ends before its packets do, it begins at 0.
        let first = granule.saturating_sub(length);
        let position = self.position.unwrap_or(first);
        let end = position.saturating_add(length);
        let jump = granule.saturating_sub(end);
        let cause = self.lost.take();
        let credible = jump > 0 && jump <= MAX_JUMP && (cause.is_some() || jump >= MIN_JUMP);
        if credible && credit.spend(Ticks(jump)) {
            let cause = cause.unwrap_or(GapCause::Broken);
            events.push(Event::Lost { duration: Ticks(jump), cause });
        }
        if page.last && (position..end).contains(&granule) {
            trim(&mut packets, end - granule);
        }
        // Small steps ahead are kept in mind until they make a jump; all others are believed.
        let wandering = cause.is_none() && jump > 0 && jump < MIN_JUMP;
        self.position = Some(if wandering { end } else { granule });
        events.extend(packets.into_iter().map(Event::Packet));
    }
}

/// Takes `excess` off the end: whole packets that nobody is to hear, then a part of the last one.
fn trim(packets: &mut Vec<Packet>, mut excess: u64) {
    while let Some(last) = packets.last_mut() {
        if last.duration.0 > excess {
            last.duration.0 -= excess;
            return;
        }
        excess -= last.duration.0;
        packets.pop();
    }
}
