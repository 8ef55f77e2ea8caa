//! Speech for which there are no words: the engine may stop early or leave a sentence out. Pure.

use models::{Span, Ticks};

/// Words reach this far to both sides: pauses between them are no hole.
const REACH: Ticks = Ticks::from_millis(350);

/// Shorter holes hold no word worth another look.
const WORTH: Ticks = Ticks::from_millis(450);

/// The stretches of `speech` (in order) that no word of `words` (in order) is near, long enough to
/// hold words.
#[must_use]
pub fn missed(speech: &[Span], words: &[Span]) -> Vec<Span> {
    let mut missed = Vec::new();
    for span in speech {
        let mut from = span.start;
        for word in words {
            let start = word.start.saturating_sub(REACH);
            let end = word.end + REACH;
            if end <= from || start >= span.end {
                continue;
            }
            missed.push(Span::new(from, start));
            from = from.max(end);
        }
        missed.push(Span::new(from, span.end));
    }
    missed.retain(|hole| hole.duration() >= WORTH);
    missed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(start: u64, end: u64) -> Span {
        Span::new(Ticks::from_millis(start), Ticks::from_millis(end))
    }

    #[test]
    fn a_sentence_without_words_and_an_early_end_are_holes() {
        let speech = [ms(0, 2000), ms(3000, 5000), ms(6000, 12_000)];
        let words = [ms(100, 800), ms(900, 1900), ms(6100, 7000)];
        assert_eq!(missed(&speech, &words), [ms(3000, 5000), ms(7350, 12_000)]);
    }

    #[test]
    fn pauses_between_words_are_no_holes() {
        assert_eq!(missed(&[ms(0, 2000)], &[ms(200, 700), ms(1300, 1700)]), []);
    }

    proptest! {
        #[test]
        fn holes_are_speech_and_no_word_is_in_them(
            speech in prop::collection::vec((0_u64..3000, 100_u64..6000), 0..10),
            words in prop::collection::vec((0_u64..2000, 20_u64..900), 0..30),
        ) {
            let lay = |parts: Vec<(u64, u64)>| {
                let mut at = 0;
                parts.into_iter().map(|(pause, length)| {
                    let span = ms(at + pause, at + pause + length);
                    at += pause + length;
                    span
                }).collect::<Vec<_>>()
            };
            let (speech, words) = (lay(speech), lay(words));
            for hole in missed(&speech, &words) {
                prop_assert!(speech.iter().any(|s| s.intersection(hole) == hole));
                prop_assert!(words.iter().all(|w| w.intersection(hole).is_empty()));
            }
        }
    }
}
