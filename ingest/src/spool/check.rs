//! How bytes in the spool prove that they are whole.
//!
//! A fragment is preceded by a box that readers of MP4 skip:
//!
//! ```text
//! size 24, "free", length of the fragment (32 bits), the first 12 bytes of
//! SHA-256(name of folder and file, length, fragment)
//! ```
//!
//! The name is part of it because a filesystem that has promised a block and not written it may show
//! what lay there before: a whole fragment, perhaps, of another recording.

use std::ffi::OsStr;
use std::path::Path;

use archive::cmaf::{self, Fragment};
use sha2::{Digest as _, Sha256};

/// How each check begins: its size and its name.
const MARK: [u8; 8] = *b"\0\0\0\x18free";
/// Bytes of the check's sum.
const SUM: usize = 12;
/// Bytes of a check.
const CHECK: usize = MARK.len() + 4 + SUM;
/// How a fragment without a check begins, as versions before checks wrote them.
const BARE: [u8; 8] = *b"\0\0\0\x20prft";

/// Which file bytes belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Belongs(Vec<u8>);

impl Belongs {
    /// To the file at `path`, wherever its folder lies.
    pub(super) fn to(path: &Path) -> Self {
        let name = |part: Option<&OsStr>| part.unwrap_or_default().as_encoded_bytes().to_vec();
        let folder = name(path.parent().and_then(Path::file_name));
        Self([folder, name(path.file_name())].join(&b'/'))
    }

    fn sum(&self, bytes: &[u8]) -> [u8; SUM] {
        let mut sha = Sha256::new();
        sha.update((self.0.len() as u64).to_be_bytes());
        sha.update(&self.0);
        sha.update((bytes.len() as u64).to_be_bytes());
        sha.update(bytes);
        let sum: [u8; 32] = sha.finalize().into();
        std::array::from_fn(|at| sum[at])
    }

    /// What a line of text proves itself with.
    pub(super) fn word(&self, line: &str) -> String {
        let sum = self.sum(line.as_bytes());
        sum[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A fragment's bytes with their check before them.
    pub(super) fn checked(&self, fragment: &[u8]) -> Vec<u8> {
        let length = u32::try_from(fragment.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&MARK[..], &length, &self.sum(fragment), fragment].concat()
    }

    /// The fragment at the front of `bytes`, if it is whole, and how many bytes it takes with its
    /// check.
    fn first(&self, bytes: &[u8]) -> Option<(Fragment, usize)> {
        let rest = bytes.strip_prefix(&MARK)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<SUM>()?;
        let fragment = rest.get(..u32::from_be_bytes(*length) as usize)?;
        if self.sum(fragment) != *sum {
            return None;
        }
        let read = cmaf::read_fragments(fragment).ok()?;
        let [only] = <[Fragment; 1]>::try_from(read).ok()?;
        Some((only, CHECK + fragment.len()))
    }

    /// The whole fragments of a chunk's file, whatever stands between them.
    pub(super) fn scan(&self, bytes: &[u8]) -> Scanned {
        if bytes.starts_with(&BARE) {
            let found = cmaf::recover(bytes);
            let bad = (bytes.len() - found.whole_bytes) as u64;
            return Scanned { fragments: found.fragments, end: found.whole_bytes as u64, bad };
        }
        let (mut at, mut bad) = (0, 0);
        let mut found = Scanned { fragments: Vec::new(), end: 0, bad: 0 };
        while at < bytes.len() {
            let follows = |next: &Fragment| {
                let last = found.fragments.last();
                last.is_none_or(|last| next.seq > last.seq && next.start >= last.span().end)
            };
            match self.first(&bytes[at..]).filter(|(next, _)| follows(next)) {
                Some((fragment, size)) => {
                    found.fragments.push(fragment);
                    at += size;
                    found.end = at as u64;
                }
                None => {
                    let rest = &bytes[at + 1..];
                    let next = rest.windows(MARK.len()).position(|here| here == MARK);
                    let skipped = 1 + next.unwrap_or(rest.len());
                    (at, bad) = (at + skipped, bad + skipped as u64);
                }
            }
        }
        found.bad = bad;
        found
    }
}

/// What a chunk's file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scanned {
    /// The whole fragments. Time may be missing between them.
    pub(super) fragments: Vec<Fragment>,
    /// Where the last of them ends in the file.
    pub(super) end: u64,
    /// Bytes of the file that belong to none of them.
    pub(super) bad: u64,
}
