//! Boxes: how they are written, and a cursor that reads them without trusting them.

use std::fmt;

/// The four characters that name a box.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BoxName(pub [u8; 4]);

impl fmt::Display for BoxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for BoxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why bytes are not what [`super::write_fragment`] writes. Offsets count from the first byte given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end too early: what a crash in the middle of a write leaves.
    #[error("{what} at byte {offset} needs {needed} bytes; {left} are left")]
    Torn {
        /// Where it begins.
        offset: usize,
        /// What is cut off.
        what: &'static str,
        /// How many bytes it needs.
        needed: u64,
        /// How many there are.
        left: u64,
    },
    /// Another box than the one that belongs here.
    #[error("box {found} at byte {offset} where {expected} belongs")]
    Box {
        /// Where it begins.
        offset: usize,
        /// What is there.
        found: BoxName,
        /// What belongs there.
        expected: BoxName,
    },
    /// A number that must have one value has another.
    #[error("{field} at byte {offset} is {found}; {expected} belongs there")]
    Field {
        /// Where it begins.
        offset: usize,
        /// Which one.
        field: &'static str,
        /// What is there.
        found: u64,
        /// What belongs there.
        expected: u64,
    },
    /// A number is outside what it may be.
    #[error("{field} at byte {offset} is {found}; {least} to {most} is allowed")]
    Bounds {
        /// Where it begins.
        offset: usize,
        /// Which one.
        field: &'static str,
        /// What is there.
        found: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// A box goes on after its last field.
    #[error("{left} bytes too many at byte {offset}, the end of a box")]
    Trailing {
        /// Where they begin.
        offset: usize,
        /// How many.
        left: usize,
    },
}

/// Appends a box; `body` writes what is inside.
pub(super) fn put_box(out: &mut Vec<u8>, name: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(name);
    body(out);
    let size = u32::try_from(out.len() - start).expect("boxes other than mdat hold few fields");
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// Appends a box that begins with a version and flags.
pub(super) fn put_full_box(
    out: &mut Vec<u8>,
    name: &[u8; 4],
    version: u8,
    flags: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    put_box(out, name, |out| {
        put_u32(out, u32::from(version) << 24 | flags);
        body(out);
    });
}

pub(super) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend(value.to_be_bytes());
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_be_bytes());
}

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_be_bytes());
}

/// A place in bytes that are not trusted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, what: &'static str, count: usize) -> Result<&'a [u8], Error> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            let (needed, left) = (count as u64, self.rest.len() as u64);
            return Err(Error::Torn { offset: self.offset, what, needed, left });
        };
        self.rest = rest;
        self.offset += count;
        Ok(taken)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        let bytes = self.take(what, 4)?;
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, Error> {
        Ok(u64::from(self.u32(what)?) << 32 | u64::from(self.u32(what)?))
    }

    /// A number that must be `expected`.
    pub(super) fn expect_u32(&mut self, field: &'static str, expected: u32) -> Result<(), Error> {
        let offset = self.offset;
        let (found, expected) = (u64::from(self.u32(field)?), u64::from(expected));
        if found == expected {
            Ok(())
        } else {
            Err(Error::Field { offset, field, found, expected })
        }
    }

    /// A number that must be `expected`.
    pub(super) fn expect_u64(&mut self, field: &'static str, expected: u64) -> Result<(), Error> {
        let offset = self.offset;
        let found = self.u64(field)?;
        if found == expected {
            Ok(())
        } else {
            Err(Error::Field { offset, field, found, expected })
        }
    }

    /// A number that must lie within bounds.
    pub(super) fn u32_within(
        &mut self,
        field: &'static str,
        least: u32,
        most: u32,
    ) -> Result<u32, Error> {
        let offset = self.offset;
        let found = self.u32(field)?;
        if (least..=most).contains(&found) {
            return Ok(found);
        }
        let (found, least, most) = (found.into(), least.into(), most.into());
        Err(Error::Bounds { offset, field, found, least, most })
    }

    /// The inside of the next box, which must be a `name`.
    pub(super) fn enter(&mut self, name: &[u8; 4]) -> Result<Cursor<'a>, Error> {
        let offset = self.offset;
        let mut head = *self;
        let size = head.u32("box size")?;
        let found = head.take("box name", 4)?;
        if found != name {
            let found = BoxName([found[0], found[1], found[2], found[3]]);
            return Err(Error::Box { offset, found, expected: BoxName(*name) });
        }
        // 64-bit sizes (1) and "to the end of the file" (0) are never written.
        if size < 8 {
            let (found, most) = (u64::from(size), u64::from(u32::MAX));
            return Err(Error::Bounds { offset, field: "box size", found, least: 8, most });
        }
        let whole = self.take("box", size as usize)?;
        Ok(Cursor { rest: &whole[8..], offset: offset + 8 })
    }

    /// The inside of the next box, which must be a `name` of this version and flags.
    pub(super) fn enter_full(
        &mut self,
        name: &[u8; 4],
        version: u8,
        flags: u32,
    ) -> Result<Cursor<'a>, Error> {
        let mut body = self.enter(name)?;
        body.expect_u32("box version and flags", u32::from(version) << 24 | flags)?;
        Ok(body)
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Error> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Error::Trailing { offset: self.offset, left: self.rest.len() })
    }
}
