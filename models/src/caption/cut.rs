//! Where cues and lines end.

use std::ops::Range;

use super::{LINE_CHARS, LONGEST, READING, SHORTEST, Token, width};
use crate::time::Ticks;

/// Costs, relative to that of one cue more.
mod cost {
    pub(super) const CUE: u64 = 100;
    /// A sentence ends within the cue: sentences have cues of their own, unless they are too short.
    pub(super) const SENTENCE_WITHIN: u64 = 200;
    /// A segment ends within the cue.
    pub(super) const SEGMENT_WITHIN: u64 = 20;
    /// A cut at a segment's end, at a comma or the like, at a pause, and anywhere else.
    pub(super) const AT_SEGMENT: u64 = 40;
    pub(super) const AT_CLAUSE: u64 = 60;
    pub(super) const AT_PAUSE: u64 = 100;
    pub(super) const ANYWHERE: u64 = 600;
    /// Shown for less than [`super::SHORTEST`], or for too little to be read.
    pub(super) const TOO_SHORT: u64 = 300;
    pub(super) const TOO_FAST: u64 = 100;
    /// A full cue; half a cue costs a quarter, so that a long sentence is cut into equal parts.
    pub(super) const FULL: u64 = 60;
}

/// A silence that can be heard between words.
const PAUSE: Ticks = Ticks::from_millis(300);

/// Cuts a passage of one speaker into cues at the least total cost.
pub(super) fn cut(passage: &[Token<'_>]) -> Vec<Range<usize>> {
    // best[end]: the least cost of cutting the words before `end`, and where its last cue begins.
    let mut best: Vec<(u64, usize)> = vec![(0, 0)];
    for end in 1..=passage.len() {
        let cheapest = (0..end)
            .rev()
            // A cue that does not fit does not fit with another word before it either.
            .take_while(|start| fits(&passage[*start..end]))
            .map(|start| (best[start].0 + price(passage, start..end), start))
            .min_by_key(|(price, _)| *price);
        best.push(cheapest.unwrap_or((u64::MAX / 2, end - 1)));
    }
    let mut cues = Vec::new();
    let mut end = passage.len();
    while end > 0 {
        let start = best[end].1;
        cues.push(start..end);
        end = start;
    }
    cues.reverse();
    cues
}

/// Whether the words can be one cue. A single word always can.
fn fits(words: &[Token<'_>]) -> bool {
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return false };
    let short = last.span.end.saturating_sub(first.span.start) <= LONGEST;
    words.len() == 1 || (short && (line_fits(words) || split(words).is_some()))
}

fn price(passage: &[Token<'_>], cue: Range<usize>) -> u64 {
    let words = &passage[cue.clone()];
    let next = passage.get(cue.end);
    let chars = width(words) as u64;
    let full = 2 * LINE_CHARS as u64;
    let within = |word: &Token<'_>, next: &Token<'_>| {
        cost::SENTENCE_WITHIN * u64::from(ends_sentence(word, next))
            + cost::SEGMENT_WITHIN * u64::from(word.ends_segment)
    };
    let within: u64 = words.iter().zip(&words[1..]).map(|(word, next)| within(word, next)).sum();
    let end = match next {
        Some(next) => end_price(&words[words.len() - 1], next),
        None => 0,
    };
    let room = next.map_or(LONGEST, |next| next.span.start.saturating_sub(words[0].span.start));
    let short = if room < SHORTEST { cost::TOO_SHORT } else { 0 };
    let fast = if room.0 < READING.0 * chars { cost::TOO_FAST } else { 0 };
    let fullness = cost::FULL * chars * chars / (full * full);
    cost::CUE + within + end + short + fast + fullness
}

/// What it costs to end a cue, or a line, after `word`.
fn end_price(word: &Token<'_>, next: &Token<'_>) -> u64 {
    if ends_sentence(word, next) {
        0
    } else if word.ends_segment {
        cost::AT_SEGMENT
    } else if ends_clause(word) {
        cost::AT_CLAUSE
    } else if next.span.start.saturating_sub(word.span.end) >= PAUSE {
        cost::AT_PAUSE
    } else {
        cost::ANYWHERE
    }
}

/// The words as one line, or as two of which neither is too long.
pub(super) fn lines(words: &[Token<'_>]) -> Vec<String> {
    let line =
        |words: &[Token<'_>]| words.iter().map(|word| word.text).collect::<Vec<_>>().join(" ");
    match split(words) {
        Some(at) if !line_fits(words) => vec![line(&words[..at]), line(&words[at..])],
        _ => vec![line(words)],
    }
}

fn line_fits(words: &[Token<'_>]) -> bool {
    words.len() <= 1 || width(words) <= LINE_CHARS
}

/// Where the second line begins: after a clause if the lines do not become too unequal by that.
fn split(words: &[Token<'_>]) -> Option<usize> {
    let unequal = |at: usize| width(&words[..at]).abs_diff(width(&words[at..])) as u64;
    (1..words.len())
        .filter(|at| line_fits(&words[..*at]) && line_fits(&words[*at..]))
        .min_by_key(|at| unequal(*at) * 20 + end_price(&words[*at - 1], &words[*at]))
}

/// Whether a sentence ends with `word`. What goes on in lower case has not ended ("e.g. this").
fn ends_sentence(word: &Token<'_>, next: &Token<'_>) -> bool {
    bare_end(word.text).is_some_and(|c| matches!(c, '.' | '?' | '!' | '…' | '。' | '？' | '！'))
        && !next.text.starts_with(char::is_lowercase)
}

fn ends_clause(word: &Token<'_>) -> bool {
    bare_end(word.text)
        .is_some_and(|c| matches!(c, ',' | ';' | ':' | '–' | '—' | '.' | '?' | '!' | '…'))
}

/// The last character before closing quotes and brackets.
fn bare_end(text: &str) -> Option<char> {
    text.trim_end_matches(['"', '\'', '”', '’', '»', ')', ']']).chars().next_back()
}
