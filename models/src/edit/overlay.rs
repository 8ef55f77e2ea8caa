//! Edits laid over a version of the words. Pure: values in, values out.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Edit, Subject};
use crate::time::{Span, Ticks};
use crate::transcript::{Segment, Word};

/// A version's words with edits laid over them.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlaid {
    /// The segments. One whose words were all taken out stays, without words or text.
    pub segments: Vec<Segment>,
    /// For each segment and each of its words: the number of the edit it comes from.
    pub edited: Vec<Vec<Option<u32>>>,
    /// Edits of words that say something else than the version does, in their order.
    pub conflicts: Vec<Conflict>,
}

/// An edit that says neither what the version says nor was made to replace that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The edit's number.
    pub number: u32,
    /// What the version itself says there.
    pub says: String,
}

/// Why there is nothing that an edit could be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Other words are there now: these.
    Changed(String),
    /// The words share their times with neighbours and can only be edited together with them.
    Inseparable,
}

/// Lays the edits that are in force over a version's segments, in the order of their numbers.
///
/// Edits of words from `reached` on, the time up to which a growing version has its words, are left
/// out until it has them. The replacement's words share the edit's time by their letters. Words keep
/// their order, and starts never go back.
#[must_use]
pub fn overlay(segments: Vec<Segment>, edits: &[Edit], reached: Ticks) -> Overlaid {
    let laid: Vec<_> = edits
        .iter()
        .filter(|edit| edit.undone_at.is_none())
        .filter_map(|edit| match edit.subject {
            Subject::Words(span) if span.end <= reached => Some((edit, span)),
            Subject::Words(_) | Subject::Speaker(_) => None,
        })
        .collect();
    let own = pieces(&segments);
    let mut page = Page { segments, pieces: own.clone(), touched: BTreeSet::new() };
    for (edit, span) in &laid {
        page.lay(edit, *span);
    }
    let conflicts = conflicts(&own, &page.pieces, &laid);
    let (segments, edited) = page.finish();
    Overlaid { segments, edited, conflicts }
}

/// The stretch of media time of words that are shown, and what the version itself says there.
///
/// `span` is told in whole milliseconds: wanted are the words from the first that begins in the same
/// one to the last that ends so, if they read `replaced`.
///
/// # Errors
/// See [`Refusal`].
pub fn locate(
    own: &[Segment],
    shown: &Overlaid,
    span: Span,
    replaced: &str,
) -> Result<(Span, String), Refusal> {
    let words = pieces(&shown.segments);
    let Some(found) = find(&words, span, replaced) else {
        return Err(Refusal::Changed(text(&words[under(&words, span)])));
    };
    let mut exact =
        Span::new(words[found.start].word.span.start, words[found.end - 1].word.span.end);
    exact.end = exact.end.max(exact.start + Ticks(1));
    // Neighbours may reach into it, but not with more than their half.
    if let Some(before) = found.start.checked_sub(1).map(|i| words[i].word.span.middle()) {
        exact.start = exact.start.max(before + Ticks(1));
    }
    if let Some(after) = words.get(found.end) {
        exact.end = exact.end.min(after.word.span.middle());
    }
    if exact.is_empty() || under(&words, exact) != found {
        return Err(Refusal::Inseparable);
    }
    let own = pieces(own);
    Ok((exact, text(&own[under(&own, exact)])))
}

/// Words that begin and end in the same milliseconds as `span` and read `wanted`.
fn find(words: &[Piece], span: Span, wanted: &str) -> Option<Range<usize>> {
    let (start, end) = (span.start.as_millis(), span.end.as_millis());
    let begins = |word: &Piece| word.word.span.start.as_millis() == start;
    let firsts = (0..words.len()).filter(|first| begins(&words[*first]));
    let ranges = firsts.flat_map(|first| {
        let lasts = (first..words.len())
            .take_while(move |last| words[*last].word.span.start.as_millis() <= end);
        lasts.map(move |last| first..last + 1)
    });
    ranges
        .filter(|range| words[range.end - 1].word.span.end.as_millis() == end)
        .find(|range| text(&words[range.clone()]) == wanted)
}

/// One shown word, where it stands, and the edit it comes from.
#[derive(Debug, Clone)]
struct Piece {
    segment: usize,
    word: Word,
    edit: Option<u32>,
}

/// The shown words of all segments.
fn pieces(segments: &[Segment]) -> Vec<Piece> {
    let shown = segments.iter().enumerate().filter(|(_, segment)| segment.suppressed.is_none());
    shown
        .flat_map(|(index, segment)| {
            let piece = move |word: &Word| Piece { segment: index, word: word.clone(), edit: None };
            segment.words.iter().map(piece)
        })
        .collect()
}

fn text(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| piece.word.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// The words said in `span`: those whose middle lies in it, and one that `span`'s middle lies in.
/// Where there are none: the place where they would be.
fn under(words: &[Piece], span: Span) -> Range<usize> {
    let is_under = |piece: &Piece| {
        span.contains(piece.word.span.middle()) || piece.word.span.contains(span.middle())
    };
    match (words.iter().position(is_under), words.iter().rposition(is_under)) {
        (Some(first), Some(last)) => first..last + 1,
        _ => {
            let place = words.iter().position(|piece| piece.word.span.middle() >= span.start);
            let place = place.unwrap_or(words.len());
            place..place
        }
    }
}

/// Segments whose words are being replaced.
struct Page {
    segments: Vec<Segment>,
    pieces: Vec<Piece>,
    /// Segments that are not as they were.
    touched: BTreeSet<usize>,
}

impl Page {
    fn lay(&mut self, edit: &Edit, span: Span) {
        let range = under(&self.pieces, span);
        if range.is_empty() && edit.text.is_empty() {
            return;
        }
        let segment = match self.pieces.get(range.clone()) {
            Some([first, ..]) => first.segment,
            _ => self.nearest(range.start, span),
        };
        let words = share(span, &edit.text).map(|(span, text)| Piece {
            segment,
            word: Word { span, text: text.into(), confidence: 1.0 },
            edit: Some(edit.number),
        });
        self.touched.insert(segment);
        let removed: Vec<_> = self.pieces.splice(range, words.collect::<Vec<_>>()).collect();
        self.touched.extend(removed.iter().map(|piece| piece.segment));
    }

    /// The segment for words that come before piece `place`, where the version has none.
    fn nearest(&mut self, place: usize, span: Span) -> usize {
        let before = place.checked_sub(1).and_then(|i| self.pieces.get(i));
        let after = self.pieces.get(place);
        let silence = |piece: &Piece| {
            let word = piece.word.span;
            span.start.saturating_sub(word.end).max(word.start.saturating_sub(span.end))
        };
        let near = [before, after].into_iter().flatten().min_by_key(|piece| silence(piece));
        near.map(|piece| piece.segment).unwrap_or_else(|| self.empty_segment(span))
    }

    /// A shown segment where no word is shown at all; made where there is none.
    fn empty_segment(&mut self, span: Span) -> usize {
        let shown = self.segments.iter().position(|segment| segment.suppressed.is_none());
        shown.unwrap_or_else(|| {
            let ordinal = self.segments.last().map_or(0, |last| last.ordinal + 1);
            self.segments.push(Segment {
                ordinal,
                span,
                text: String::new(),
                speaker: None,
                confidence: 1.0,
                language: None,
                suppressed: None,
                words: Vec::new(),
            });
            self.segments.len() - 1
        })
    }

    /// The segments with the words that they have now, and the edits these come from.
    fn finish(mut self) -> (Vec<Segment>, Vec<Vec<Option<u32>>>) {
        let mut edited: Vec<Vec<_>> =
            self.segments.iter().map(|s| vec![None; s.words.len()]).collect();
        if self.touched.is_empty() {
            return (self.segments, edited);
        }
        self.keep_order();
        for index in &self.touched {
            self.segments[*index].words.clear();
            edited[*index].clear();
        }
        for piece in self.pieces {
            if self.touched.contains(&piece.segment) {
                self.segments[piece.segment].words.push(piece.word);
                edited[piece.segment].push(piece.edit);
            }
        }
        for index in self.touched {
            let segment = &mut self.segments[index];
            let texts: Vec<_> = segment.words.iter().map(|word| word.text.as_str()).collect();
            segment.text = texts.join(" ");
            for word in &segment.words {
                segment.span.start = segment.span.start.min(word.span.start);
                segment.span.end = segment.span.end.max(word.span.end);
            }
        }
        (self.segments, edited)
    }

    /// A neighbour that reaches into an edit's time begins where the edit's last word does.
    fn keep_order(&mut self) {
        let mut earliest = Ticks::ZERO;
        for piece in &mut self.pieces {
            let span = &mut piece.word.span;
            if span.start < earliest {
                *span = Span::new(earliest, span.end);
                self.touched.insert(piece.segment);
            }
            earliest = span.start;
        }
    }
}

/// The words of `text`, each with its share of `span` by its letters.
fn share(span: Span, text: &str) -> impl Iterator<Item = (Span, &str)> {
    let total: usize = text.split_whitespace().map(|word| word.chars().count()).sum();
    let at = move |chars: usize| {
        let share = u128::from(span.duration().0) * chars as u128 / total.max(1) as u128;
        span.start + Ticks(u64::try_from(share).unwrap_or(u64::MAX))
    };
    text.split_whitespace().scan(0, move |before, word| {
        let start = at(*before);
        *before += word.chars().count();
        Some((Span::new(start, at(*before)), word))
    })
}

/// Edits that say something else than the version's own words, and not what was meant to be
/// replaced. One of which nothing is shown any more is somebody else's decision since.
fn conflicts(own: &[Piece], shown: &[Piece], laid: &[(&Edit, Span)]) -> Vec<Conflict> {
    let seen: BTreeSet<u32> = shown.iter().filter_map(|piece| piece.edit).collect();
    let mut found = Vec::new();
    for (index, (edit, span)) in laid.iter().enumerate() {
        let is_inside = |(_, later): &(&Edit, Span)| later.intersection(*span) == *span;
        let is_covered = if edit.text.is_empty() {
            laid[index + 1..].iter().any(is_inside)
        } else {
            !seen.contains(&edit.number)
        };
        let says = text(&own[under(own, *span)]);
        let says_known = || {
            let same = laid[..=index].iter().filter(|(_, earlier)| earlier == span);
            let mut known = same.flat_map(|(e, _)| [&e.heard, &e.replaced, &e.text]);
            known.any(|text| bare(text) == bare(&says))
        };
        if !is_covered && !says_known() {
            found.push(Conflict { number: edit.number, says });
        }
    }
    found
}

/// The words without punctuation and capitals, which make no other words of them.
fn bare(text: &str) -> String {
    let bare = |word: &str| -> String {
        word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let words = text.split_whitespace().map(bare).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}
