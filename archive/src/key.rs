//! Names of objects: the one place that knows where in a store something lies and how it is served.

use std::fmt;

use models::{Chunk, RecordingId};

/// The name of one object. An enum and not text, so that no request can name anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// A recording's CMAF header (`ftyp` and `moov`).
    Init(RecordingId),
    /// One of its chunks: its sequence number and [take](models::Chunk::take).
    Chunk(RecordingId, u32, u32),
    /// The whole of it as one file: the digest of its bytes' layout
    /// ([`crate::concat::Layout::digest`]), and its form.
    Export(RecordingId, [u8; 16], Export),
}

/// The form of a file that a whole recording is kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Export {
    /// Header, index and all chunks, as they are.
    Mp4,
}

impl Export {
    const fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
        }
    }
}

impl Key {
    /// What the paths of all objects begin with.
    pub(crate) const RECORDINGS: &str = "recordings/";

    /// The object of a recording's chunk.
    #[must_use]
    pub const fn of(recording: RecordingId, chunk: &Chunk) -> Self {
        Self::Chunk(recording, chunk.seq, chunk.take)
    }

    /// Where it lies: `recordings/<id>/init.mp4`, `recordings/<id>/chunks/00000000.m4s`, with a take
    /// `00000000-1.m4s`, `recordings/<id>/exports/<digest>.mp4`. Paths of chunks sort by sequence up to 10^8 chunks (twelve years).
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Init(recording) => format!("recordings/{recording}/init.mp4"),
            Self::Chunk(recording, seq, 0) => {
                format!("recordings/{recording}/chunks/{seq:08}.m4s")
            }
            Self::Chunk(recording, seq, take) => {
                format!("recordings/{recording}/chunks/{seq:08}-{take}.m4s")
            }
            Self::Export(recording, digest, form) => {
                let (digest, form) = (u128::from_be_bytes(*digest), form.extension());
                format!("recordings/{recording}/exports/{digest:032x}.{form}")
            }
        }
    }

    /// The prefix that all objects of a recording share, for [`crate::Store::list`].
    #[must_use]
    pub fn prefix(recording: RecordingId) -> String {
        format!("recordings/{recording}/")
    }

    /// The key whose [`Self::path`] this is.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (id, rest) = path.strip_prefix(Self::RECORDINGS)?.split_once('/')?;
        let recording = id.parse().ok()?;
        let key = match rest {
            "init.mp4" => Self::Init(recording),
            _ if rest.starts_with("exports/") => {
                let digest = rest.strip_prefix("exports/")?.strip_suffix(".mp4")?;
                let digest = u128::from_str_radix(digest, 16).ok()?;
                Self::Export(recording, digest.to_be_bytes(), Export::Mp4)
            }
            _ => {
                let name = rest.strip_prefix("chunks/")?.strip_suffix(".m4s")?;
                let (seq, take) = name.split_once('-').unwrap_or((name, "0"));
                Self::Chunk(recording, seq.parse().ok()?, take.parse().ok()?)
            }
        };
        // Other spellings of the same key are not its path.
        (key.path() == path).then_some(key)
    }

    /// Its media type (RFC 6381 parameters left out: they would only repeat the sample entry).
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Init(_) | Self::Chunk(..) | Self::Export(_, _, Export::Mp4) => "audio/mp4",
        }
    }

    /// Its `Cache-Control`: objects never change (RFC 8246). Whether shared caches may keep them
    /// depends on the audience, which this crate does not know.
    #[must_use]
    pub const fn cache_control(&self) -> &'static str {
        match self {
            Self::Init(_) | Self::Chunk(..) | Self::Export(..) => "max-age=31536000, immutable",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_stable_and_read_back() {
        let id: RecordingId = "0190163d-8694-739b-aea5-966c26f8ad91".parse().unwrap();
        let chunk = Key::Chunk(id, 12, 0);
        assert_eq!(
            chunk.path(),
            "recordings/0190163d-8694-739b-aea5-966c26f8ad91/chunks/00000012.m4s"
        );
        assert_eq!(
            Key::Init(id).path(),
            "recordings/0190163d-8694-739b-aea5-966c26f8ad91/init.mp4"
        );
        let taken = Key::Chunk(id, 12, 3);
        assert!(taken.path().ends_with("/chunks/00000012-3.m4s"));
        let export = Key::Export(id, std::array::from_fn(|at| at as u8), Export::Mp4);
        assert!(export.path().ends_with("/exports/000102030405060708090a0b0c0d0e0f.mp4"));
        for key in [Key::Init(id), chunk, taken, Key::Chunk(id, u32::MAX, u32::MAX), export] {
            assert_eq!(Key::parse(&key.path()), Some(key));
            assert!(key.path().starts_with(&Key::prefix(id)));
        }
    }

    #[test]
    fn nothing_but_a_key_parses() {
        let id = RecordingId::new();
        for path in [
            String::new(),
            "recordings/../init.mp4".into(),
            format!("recordings/{id}/chunks/12.m4s"),
            format!("recordings/{id}/chunks/00000012-0.m4s"),
            format!("recordings/{id}/chunks/00000012-03.m4s"),
            format!("recordings/{id}/chunks/+0000012.m4s"),
            format!("recordings/{id}/chunks/../init.mp4"),
            format!("recordings/{id}/init.mp4/"),
            format!("recordings/{id}/exports/0102.mp4"),
            format!("recordings/{id}/exports/+00102030405060708090a0b0c0d0e0f.mp4"),
            format!("recordings/{id}/exports/000102030405060708090A0B0C0D0E0F.mp4"),
            format!("recordings/{id}/exports/000102030405060708090a0b0c0d0e0f.wav"),
        ] {
            assert_eq!(Key::parse(&path), None, "{path}");
        }
    }
}
