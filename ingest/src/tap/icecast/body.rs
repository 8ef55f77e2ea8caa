//! The body of a source's request, as a value: chunks taken off, its end found.

use bytes::{Buf, Bytes, BytesMut};

/// Longest line between chunks: a size, extensions, a trailer field.
const MAX_LINE_BYTES: usize = 1024;
/// Most bytes of trailer fields.
const MAX_TRAILER_BYTES: usize = 16 * 1024;

/// How a body ends (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// With a chunk of no length.
    Chunked,
    /// After this many bytes.
    Length(u64),
    /// With the connection: what most sources send, which HTTP does not know for requests.
    Endless,
}

/// The chunks cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request's chunks cannot be read: {0}")]
pub struct Bad(&'static str);

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A piece of the body.
    Data(Bytes),
    /// Nothing until more bytes come.
    More,
    /// The body is over.
    End,
}

/// Reads a body.
#[derive(Debug)]
pub struct Body {
    state: State,
}

#[derive(Debug)]
enum State {
    Endless,
    Length(u64),
    /// A chunk's size comes next.
    Size,
    /// Within a chunk.
    Chunk(u64),
    /// After a chunk's last byte.
    ChunkEnd,
    /// After the last chunk; so many bytes of it were read.
    Trailer(usize),
    End,
}

impl Body {
    /// A body of which nothing has been read.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Chunked => State::Size,
            Framing::Length(length) => State::Length(length),
            Framing::Endless => State::Endless,
        };
        Self { state }
    }

    /// Takes the next piece from the front of `input`. What it leaves there, a line between chunks
    /// that is not whole yet, is 1 KiB at most.
    ///
    /// # Errors
    /// The chunks cannot be read.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Step, Bad> {
        loop {
            match self.state {
                State::End | State::Length(0) => return Ok(Step::End),
                State::Endless if input.is_empty() => return Ok(Step::More),
                State::Endless => return Ok(Step::Data(input.split().freeze())),
                State::Length(left) | State::Chunk(left) => {
                    if input.is_empty() {
                        return Ok(Step::More);
                    }
                    let taken = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - taken as u64;
                    self.state = match self.state {
                        State::Length(_) => State::Length(left),
                        _ if left == 0 => State::ChunkEnd,
                        _ => State::Chunk(left),
                    };
                    return Ok(Step::Data(input.split_to(taken).freeze()));
                }
                State::Size | State::ChunkEnd | State::Trailer(_) => {
                    let Some(line) = line(input)? else { return Ok(Step::More) };
                    self.state = self.after(&line)?;
                }
            }
        }
    }

    /// The state after a line between chunks.
    fn after(&self, line: &[u8]) -> Result<State, Bad> {
        match self.state {
            State::ChunkEnd if line.is_empty() => Ok(State::Size),
            State::ChunkEnd => Err(Bad("a chunk is longer than it says")),
            State::Trailer(_) if line.is_empty() => Ok(State::End),
            State::Trailer(read) if read + line.len() > MAX_TRAILER_BYTES => {
                Err(Bad("the trailer is too long"))
            }
            State::Trailer(read) => Ok(State::Trailer(read + line.len())),
            _ => match size(line).ok_or(Bad("a chunk's size is no number"))? {
                0 => Ok(State::Trailer(0)),
                size => Ok(State::Chunk(size)),
            },
        }
    }
}

/// A line, without its end; `None` where it is not whole yet.
fn line(input: &mut BytesMut) -> Result<Option<Bytes>, Bad> {
    let Some(end) = input.iter().take(MAX_LINE_BYTES).position(|&byte| byte == b'\n') else {
        return if input.len() < MAX_LINE_BYTES {
            Ok(None)
        } else {
            Err(Bad("a line is too long"))
        };
    };
    let line = input.split_to(end).freeze();
    input.advance(1);
    Ok(Some(if line.ends_with(b"\r") { line.slice(..line.len() - 1) } else { line }))
}

/// A chunk's size in hexadecimal; extensions are passed over.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next()?.trim_ascii();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    u64::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| plain)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds a body in portions; returns its data and whether it ended.
    fn read(framing: Framing, bytes: &[u8], portion: usize) -> Result<(Vec<u8>, bool), Bad> {
        let (mut body, mut input) = (Body::new(framing), BytesMut::new());
        let mut data = Vec::new();
        for part in bytes.chunks(portion) {
            input.extend_from_slice(part);
            loop {
                match body.next(&mut input)? {
                    Step::Data(piece) => data.extend_from_slice(&piece),
                    Step::More => break,
                    Step::End => return Ok((data, true)),
                }
            }
        }
        Ok((data, false))
    }

    #[test]
    fn every_framing_ends_where_it_says() {
        let chunks = b"4\r\nOggS\r\n3;name=value\r\nabc\r\n0\r\nTrailer: x\r\n\r\nmore";
        for portion in [1, 2, 5, 100] {
            assert_eq!(read(Framing::Chunked, chunks, portion), Ok((b"OggSabc".to_vec(), true)));
            assert_eq!(read(Framing::Length(3), b"abcdef", portion), Ok((b"abc".to_vec(), true)));
            assert_eq!(
                read(Framing::Length(9), b"abcdef", portion),
                Ok((b"abcdef".to_vec(), false))
            );
            assert_eq!(read(Framing::Endless, b"abcdef", portion), Ok((b"abcdef".to_vec(), false)));
        }
        assert_eq!(read(Framing::Chunked, b"A\n0123456789\n0\n\n", 3).unwrap().0, b"0123456789");
        assert_eq!(read(Framing::Length(0), b"x", 1), Ok((vec![], true)));
    }

    #[test]
    fn chunks_that_make_no_sense_are_refused() {
        for bytes in [
            &b"x\r\n"[..],
            b"\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"11111111111111111\r\n",
            b"1\r\nab\r\n",
            &[b'0'; 2000],
        ] {
            assert!(read(Framing::Chunked, bytes, 7).is_err(), "{bytes:?}");
        }
        let endless_trailer = [&b"0\r\n"[..], &b"Name: value\r\n".repeat(2000)].concat();
        assert!(read(Framing::Chunked, &endless_trailer, 1000).is_err());
    }

    proptest! {
        #[test]
        fn what_was_chunked_comes_out_whatever_the_portions(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20),
            portion in 1usize..400,
        ) {
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(read(Framing::Chunked, &wire, portion), Ok((pieces.concat(), true)));
        }
    }
}
