//! Which recordings: a few terms that all have to hold, such as `room=town-hall,weights!=base.en`.

use std::fmt;
use std::str::FromStr;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime, Time};

use crate::id::RecordingId;
use crate::time::{Ticks, WallMicros};

/// Recordings that are over and fit all of these. The words of whoever asked are kept, to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// One of these; empty: any.
    pub ids: Vec<RecordingId>,
    /// Of a room with one of these short names; empty: any.
    pub rooms: Vec<String>,
    /// Begun at this time or later.
    pub from: Option<WallMicros>,
    /// Begun before this time.
    pub before: Option<WallMicros>,
    /// Whose words that people are shown were made with these weights: a name, or a SHA-256.
    pub weights: Option<String>,
    /// Whose words that people are shown were made with others, or that have none.
    pub other_weights: Option<String>,
    /// Whose words that people are shown are of an older version, or that have none.
    pub version_below: Option<u32>,
    /// Longer than this.
    pub longer: Option<Ticks>,
    /// Shorter than this.
    pub shorter: Option<Ticks>,
    terms: Vec<String>,
}

/// Why it is not clear which recordings are meant: a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unclear(String);

/// What a term may be.
const TERMS: &str = "all, id=RECORDING, room=SLUG, from=2026-01-31, to=2026-01-31, weights=base.en, \
                     weights!=base.en, version<2, longer=10m, shorter=1h30m";

impl FromStr for Selection {
    type Err = Unclear;

    /// Terms with commas between them.
    fn from_str(text: &str) -> Result<Self, Unclear> {
        let mut selection = Self::default();
        let mut all = false;
        for term in text.split(',').map(str::trim).filter(|term| !term.is_empty()) {
            if term == "all" {
                all = true;
            } else {
                selection.add(term)?;
            }
            selection.terms.push(term.to_owned());
        }
        match selection.terms.len() {
            0 => Err(unclear(format!("which recordings? Terms are {TERMS}"))),
            2.. if all => Err(unclear("\"all\" stands by itself: other terms leave some out")),
            _ => Ok(selection),
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.terms.join(","))
    }
}

impl Selection {
    fn add(&mut self, term: &str) -> Result<(), Unclear> {
        let unknown = || unclear(format!("{term:?} is no term; there are {TERMS}"));
        let at = term.find(['!', '=', '<']).ok_or_else(unknown)?;
        let (name, rest) = term.split_at(at);
        let operator = if rest.starts_with("!=") { "!=" } else { &rest[..1] };
        let (name, value) = (name.trim(), rest[operator.len()..].trim());
        if value.is_empty() {
            return Err(unclear(format!("{term:?} names nothing")));
        }
        match (name, operator) {
            ("id", "=") => self.ids.push(read(value, term, "a recording's identifier")?),
            ("room", "=") => self.rooms.push(value.to_owned()),
            ("from", "=") => once(&mut self.from, moment(value, term)?.0, term)?,
            ("to", "=") => once(&mut self.before, moment(value, term)?.1, term)?,
            ("weights", "=") => once(&mut self.weights, value.to_owned(), term)?,
            ("weights", "!=") => once(&mut self.other_weights, value.to_owned(), term)?,
            ("version", "<") => {
                once(&mut self.version_below, read(value, term, "a version's number")?, term)?;
            }
            ("longer", "=") => once(&mut self.longer, length(value, term)?, term)?,
            ("shorter", "=") => once(&mut self.shorter, length(value, term)?, term)?,
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

fn unclear(why: impl Into<String>) -> Unclear {
    Unclear(why.into())
}

fn once<T>(place: &mut Option<T>, value: T, term: &str) -> Result<(), Unclear> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(unclear(format!(
            "{term:?} goes against a term like it: only id and room may be given again"
        ))),
    }
}

fn read<T: FromStr>(value: &str, term: &str, what: &str) -> Result<T, Unclear> {
    value
        .parse()
        .map_err(|_| unclear(format!("{term:?} names no {}", what.trim_start_matches("a "))))
}

/// Where a moment begins and where it is over: a day is over when the next one begins.
fn moment(value: &str, term: &str) -> Result<(WallMicros, WallMicros), Unclear> {
    let micros =
        |at: OffsetDateTime| i64::try_from(at.unix_timestamp_nanos() / 1000).ok().map(WallMicros);
    let day = Date::parse(value, format_description!("[year]-[month]-[day]")).ok();
    let bounds = match day {
        Some(day) => {
            let begin = day.with_time(Time::MIDNIGHT).assume_utc();
            micros(begin).zip(begin.checked_add(Duration::DAY).and_then(micros))
        }
        None => OffsetDateTime::parse(value, &Rfc3339).ok().and_then(micros).map(|at| (at, at)),
    };
    bounds.ok_or_else(|| {
        unclear(format!(
            "{term:?} names no day (2026-01-31, in UTC) or time (2026-01-31T18:00:00Z)"
        ))
    })
}

/// A length of time such as `90s`, `10m` or `1h30m`.
fn length(value: &str, term: &str) -> Result<Ticks, Unclear> {
    let mut seconds = Some(0_u64);
    let mut rest = value;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest.as_bytes().get(digits) {
            Some(b'h') => Some(3_600),
            Some(b'm') => Some(60),
            Some(b's') => Some(1),
            _ => None,
        };
        let part = rest[..digits].parse::<u64>().ok().zip(unit);
        let part = part.and_then(|(count, unit)| count.checked_mul(unit));
        seconds = seconds.zip(part).and_then(|(sum, part)| sum.checked_add(part));
        // A century: what is longer is a slip, and would not fit in ticks sooner or later.
        if seconds.is_none_or(|seconds| seconds > 3_200_000_000) {
            return Err(unclear(format!(
                "{term:?} names no length of time such as 90s, 10m or 1h30m"
            )));
        }
        rest = &rest[digits + 1..];
    }
    Ok(Ticks::from_secs(seconds.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Selection {
        text.parse().unwrap()
    }

    fn refusal(text: &str) -> String {
        text.parse::<Selection>().unwrap_err().to_string()
    }

    #[test]
    fn terms_are_read_and_shown_as_they_were_written() {
        let id = RecordingId::new();
        let text = format!(
            "room=a, room=b,id={id},from=2026-01-31,to=2026-02-01,weights!=base.en,version<2,\
             longer=1h30m"
        );
        let selection = parse(&text);
        assert_eq!(selection.rooms, ["a", "b"]);
        assert_eq!(selection.ids, [id]);
        assert_eq!(selection.from.unwrap().to_rfc3339(), "2026-01-31T00:00:00.000Z");
        assert_eq!(selection.before.unwrap().to_rfc3339(), "2026-02-02T00:00:00.000Z");
        assert_eq!(selection.other_weights.as_deref(), Some("base.en"));
        assert_eq!((selection.version_below, selection.weights.as_deref()), (Some(2), None));
        assert_eq!((selection.longer, selection.shorter), (Some(Ticks::from_secs(5_400)), None));
        assert_eq!(selection.to_string(), text.replace(", ", ","));
        assert_eq!(parse(&selection.to_string()), selection);

        let moment = parse("to=2026-01-31T18:00:00+01:00,shorter=90s,weights=tiny.en");
        assert_eq!(moment.before.unwrap().to_rfc3339(), "2026-01-31T17:00:00.000Z");
        assert_eq!(moment.shorter, Some(Ticks::from_secs(90)));
        assert_eq!(moment.weights.as_deref(), Some("tiny.en"));
        assert_eq!(parse("all").to_string(), "all");
    }

    #[test]
    fn what_is_not_clear_is_refused_with_what_there_is() {
        for unknown in ["title=x", "room!=x", "version=2", "version>2", "everything", "=", "<1"] {
            let why = refusal(unknown);
            assert!(why.contains(unknown) || why.contains("names nothing"), "{why}");
        }
        for unknown in ["title=x", "everything", ""] {
            assert!(refusal(unknown).contains("room=SLUG"), "{}", refusal(unknown));
        }
        for wrong in [
            "id=7",
            "room=",
            "from=yesterday",
            "from=2026-02-30",
            "version<-1",
            "version<x",
            "longer=10",
            "longer=m",
            "longer=1d",
            "longer=99999999999999999999h",
            "longer=1hé",
        ] {
            assert!(refusal(wrong).contains(&format!("{wrong:?}")), "{}", refusal(wrong));
        }
        assert!(refusal("all,room=a").contains("stands by itself"));
        assert!(refusal("longer=1m,longer=2m").contains("goes against"));
    }
}
