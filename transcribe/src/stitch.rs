//! Joins windows: what each keeps, without saying a word twice where they overlap. Pure.

use models::transcript::Suppressed;
use models::{Segment, Span, Ticks};

use crate::align::Clause;
use crate::score::plain;
use crate::window::OVERLAP;

/// The same word this near to itself was said once.
const SAME: Ticks = Ticks::from_millis(400);

/// Makes a window's clauses (each with why it is hidden) into the segments that follow `before`, the
/// transcript's last segment so far.
///
/// Words that start outside `keep` are another window's. Where `keep` begins in the middle of
/// speech, that window has heard the same words a little differently: those it has kept already are
/// not said again.
#[must_use]
pub fn join(
    before: Option<&Segment>,
    keep: Span,
    clauses: Vec<(Clause, Option<Suppressed>)>,
) -> Vec<Segment> {
    let mut ordinal = before.map_or(0, |segment| segment.ordinal + 1);
    let mut segments = Vec::new();
    for (mut clause, suppressed) in clauses {
        clause
            .words
            .retain(|word| !belongs_before(word.span.start, keep) && word.span.start < keep.end);
        if segments.is_empty() {
            drop_said(&mut clause, before);
        }
        let Some(first) = clause.words.first() else { continue };
        // What was kept of this clause may begin a little before the cut, but never before what is
        // there already.
        let floor =
            before.and_then(|segment| segment.words.last()).map_or(Ticks::ZERO, |w| w.span.start);
        if first.span.start < floor {
            for word in &mut clause.words {
                word.span = Span::new(word.span.start.max(floor), word.span.end.max(floor));
            }
        }
        segments.push(Segment {
            ordinal,
            span: clause.span(),
            text: clause.text(),
            speaker: None,
            language: None,
            confidence: clause.confidence,
            suppressed,
            words: clause.words,
        });
        ordinal += 1;
    }
    segments
}

/// Whether a word that starts there was the window before's. A little before the cut it may yet be
/// one that the window before put behind the cut.
fn belongs_before(start: Ticks, keep: Span) -> bool {
    start + SAME < keep.start
}

/// Drops the words at the beginning of a clause that the segment before ends with, and those that
/// lie before its end.
fn drop_said(clause: &mut Clause, before: Option<&Segment>) {
    let Some(before) = before else { return };
    let Some(last) = before.words.last() else { return };
    let said = |word: &models::Word| {
        before.words.iter().rev().take(4).any(|known| {
            plain(&known.text) == plain(&word.text)
                && known.span.start.0.abs_diff(word.span.start.0) < SAME.0
        })
    };
    // The last word that both have said: everything up to it is there already.
    let twice = clause
        .words
        .iter()
        .take_while(|word| word.span.start < last.span.end + OVERLAP)
        .enumerate()
        .filter(|(_, word)| said(word))
        .map(|(i, _)| i + 1)
        .last();
    clause.words.drain(..twice.unwrap_or(0));
    clause.words.retain(|word| word.span.start > last.span.start);
}

#[cfg(test)]
mod tests;
