//! Ogg pages out of arbitrary slices of bytes (RFC 3533, section 6).

use bytes::{Buf, Bytes, BytesMut};

/// What every page begins with.
pub(crate) const CAPTURE: &[u8; 4] = b"OggS";
/// A page's header without its segment table.
const HEADER_BYTES: usize = 27;

/// One page whose checksum was right.
pub(super) struct Page {
    /// Names the logical stream.
    pub(super) serial: u32,
    /// Counts the stream's pages.
    pub(super) sequence: u32,
    /// Position at the end of the last packet that ends here; `None` where no packet does.
    pub(super) granule: Option<u64>,
    /// Whether its first segments belong to a packet begun on an earlier page.
    pub(super) continued: bool,
    /// Whether the logical stream begins here.
    pub(super) first: bool,
    /// Whether the logical stream ends here.
    pub(super) last: bool,
    segments: Bytes,
    body: Bytes,
}

impl Page {
    /// The pieces of packets it holds, each with whether its packet ends here.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (Bytes, bool)> + '_ {
        let mut segments = self.segments.iter();
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = at;
            let mut ends = false;
            let mut any = false;
            for &length in segments.by_ref() {
                any = true;
                at += usize::from(length);
                ends = length < 255;
                if ends {
                    break;
                }
            }
            any.then(|| (self.body.slice(start..at), ends))
        })
    }

    /// The first packet's beginning: it names the codec on a stream's first page.
    pub(super) fn magic(&self) -> &[u8] {
        &self.body
    }
}

/// What was found next.
pub(super) enum Found {
    /// A page.
    Page(Page),
    /// This many bytes that belong to no page.
    Junk(usize),
    /// What began like a page and is none: its checksum is wrong, or it is cut off. So many bytes had
    /// to be looked at to know.
    Torn(usize),
}

/// Splits bytes into pages; finds the next page after bytes it cannot read.
///
/// Holds at most one page (64 KiB) and what was pushed last.
#[derive(Default)]
pub(super) struct Pages {
    buffer: BytesMut,
    ended: bool,
}

impl Pages {
    /// Takes bytes in, in any portions.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// No more bytes will come: what is left of a torn page is searched for whole ones.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The next page or junk; `None` until more bytes are pushed.
    pub(super) fn next(&mut self) -> Option<Found> {
        let junk = self.junk_before_capture();
        if junk > 0 {
            self.buffer.advance(junk);
            return Some(Found::Junk(junk));
        }
        if let Some(length) = self.page_length()
            && self.buffer.len() >= length
        {
            return Some(match parse(&self.buffer[..length]) {
                Some(page) => {
                    self.buffer.advance(length);
                    Found::Page(page)
                }
                // The length itself may be wrong: look for a page inside what it claimed.
                None => self.pass_capture(length),
            });
        }
        if self.ended && !self.buffer.is_empty() {
            return Some(self.pass_capture(1));
        }
        None
    }

    fn pass_capture(&mut self, looked_at: usize) -> Found {
        self.buffer.advance(1);
        Found::Torn(looked_at)
    }

    /// How many bytes lie before the next capture pattern, or before what may become one.
    fn junk_before_capture(&self) -> usize {
        let bytes = &self.buffer[..];
        let possible = |at: &usize| {
            let rest = &bytes[*at..];
            let seen = rest.len().min(CAPTURE.len());
            rest[..seen] == CAPTURE[..seen]
        };
        (0..bytes.len()).find(possible).unwrap_or(bytes.len())
    }

    fn page_length(&self) -> Option<usize> {
        let count = usize::from(*self.buffer.get(HEADER_BYTES - 1)?);
        let segments = self.buffer.get(HEADER_BYTES..HEADER_BYTES + count)?;
        let body: usize = segments.iter().map(|&length| usize::from(length)).sum();
        Some(HEADER_BYTES + count + body)
    }
}

/// Reads one whole page; `None` where its version or checksum is wrong.
fn parse(bytes: &[u8]) -> Option<Page> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let (mut check, count) = ::ogg::reading::PageParser::new(*header).ok()?;
    let (segments, body) = rest.split_at_checked(count)?;
    check.parse_segments(segments.to_vec());
    check.parse_packet_data(body.to_vec()).ok()?;

    let mut fields = &header[5..];
    let flags = fields.get_u8();
    let granule = fields.get_u64_le();
    Some(Page {
        serial: fields.get_u32_le(),
        sequence: fields.get_u32_le(),
        // It is a signed number: -1 says that no packet ends here, and others below zero say nothing.
        granule: i64::try_from(granule).is_ok().then_some(granule),
        continued: flags & 1 != 0,
        first: flags & 2 != 0,
        last: flags & 4 != 0,
        segments: Bytes::copy_from_slice(segments),
        body: Bytes::copy_from_slice(body),
    })
}
