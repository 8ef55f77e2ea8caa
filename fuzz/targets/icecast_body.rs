//! Arbitrary bytes as the body of a request, whole and in portions: both give the same, and nothing is
//! held back but part of a line.
#![no_main]

use bytes::BytesMut;
use ingest::tap::icecast::{Body, Framing, Step};
use libfuzzer_sys::fuzz_target;

/// Longest line between chunks.
const MOST_HELD: usize = 1024;

fuzz_target!(|data: &[u8]| {
    let [kind, portion, body @ ..] = data else { return };
    let framing = match kind % 4 {
        0 => Framing::Endless,
        1 => Framing::Length(u64::from(*kind) * 100),
        _ => Framing::Chunked,
    };
    let whole = read(framing, body, body.len().max(1));
    assert_eq!(read(framing, body, usize::from(*portion) + 1), whole);
    assert!(whole.0.len() <= body.len());
});

/// What came out, and how it ended: `None` where it wants more.
fn read(framing: Framing, bytes: &[u8], portion: usize) -> (Vec<u8>, Option<bool>) {
    let (mut body, mut input, mut out) = (Body::new(framing), BytesMut::new(), Vec::new());
    for part in bytes.chunks(portion) {
        input.extend_from_slice(part);
        loop {
            match body.next(&mut input) {
                Ok(Step::Data(piece)) => {
                    assert!(!piece.is_empty());
                    out.extend_from_slice(&piece);
                }
                Ok(Step::More) => break,
                Ok(Step::End) => return (out, Some(true)),
                Err(_) => return (out, Some(false)),
            }
        }
        assert!(input.len() < MOST_HELD);
    }
    (out, None)
}
