//! How values are written in rows: enums by name, unsigned numbers as signed 64-bit ones.

use std::borrow::Cow;

use crate::chunk::GapCause;
use crate::db::{Error, Result};
use crate::hold::Grip;
use crate::speaker::KnownBy;
use crate::time::{Span, Ticks};
use crate::{batch, job, recording, room, transcript};

/// An enum stored by name.
pub(super) trait Code: Copy + 'static {
    /// All its values with their names.
    const NAMES: &'static [(Self, &'static str)];
    /// What it is called in errors.
    const WHAT: &'static str;

    /// Its name in a row.
    fn code(self) -> &'static str
    where
        Self: PartialEq,
    {
        let found = Self::NAMES.iter().find(|(value, _)| *value == self);
        found.expect("NAMES lists every value: the macro's match is exhaustive").1
    }

    /// The value a row names.
    fn parse(name: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(_, known)| *known == name);
        found
            .map(|(value, _)| *value)
            .ok_or_else(|| Error::Corrupt { what: format!("{} {name:?}", Self::WHAT) })
    }
}

macro_rules! codes {
    ($($type:ty, $what:literal { $($variant:ident = $name:literal),+ $(,)? })+) => {$(
        impl Code for $type {
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$variant, $name)),+];
            const WHAT: &'static str = $what;
        }

        const _: fn($type) = |value| match value {
            $(<$type>::$variant)|+ => (),
        };
    )+};
}

codes! {
    room::Audience, "audience" {
        Everyone = "everyone", Followers = "followers", Invited = "invited",
    }
    room::RecordingPolicy, "recording policy" {
        Auto = "auto", Manual = "manual", Never = "never",
    }
    recording::Origin, "origin" {
        Pending = "pending", Rtp = "rtp", Icecast = "icecast", Import = "import",
    }
    recording::State, "state of a recording" {
        Live = "live", Paused = "paused", Importing = "importing", Ended = "ended",
        Failed = "failed",
    }
    recording::Request, "request" { Pause = "pause", Resume = "resume", End = "end" }
    recording::EndReason, "reason of an end" {
        Host = "host", SourceAway = "source_away", Imported = "imported",
        Unreadable = "unreadable",
    }
    GapCause, "cause of a gap" {
        Loss = "loss", SourceAway = "source_away", Down = "down", Paused = "paused",
        Broken = "broken", NoSpace = "no_space",
    }
    transcript::State, "state of a transcript" {
        Running = "running", Complete = "complete", Failed = "failed",
    }
    transcript::Suppressed, "reason of a suppression" {
        Silence = "silence", Loop = "loop", LowConfidence = "low_confidence",
        Phantom = "phantom",
    }
    Grip, "grip on a recording" { Firm = "firm", Loose = "loose", None = "none" }
    KnownBy, "knowledge of a speaker" {
        Platform = "platform", Voice = "voice", Person = "person",
    }
    job::Kind, "kind of job" { TranscribeLive = "transcribe_live", Transcribe = "transcribe" }
    batch::State, "state of a batch" {
        Running = "running", Paused = "paused", Cancelled = "cancelled", Done = "done",
    }
    job::State, "state of a job" {
        Ready = "ready", Running = "running", Done = "done", Dead = "dead",
        Cancelled = "cancelled",
    }
}

/// The optional value an optional name names.
pub(super) fn parse_opt<T: Code>(name: Option<&str>) -> Result<Option<T>> {
    name.map(T::parse).transpose()
}

/// A number as read from a row, where it fits.
pub(super) fn number<T: TryFrom<i64>>(what: &str, value: i64) -> Result<T> {
    T::try_from(value).map_err(|_| Error::Corrupt { what: format!("{what} {value}") })
}

/// A media time as read from a row.
pub(super) fn ticks(value: i64) -> Result<Ticks> {
    number("media time", value).map(Ticks)
}

/// A stretch of media time as read from a row.
pub(super) fn span(start: i64, end: i64) -> Result<Span> {
    Ok(Span { start: ticks(start)?, end: ticks(end)? })
}

/// A text as written to a row. PostgreSQL cannot hold U+0000, so that it becomes U+FFFD on every
/// engine.
pub(super) fn text(value: &str) -> Cow<'_, str> {
    if value.contains('\0') {
        Cow::Owned(value.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(value)
    }
}

/// A number as written to a row. Beyond 63 bits (six million years of ticks) it is cut, so that
/// arithmetic in SQL cannot wrap.
pub(super) fn int(value: impl Into<u64>) -> i64 {
    i64::try_from(value.into()).unwrap_or(i64::MAX)
}
