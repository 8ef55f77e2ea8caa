//! Captions: segments become [`Cue`]s, cues become WebVTT or SRT, segments become plain text.
//!
//! A cue is what a viewer reads at once: at most two lines of [`LINE_CHARS`] characters, shown for
//! at most [`LONGEST`] and, where the next cue allows, for at least [`SHORTEST`]. Cues never overlap,
//! no word is split or lost, and suppressed segments are not shown. Among all ways to cut a passage
//! `cut` takes the cheapest: cuts at sentence ends, clause ends and pauses cost little, cuts within a
//! clause and cues too short to read cost much.
//!
//! Speakers are named as the segments name them: whoever wants names in place of labels puts them
//! into the segments first.

mod cut;
mod write;

#[cfg(test)]
mod tests;

use crate::time::{Span, Ticks};
use crate::transcript::Segment;

pub use write::{srt, txt, webvtt};

/// Longest line of a cue, in characters; only a single longer word exceeds it.
pub const LINE_CHARS: usize = 42;
/// Longest time a cue is shown.
pub const LONGEST: Ticks = Ticks::from_secs(7);
/// Shortest time a cue is shown, unless the next one begins earlier.
pub const SHORTEST: Ticks = Ticks::from_millis(800);

/// A silence this long ends a cue, so that none stands on the screen while nobody speaks.
const LONG_PAUSE: Ticks = Ticks::from_secs(1);
/// Least distance between the starts of two words. Captions are written in milliseconds, and a cue
/// must end after it begins.
const STEP: Ticks = Ticks::from_millis(1);
/// Time in which anyone reads one character (20 a second); a cue stays that long if it can.
const READING: Ticks = Ticks::from_millis(50);

/// A caption as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// When it is shown.
    pub span: Span,
    /// One or two lines, none of them empty.
    pub lines: Vec<String>,
    /// Who speaks, where known.
    pub speaker: Option<String>,
}

/// The captions of a transcript, in order.
#[must_use]
pub fn cues(segments: &[Segment]) -> Vec<Cue> {
    let tokens = tokens(segments);
    let mut cues: Vec<Cue> = Vec::new();
    for passage in tokens.chunk_by(|a, b| !separate(a, b)) {
        for cut in cut::cut(passage) {
            let words = &passage[cut];
            let (Some(first), Some(last)) = (words.first(), words.last()) else { continue };
            if let Some(before) = cues.last_mut() {
                before.span.end = before.span.end.min(first.span.start);
            }
            cues.push(Cue {
                span: shown(first.span.start, last.span.end, width(words)),
                lines: cut::lines(words),
                speaker: first.speaker.map(str::to_owned),
            });
        }
    }
    cues
}

/// One word to be shown, with what decides where a cue may end.
#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    /// Characters of `text`.
    chars: usize,
    span: Span,
    speaker: Option<&'a str>,
    /// Whether it is the last one of its segment.
    ends_segment: bool,
}

/// Whether a cue has to end between two neighbours.
fn separate(a: &Token<'_>, b: &Token<'_>) -> bool {
    a.speaker != b.speaker || b.span.start.saturating_sub(a.span.end) >= LONG_PAUSE
}

/// Characters of the words in one line.
fn width(words: &[Token<'_>]) -> usize {
    words.iter().map(|word| word.chars + 1).sum::<usize>().saturating_sub(1)
}

/// When words said from `start` to `end` are shown, if nothing comes after them.
fn shown(start: Ticks, end: Ticks, chars: usize) -> Span {
    let reading = Ticks(READING.0.saturating_mul(chars as u64));
    let wanted = end.max(start + SHORTEST).max(start + reading);
    Span::new(start, wanted.min(start + LONGEST))
}

/// The visible words in order, at times that rise by [`STEP`] at least.
fn tokens(segments: &[Segment]) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for segment in segments.iter().filter(|segment| segment.suppressed.is_none()) {
        let speaker = segment.speaker.as_deref();
        if segment.words.is_empty() {
            spread(&segment.text, segment.span, speaker, &mut tokens);
        }
        for word in &segment.words {
            spread(&word.text, word.span, speaker, &mut tokens);
        }
        if let Some(last) = tokens.last_mut() {
            last.ends_segment = true;
        }
    }
    let mut earliest = Ticks::ZERO;
    for token in &mut tokens {
        let start = token.span.start.max(earliest);
        token.span = Span::new(start, token.span.end);
        earliest = start + STEP;
    }
    tokens
}

/// Adds the words of `text`, each with its share of `span` by length.
fn spread<'a>(text: &'a str, span: Span, speaker: Option<&'a str>, tokens: &mut Vec<Token<'a>>) {
    let total: usize = text.split_whitespace().map(|word| word.chars().count()).sum();
    let at = |chars: usize| {
        let share = u128::from(span.duration().0) * chars as u128 / total.max(1) as u128;
        span.start + Ticks(u64::try_from(share).unwrap_or(u64::MAX))
    };
    let mut before = 0;
    for word in text.split_whitespace() {
        let chars = word.chars().count();
        let span = Span::new(at(before), at(before + chars));
        before += chars;
        tokens.push(Token { text: word, chars, span, speaker, ends_segment: false });
    }
}
