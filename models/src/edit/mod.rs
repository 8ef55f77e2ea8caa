//! What people correct, kept apart from the versions of a recording's words and laid over whichever
//! of them is shown.
//!
//! An edit says what is said in a stretch of media time, or what a speaker is called. It belongs to
//! the recording, so that it survives every new version. Edits are laid over in the order in which
//! they were made: where two meet, the later one is shown in the part that it covers, and undoing it
//! brings back the earlier one. No edit changes or removes another, so that nobody's work is lost.
//!
//! An edit is in conflict with a version that says, in its stretch, neither what the edit was made to
//! replace nor what it says itself: a better model may have heard something that the person who
//! corrected a worse one has never seen. It is shown all the same, with what the version says.

mod overlay;

#[cfg(test)]
mod tests;

use crate::speaker::Speaker;
use crate::time::{Span, WallMicros};

pub use overlay::{Conflict, Overlaid, Refusal, locate, overlay};

/// Longest text of an edit, in characters.
pub const TEXT_MAX_CHARS: usize = 2_000;
/// Longest name: of a speaker, and of who made an edit.
pub const NAME_MAX_CHARS: usize = 200;

/// A correction made by a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Its place among the edits of its recording, counted from 1. Never given twice.
    pub number: u32,
    /// What it is about.
    pub subject: Subject,
    /// What people were shown there when it was made; words are joined by single spaces.
    pub replaced: String,
    /// What the version they were shown said there itself, without the edits before this one.
    pub heard: String,
    /// What is shown instead. Empty: nothing, the words are taken out.
    pub text: String,
    /// Who made it, as far as they said.
    pub made_by: String,
    /// When it was made.
    pub made_at: WallMicros,
    /// When it was undone; `None`: it is in force.
    pub undone_at: Option<WallMicros>,
}

/// What an edit is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// What is said here.
    Words(Span),
    /// What the speaker with this label is called, in the whole recording.
    Speaker(String),
}

/// An edit that somebody wants to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is about. Words are those that begin and end in the same milliseconds.
    pub subject: Subject,
    /// Which version they were reading; `None`: the one that people are shown.
    pub version: Option<u32>,
    /// What they read there.
    pub replaced: String,
    /// What it should be.
    pub text: String,
    /// Who they are.
    pub made_by: String,
}

/// Why a text cannot be an edit's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The text is too long.
    #[error("the text must have at most {TEXT_MAX_CHARS} characters; this one has {0}")]
    Text(usize),
    /// A speaker's name is empty or too long.
    #[error("a speaker's name must have 1 to {NAME_MAX_CHARS} characters; this one has {0}")]
    Name(usize),
    /// The name of who makes it is too long.
    #[error(
        "the name of who makes an edit must have at most {NAME_MAX_CHARS} characters; this one has {0}"
    )]
    MadeBy(usize),
    /// A control character.
    #[error("texts must not hold control characters")]
    Control,
}

impl Wanted {
    /// The same with single spaces between words, checked.
    ///
    /// # Errors
    /// The first thing that is out of bounds.
    pub fn checked(self) -> Result<Self, Invalid> {
        let tidy = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (replaced, text) = (tidy(&self.replaced), tidy(&self.text));
        let made_by = tidy(&self.made_by);
        let chars = text.chars().count();
        match &self.subject {
            Subject::Words(_) if chars > TEXT_MAX_CHARS => return Err(Invalid::Text(chars)),
            Subject::Speaker(_) if !(1..=NAME_MAX_CHARS).contains(&chars) => {
                return Err(Invalid::Name(chars));
            }
            Subject::Words(_) | Subject::Speaker(_) => {}
        }
        let by = made_by.chars().count();
        if by > NAME_MAX_CHARS {
            return Err(Invalid::MadeBy(by));
        }
        if text.chars().chain(made_by.chars()).any(char::is_control) {
            return Err(Invalid::Control);
        }
        Ok(Self { replaced, text, made_by, ..self })
    }
}

impl Edit {
    /// Whether `later` was made over this one, at least where it matters: it is about the same
    /// speaker, or the two share more than half of the shorter one's time.
    #[must_use]
    pub fn lies_under(&self, later: &Self) -> bool {
        match (&self.subject, &later.subject) {
            (Subject::Words(this), Subject::Words(other)) => {
                let shorter = this.duration().min(other.duration());
                this.intersection(*other).duration().0 > shorter.0 / 2
            }
            (Subject::Speaker(this), Subject::Speaker(other)) => this == other,
            _ => false,
        }
    }
}

/// What the speaker with this label is called in the whole recording: by the last edit about them,
/// else by what is known of them, else by their label.
#[must_use]
pub fn name_of<'a>(label: &'a str, speakers: &'a [Speaker], edits: &'a [Edit]) -> &'a str {
    let is_theirs = |edit: &&Edit| matches!(&edit.subject, Subject::Speaker(of) if of == label);
    let renamed = edits.iter().filter(|edit| edit.undone_at.is_none()).rfind(is_theirs);
    renamed.map_or_else(|| own_name(label, speakers), |edit| edit.text.as_str())
}

/// What the speaker with this label is called without any edit.
#[must_use]
pub fn own_name<'a>(label: &'a str, speakers: &'a [Speaker]) -> &'a str {
    speakers.iter().find(|known| known.label == label).map_or(label, |known| known.name.as_str())
}
