//! What the code books of a Vorbis header cost: a few bytes of it can ask for 16 MiB, 256 times.
//!
//! Only as much is read of the setup header (Vorbis I, section 3.2.1) as it takes to know the sizes;
//! what makes no sense is left to the decoder to refuse.

/// Largest sum of what a header's code books take. Encoders in use come to less than 1 MiB.
pub(super) const MAX_CODE_BOOK_BYTES: u64 = 16 * 1024 * 1024;

/// Size of an identification header, behind which the setup header stands.
const IDENT_BYTES: usize = 30;
/// The packet type of a setup header, and the codec's name.
const SETUP: &[u8] = b"\x05vorbis";
/// What an entry of a code book takes beside its vector: its length, its code, its place in the tree.
const ENTRY_BYTES: u64 = 32;
/// What one element of a vector takes.
const ELEMENT_BYTES: u64 = 4;

/// The memory that a decoder takes for the code books of a codec's headers: the identification and the
/// setup header, one after the other or, as Matroska has them, laced with the comments between them.
/// Stops counting beyond [`MAX_CODE_BOOK_BYTES`].
pub(super) fn code_book_bytes(headers: &[u8]) -> u64 {
    let setup = match headers.split_first() {
        Some((2, laced)) => behind_two(laced),
        _ => headers.get(IDENT_BYTES..),
    };
    let Some(books) = setup.and_then(|setup| setup.strip_prefix(SETUP)) else { return 0 };
    let Some((count, books)) = books.split_first() else { return 0 };
    let mut bits = Bits { bytes: books, at: 0 };
    let mut sum = 0;
    for _ in 0..=*count {
        let Some(bytes) = code_book(&mut bits) else { break };
        sum += bytes;
        if sum > MAX_CODE_BOOK_BYTES {
            break;
        }
    }
    sum
}

/// The last of three packets in Xiph lacing: two lengths, each as bytes of 255 and one below.
fn behind_two(mut laced: &[u8]) -> Option<&[u8]> {
    let mut length = 0;
    for _ in 0..2 {
        loop {
            let (&byte, rest) = laced.split_first()?;
            laced = rest;
            length += usize::from(byte);
            if byte < 255 {
                break;
            }
        }
    }
    laced.get(length..)
}

/// Reads past one code book; `None` where it ends or makes no sense.
fn code_book(bits: &mut Bits<'_>) -> Option<u64> {
    let sync = bits.take(24)?;
    let (dimensions, entries) = (bits.take(16)?, bits.take(24)?);
    if sync != 0x56_4342 || dimensions == 0 {
        return None;
    }
    if bits.take(1)? == 1 {
        ordered(bits, entries)?;
    } else if bits.take(1)? == 0 {
        bits.skip(u64::from(entries) * 5)?;
    } else {
        for _ in 0..entries {
            if bits.take(1)? == 1 {
                bits.skip(5)?;
            }
        }
    }
    let scalar = u64::from(entries) * ENTRY_BYTES;
    let elements = u64::from(entries) * u64::from(dimensions);
    let values = match bits.take(4)? {
        0 => return Some(scalar),
        1 => root(entries, dimensions),
        2 => elements,
        _ => return None,
    };
    bits.skip(64)?;
    let width = bits.take(4)? + 1;
    bits.skip(1 + values.saturating_mul(width.into()))?;
    Some(scalar + elements * ELEMENT_BYTES)
}

/// Lengths in order: how many entries have each.
fn ordered(bits: &mut Bits<'_>, entries: u32) -> Option<()> {
    bits.skip(5)?;
    let mut left = entries;
    // Where the lengths run out, the tree is none.
    for _ in 0..=32 {
        if left == 0 {
            return Some(());
        }
        let count = bits.take(32 - left.leading_zeros())?;
        left = left.checked_sub(count)?;
    }
    None
}

/// The largest number whose power `dimensions` is not above `entries`.
fn root(entries: u32, dimensions: u32) -> u64 {
    let fits = |number: u64| {
        let power = number.checked_pow(dimensions);
        power.is_some_and(|power| power <= u64::from(entries))
    };
    let near = f64::from(entries).powf(1.0 / f64::from(dimensions)) as u64;
    (near.saturating_sub(1)..=near + 1).rev().find(|&number| fits(number)).unwrap_or(0)
}

/// Bits from the least significant one on.
struct Bits<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl Bits<'_> {
    /// The next `count` bits, 32 at most.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for nth in 0..count {
            let byte = self.bytes.get(usize::try_from(self.at / 8).ok()?)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << nth;
            self.at += 1;
        }
        Some(value)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.bytes.len() as u64 * 8).then_some(())
    }
}
