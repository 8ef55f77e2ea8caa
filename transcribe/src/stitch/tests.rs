use models::Word;
use proptest::prelude::*;

use super::*;

fn word(text: &str, ms: u64) -> Word {
    let start = Ticks::from_millis(ms);
    let span = Span::new(start, start + Ticks::from_millis(200));
    Word { span, text: text.to_owned(), confidence: 0.9 }
}

fn clause(words: &[(&str, u64)]) -> (Clause, Option<Suppressed>) {
    let words = words.iter().map(|(text, ms)| word(text, *ms)).collect();
    (Clause { words, log_probability: -0.1, confidence: 0.9, in_speech: true }, None)
}

fn keep(start: u64, end: u64) -> Span {
    Span::new(Ticks::from_millis(start), Ticks::from_millis(end))
}

fn texts(segments: &[Segment]) -> Vec<&str> {
    segments.iter().map(|segment| segment.text.as_str()).collect()
}

#[test]
fn segments_are_numbered_on_and_carry_their_words() {
    let first = join(None, keep(0, 3000), vec![clause(&[("Hello", 500), ("Sam.", 900)])]);
    let second = join(first.last(), keep(3000, 6000), vec![clause(&[("Bye.", 3500)])]);
    assert_eq!((first[0].ordinal, second[0].ordinal), (0, 1));
    assert_eq!(first[0].text, "Hello Sam.");
    assert_eq!(first[0].span, keep(500, 1100));
}

#[test]
fn what_both_windows_heard_at_a_cut_is_said_once() {
    // Cut at 10 s; both heard one second of the other's side.
    let left = vec![clause(&[("we", 9000), ("keep", 9400), ("every", 9900), ("word", 10_300)])];
    let before = join(None, keep(0, 10_000), left);
    assert_eq!(texts(&before), ["we keep every"]);
    let right =
        vec![clause(&[("keep", 9420), ("every", 9960), ("word", 10_280), ("said.", 10_700)])];
    let after = join(before.last(), keep(10_000, 20_000), right);
    assert_eq!(texts(&after), ["word said."]);
}

#[test]
fn a_word_that_each_window_puts_on_the_others_side_is_not_lost() {
    let before = join(None, keep(0, 10_000), vec![clause(&[("keep", 9400), ("every", 10_050)])]);
    assert_eq!(texts(&before), ["keep"]);
    let after = join(
        before.last(),
        keep(10_000, 20_000),
        vec![clause(&[("every", 9950), ("word", 10_300)])],
    );
    assert_eq!(texts(&after), ["every word"]);
}

#[test]
fn a_word_said_twice_is_said_twice() {
    let before = join(None, keep(0, 3000), vec![clause(&[("Yes.", 2500)])]);
    let after = join(before.last(), keep(3000, 6000), vec![clause(&[("Yes.", 3100)])]);
    assert_eq!(texts(&after), ["Yes."]);
}

#[test]
fn hidden_clauses_keep_their_words_and_their_reason() {
    let hidden = (clause(&[("la", 500), ("la", 800)]).0, Some(Suppressed::Loop));
    let segments = join(None, keep(0, 3000), vec![hidden]);
    assert_eq!(texts(&segments), ["la la"]);
    assert_eq!(segments[0].suppressed, Some(Suppressed::Loop));
}

proptest! {
    /// However two windows hear the words round a cut (each up to 150 ms off), every word is there
    /// once and in order.
    #[test]
    fn a_cut_loses_and_doubles_nothing(
        lengths in prop::collection::vec(250_u64..600, 20),
        left in prop::collection::vec(0_u64..150, 20),
        right in prop::collection::vec(0_u64..150, 20),
        cut in 4000_u64..5000,
    ) {
        let mut at = 0;
        let mut truth = Vec::new();
        for (i, length) in lengths.iter().enumerate() {
            truth.push((format!("w{i}"), at));
            at += length;
        }
        let hear = |from: u64, to: u64, late: &[u64]| {
            let words: Vec<(&str, u64)> = truth
                .iter()
                .zip(late)
                .filter(|((_, at), _)| (from..to).contains(at))
                .map(|((text, at), late)| (text.as_str(), at + late))
                .collect();
            vec![clause(&words)]
        };
        let before = join(None, keep(0, cut), hear(0, cut + 1000, &left));
        let after = join(before.last(), keep(cut, at + 1000), hear(cut - 1000, at + 1, &right));
        let said: Vec<&Word> = before.iter().chain(&after).flat_map(|s| &s.words).collect();
        let texts: Vec<&str> = said.iter().map(|word| word.text.as_str()).collect();
        let expected: Vec<&str> = truth.iter().map(|(text, _)| text.as_str()).collect();
        prop_assert_eq!(texts, expected);
        for pair in said.windows(2) {
            prop_assert!(pair[0].span.start <= pair[1].span.start);
        }
    }
}
