//! A room: a live audio event with a host, an audience and a recording policy.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use crate::id::RoomId;
use crate::time::WallMicros;

/// Longest title of a room or a recording, in characters.
pub const TITLE_MAX_CHARS: usize = 200;
/// Longest glossary of a room, in characters: more than engines can be told.
pub const GLOSSARY_MAX_CHARS: usize = 1_000;
/// Longest slug, in bytes.
pub const SLUG_MAX_BYTES: usize = 64;

/// A live audio event and how its recordings are to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its identifier.
    pub id: RoomId,
    /// Short name in addresses; also the Icecast mount. Lower-case letters, digits and dashes.
    pub slug: String,
    /// What people call it.
    pub title: String,
    /// Who holds it, as shown to people.
    pub host: String,
    /// Names and words that are said in it and that an engine would not guess, as people write them;
    /// may be empty.
    pub glossary: String,
    /// Who may listen.
    pub audience: Audience,
    /// Whether and when it may be recorded.
    pub policy: RecordingPolicy,
    /// UDP port on which RTP is received; `None`: no RTP tap.
    pub rtp_port: Option<u16>,
    /// Salted hash of the password an Icecast source must give (see [`SourceKey`]); `None`: no
    /// Icecast tap.
    pub source_key: Option<SourceKey>,
    /// A source away for longer than this ends the recording, in milliseconds.
    pub grace_ms: u64,
    /// When it was made.
    pub created_at: WallMicros,
}

/// Salted SHA-256 of a source password, kept as `salt:digest` in lower-case hex.
///
/// Keys are random 128-bit values unless the operator chooses one, so that a fast hash is enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceKey(pub String);

impl SourceKey {
    /// The hash to keep of `plain`. `salt` is random and used once.
    #[must_use]
    pub fn make(plain: &str, salt: [u8; 16]) -> Self {
        Self(format!("{}:{}", hex(&salt), hex(&Self::digest(&salt, plain))))
    }

    /// Whether `plain` is the password this was made from. Takes the same time wherever both differ.
    /// What is not of the form `salt:digest` matches nothing.
    #[must_use]
    pub fn matches(&self, plain: &str) -> bool {
        let Some((salt, digest)) = self.0.split_once(':') else { return false };
        let (Some(salt), Some(digest)) = (unhex(salt), unhex(digest)) else { return false };
        digest.ct_eq(&Self::digest(&salt, plain)).into()
    }

    fn digest(salt: &[u8], plain: &str) -> [u8; 32] {
        Sha256::new().chain_update(salt).chain_update(plain).finalize().into()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// Who may listen to a room and its recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Anyone who can reach the server.
    Everyone,
    /// Those who follow the host.
    Followers,
    /// Those who were invited.
    Invited,
}

/// Who asks to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Nobody we know.
    Anyone,
    /// The operator of this installation.
    Operator,
}

impl Audience {
    /// Whether `viewer` may listen, read and download. The one place where this is decided.
    #[must_use]
    pub const fn admits(self, viewer: Viewer) -> bool {
        matches!((self, viewer), (Self::Everyone, _) | (_, Viewer::Operator))
    }
}

/// Whether and when a room may be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingPolicy {
    /// A recording starts when a source arrives.
    Auto,
    /// A recording starts when the host asks; before that nothing is written.
    Manual,
    /// Nothing of this room is ever written, the spool included.
    Never,
}

/// Why a room's fields were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The title is empty or too long.
    #[error("the title must have 1 to {TITLE_MAX_CHARS} characters; this one has {0}")]
    Title(usize),
    /// The slug is empty, too long or has other characters.
    #[error("the slug must be 1 to {SLUG_MAX_BYTES} lower-case letters, digits and inner dashes")]
    Slug,
    /// The host's name is too long.
    #[error("the host's name must have at most {TITLE_MAX_CHARS} characters; this one has {0}")]
    Host(usize),
    /// The glossary is too long.
    #[error("the glossary must have at most {GLOSSARY_MAX_CHARS} characters; this one has {0}")]
    Glossary(usize),
    /// The grace time is out of bounds.
    #[error("the grace time must be 1 s to 1 h (1000 to 3600000 ms); this one is {0} ms")]
    Grace(u64),
}

/// Checks a title of a room or a recording.
///
/// # Errors
/// [`Invalid::Title`] where it is blank or longer than [`TITLE_MAX_CHARS`].
pub fn check_title(title: &str) -> Result<(), Invalid> {
    let chars = title.chars().count();
    if title.trim().is_empty() || chars > TITLE_MAX_CHARS {
        return Err(Invalid::Title(chars));
    }
    Ok(())
}

impl Room {
    /// Checks every field that people choose.
    ///
    /// # Errors
    /// The first field that is out of bounds.
    pub fn check(&self) -> Result<(), Invalid> {
        check_title(&self.title)?;
        let slug = self.slug.as_bytes();
        let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        if slug.is_empty()
            || slug.len() > SLUG_MAX_BYTES
            || !slug.iter().all(plain)
            || slug.starts_with(b"-")
            || slug.ends_with(b"-")
        {
            return Err(Invalid::Slug);
        }
        let host = self.host.chars().count();
        if host > TITLE_MAX_CHARS {
            return Err(Invalid::Host(host));
        }
        let glossary = self.glossary.chars().count();
        if glossary > GLOSSARY_MAX_CHARS {
            return Err(Invalid::Glossary(glossary));
        }
        if !(1_000..=3_600_000).contains(&self.grace_ms) {
            return Err(Invalid::Grace(self.grace_ms));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(slug: &str, title: &str) -> Room {
        Room {
            id: RoomId::new(),
            slug: slug.into(),
            title: title.into(),
            host: String::new(),
            glossary: String::new(),
            audience: Audience::Everyone,
            policy: RecordingPolicy::Auto,
            rtp_port: None,
            source_key: None,
            grace_ms: 30_000,
            created_at: WallMicros(0),
        }
    }

    #[test]
    fn names_that_would_not_fit_an_address_are_refused() {
        assert_eq!(room("town-hall", "Town hall").check(), Ok(()));
        for slug in ["", "Town", "a/b", "-a", "a-", "ä", &"a".repeat(65)] {
            assert_eq!(room(slug, "t").check(), Err(Invalid::Slug), "{slug}");
        }
        assert_eq!(room("a", " ").check(), Err(Invalid::Title(1)));
        assert_eq!(room("a", &"x".repeat(201)).check(), Err(Invalid::Title(201)));
        assert_eq!(room("a", &"ä".repeat(200)).check(), Ok(()));
        let wordy = |chars| Room { glossary: "ö".repeat(chars), ..room("a", "t") };
        assert_eq!(wordy(1_000).check(), Ok(()));
        assert_eq!(wordy(1_001).check(), Err(Invalid::Glossary(1_001)));
    }

    #[test]
    fn a_source_key_matches_the_password_it_was_made_from_and_no_other() {
        let key = SourceKey::make("hackme", [7; 16]);
        assert_eq!(key.0.len(), 32 + 1 + 64);
        assert!(key.0.starts_with(&format!("{}:", "07".repeat(16))));
        assert!(key.matches("hackme"));
        for wrong in ["", "hackm", "hackme ", "Hackme"] {
            assert!(!key.matches(wrong), "{wrong}");
        }
        assert_ne!(key, SourceKey::make("hackme", [8; 16]));
        for torn in ["", ":", "07", &key.0[..96], "zz:zz"] {
            assert!(!SourceKey(torn.into()).matches("hackme"), "{torn}");
        }
    }

    #[test]
    fn only_the_operator_hears_a_room_that_is_not_for_everyone() {
        for audience in [Audience::Followers, Audience::Invited] {
            assert!(!audience.admits(Viewer::Anyone));
            assert!(audience.admits(Viewer::Operator));
        }
        assert!(Audience::Everyone.admits(Viewer::Anyone));
    }
}
