//! What two versions of a recording's words differ in, word by word. Pure.
//!
//! Both versions stand on one timeline, so that they are compared stretch by stretch, cut where
//! nobody speaks in either: a word is never matched with one that was said minutes away, and the work
//! grows with the length of the recording and not with its square.

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::time::{Span, Ticks};
use crate::transcript::{Segment, Word};

/// A silence this long, in both versions, may end a stretch …
const SILENCE: Ticks = Ticks::from_millis(200);
/// … of this many words of both, …
const ENOUGH: usize = 200;
/// … and from this many on any silence does.
const MANY: usize = 2_000;

/// Words one after the other that stand in both versions, or in one only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// In which they stand.
    pub kind: Kind,
    /// From the first one's start to the last one's end: in the newer version where they stand in
    /// both.
    pub span: Span,
    /// The words.
    pub words: Vec<String>,
}

/// In which versions words stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In both.
    Equal,
    /// In the older one only.
    Removed,
    /// In the newer one only.
    Added,
}

/// What is to be done with the shown words of `older` to get those of `newer`, in the order of time.
/// Neighbouring runs are of different kinds. Words are the same where every letter and mark is.
#[must_use]
pub fn diff(older: &[Segment], newer: &[Segment]) -> Vec<Run> {
    let (older, newer) = (shown(older), shown(newer));
    let mut runs = Vec::new();
    let (mut older, mut newer) = (&older[..], &newer[..]);
    while !older.is_empty() || !newer.is_empty() {
        let (olds, news) = stretch(older, newer);
        compare(&older[..olds], &newer[..news], &mut runs);
        (older, newer) = (&older[olds..], &newer[news..]);
    }
    runs
}

fn shown(segments: &[Segment]) -> Vec<&Word> {
    let shown = segments.iter().filter(|segment| segment.suppressed.is_none());
    shown.flat_map(|segment| &segment.words).collect()
}

/// How many words of each belong to the next stretch.
fn stretch(older: &[&Word], newer: &[&Word]) -> (usize, usize) {
    let (mut olds, mut news) = (0, 0);
    let mut end = Ticks::ZERO;
    loop {
        let (old, new) = (older.get(olds), newer.get(news));
        let starts = [old, new].map(|word| word.map(|word| word.span.start));
        let Some(next) = starts.into_iter().flatten().min() else { return (olds, news) };
        let taken = olds + news;
        let silence = next.saturating_sub(end);
        if (taken >= ENOUGH && silence >= SILENCE) || (taken >= MANY && silence > Ticks::ZERO) {
            return (olds, news);
        }
        let word = if starts[0] == Some(next) {
            olds += 1;
            old
        } else {
            news += 1;
            new
        };
        end = word.map_or(end, |word| end.max(word.span.end));
    }
}

/// Adds what two stretches differ in.
fn compare(older: &[&Word], newer: &[&Word], runs: &mut Vec<Run>) {
    let texts = |words: &[&Word]| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
    for op in capture_diff_slices(Algorithm::Patience, &texts(older), &texts(newer)) {
        match op {
            DiffOp::Equal { new_index, len, .. } => {
                add(runs, Kind::Equal, &newer[new_index..new_index + len]);
            }
            DiffOp::Delete { old_index, old_len, .. } => {
                add(runs, Kind::Removed, &older[old_index..old_index + old_len]);
            }
            DiffOp::Insert { new_index, new_len, .. } => {
                add(runs, Kind::Added, &newer[new_index..new_index + new_len]);
            }
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                add(runs, Kind::Removed, &older[old_index..old_index + old_len]);
                add(runs, Kind::Added, &newer[new_index..new_index + new_len]);
            }
        }
    }
}

fn add(runs: &mut Vec<Run>, kind: Kind, words: &[&Word]) {
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return };
    let span = Span::new(first.span.start, last.span.end);
    let words = words.iter().map(|word| word.text.clone());
    match runs.last_mut() {
        Some(run) if run.kind == kind => {
            run.span.end = span.end.max(run.span.end);
            run.words.extend(words);
        }
        _ => runs.push(Run { kind, span, words: words.collect() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Words of 300 ms, half a second apart, from the given times (in half seconds) on.
    fn said(words: &[(u64, &str)]) -> Vec<Segment> {
        let word = |(at, text): &(u64, &str)| Word {
            span: Span::new(Ticks::from_millis(at * 500), Ticks::from_millis(at * 500 + 300)),
            text: (*text).into(),
            confidence: 0.9,
        };
        let words: Vec<_> = words.iter().map(word).collect();
        let span = Span::new(Ticks::ZERO, words.last().map_or(Ticks::ZERO, |last| last.span.end));
        vec![Segment {
            ordinal: 0,
            span,
            text: String::new(),
            speaker: None,
            confidence: 0.9,
            language: None,
            suppressed: None,
            words,
        }]
    }

    fn in_a_row(text: &str) -> Vec<Segment> {
        said(&(0..).zip(text.split(' ')).collect::<Vec<_>>())
    }

    fn written(runs: &[Run]) -> String {
        let run = |run: &Run| {
            let words = run.words.join(" ");
            match run.kind {
                Kind::Equal => words,
                Kind::Removed => format!("[-{words}-]"),
                Kind::Added => format!("{{+{words}+}}"),
            }
        };
        runs.iter().map(run).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_changed_word_is_removed_and_added_where_it_is_said() {
        let runs =
            diff(&in_a_row("they came to teh old house"), &in_a_row("they came to the house"));
        assert_eq!(written(&runs), "they came to [-teh old-] {+the+} house");
        assert_eq!(
            (runs[1].span.start, runs[1].span.end),
            (Ticks::from_millis(1_500), Ticks::from_millis(2_300))
        );
        assert_eq!(runs[3].span.start, Ticks::from_millis(2_000), "the newer one's time");
    }

    #[test]
    fn hidden_words_are_no_difference() {
        let mut hidden = in_a_row("thanks for watching");
        hidden[0].suppressed = Some(crate::transcript::Suppressed::Silence);
        assert_eq!(diff(&hidden, &[]), []);
        assert_eq!(written(&diff(&in_a_row("a b"), &hidden)), "[-a b-]");
    }

    #[test]
    fn a_word_is_not_matched_with_one_said_long_after() {
        let filler: Vec<_> = (0..600).map(|at| (at, "and")).collect();
        let mut early = filler.clone();
        early[10].1 = "owl";
        let mut late = filler;
        late[590].1 = "owl";
        let runs = diff(&said(&early), &said(&late));
        let equal: Vec<_> = runs.iter().filter(|run| run.kind == Kind::Equal).collect();
        assert!(equal.iter().all(|run| !run.words.contains(&"owl".into())), "{}", written(&runs));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_neighbours_differ(
            older in proptest::collection::vec(("[abc]", 0u64..3), 0..700),
            newer in proptest::collection::vec(("[abc]", 0u64..3), 0..700),
        ) {
            let times = |words: &[(String, u64)]| -> Vec<(u64, String)> {
                words.iter().scan(0, |at, (word, wait)| { *at += wait; Some((*at, word.clone())) }).collect()
            };
            let (older, newer) = (times(&older), times(&newer));
            let segments = |words: &[(u64, String)]| {
                said(&words.iter().map(|(at, word)| (*at, word.as_str())).collect::<Vec<_>>())
            };
            let runs = diff(&segments(&older), &segments(&newer));
            let side = |without: Kind| -> Vec<String> {
                runs.iter().filter(|run| run.kind != without).flat_map(|run| run.words.clone()).collect()
            };
            let texts = |words: &[(u64, String)]| words.iter().map(|(_, word)| word.clone()).collect::<Vec<_>>();
            prop_assert_eq!(side(Kind::Added), texts(&older));
            prop_assert_eq!(side(Kind::Removed), texts(&newer));
            prop_assert!(runs.windows(2).all(|pair| pair[0].kind != pair[1].kind));
            prop_assert!(runs.iter().all(|run| !run.words.is_empty()));
        }
    }
}
