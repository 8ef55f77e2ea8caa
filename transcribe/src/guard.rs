//! What the engine made up: hidden with a reason, never dropped. Pure.

use models::transcript::Suppressed;

use crate::align::Clause;
use crate::score::plain;

/// Above this the engine is sure that nobody spoke, provided it was guessing too.
const NO_SPEECH: f32 = 0.6;
/// Below this mean natural logarithm of the probability, tokens are guesses (Whisper's own value).
const GUESSING: f32 = -1.0;
/// Longest phrase, in words, that is looked for again and again.
const LONGEST_PHRASE: usize = 10;
/// What Whisper is known to write where nobody says it: credits of the subtitles that it was trained
/// on. A clause that is nothing else was not said.
const CREDITS: [&str; 8] = [
    "subtitles by the amaraorg community",
    "subtitles by the amara org community",
    "transcription by castingwords",
    "transcribed by httpsotterai",
    "subtitles by steamteamextra",
    "translation by releasing the scroll",
    "www mooji org",
    "wwwmoojiorg",
];
/// What it writes there too, and people do say: hidden where the engine was in doubt.
const FAREWELLS: [&str; 9] = [
    "thank you",
    "thank you for watching",
    "thanks for watching",
    "thank you so much for watching",
    "please subscribe",
    "please subscribe to my channel",
    "see you next time",
    "bye bye",
    "you",
];
/// In doubt: more likely than this nobody spoke …
const DOUBT_NO_SPEECH: f32 = 0.3;
/// … or tokens were less likely than this (natural logarithm, mean).
const DOUBT: f32 = -0.6;
/// Said this often in a row …
const TIMES: usize = 4;
/// … and this many words in all, a phrase is a loop: people do say "no, no, no, no".
const WORDS: usize = 8;

/// For each clause of a window, why it is hidden; `None`: shown. `no_speech` is how sure the engine
/// is that nobody spoke in the window.
#[must_use]
pub fn judge(clauses: &[Clause], no_speech: f32) -> Vec<Option<Suppressed>> {
    let looping = loops(clauses);
    let silent = no_speech > NO_SPEECH && mean(clauses) < GUESSING;
    clauses
        .iter()
        .zip(looping)
        .map(|(clause, looping)| {
            let wordless = clause.words.iter().all(|word| plain(&word.text).is_empty());
            if silent || wordless || !clause.in_speech {
                Some(Suppressed::Silence)
            } else if looping {
                Some(Suppressed::Loop)
            } else if is_phantom(clause, no_speech) {
                Some(Suppressed::Phantom)
            } else if clause.log_probability < GUESSING {
                Some(Suppressed::LowConfidence)
            } else {
                None
            }
        })
        .collect()
}

/// Whether the clause is a phrase that is known to be made up.
fn is_phantom(clause: &Clause, no_speech: f32) -> bool {
    let words: Vec<String> = clause.words.iter().map(|word| plain(&word.text)).collect();
    let (text, known) = (words.join(" "), |phrases: &[&str], text: &str| phrases.contains(&text));
    let in_doubt = no_speech > DOUBT_NO_SPEECH || clause.log_probability < DOUBT;
    known(&CREDITS, &text) || (in_doubt && known(&FAREWELLS, &text))
}

/// Whether trying again in another way may give something better.
#[must_use]
pub fn doubtful(clauses: &[Clause]) -> bool {
    loops(clauses).contains(&true) || mean(clauses) < GUESSING
}

/// Mean natural logarithm of the probability over all words of all clauses; 0 for none.
#[must_use]
pub fn mean(clauses: &[Clause]) -> f32 {
    let words: usize = clauses.iter().map(|clause| clause.words.len()).sum();
    let sum: f32 = clauses.iter().map(|c| c.log_probability * c.words.len() as f32).sum();
    if words == 0 { 0.0 } else { sum / words as f32 }
}

/// For each clause, whether it is part of a phrase said again and again.
fn loops(clauses: &[Clause]) -> Vec<bool> {
    let words: Vec<(usize, String)> = clauses
        .iter()
        .enumerate()
        .flat_map(|(i, clause)| clause.words.iter().map(move |word| (i, plain(&word.text))))
        .collect();
    let mut looping = vec![false; clauses.len()];
    for length in 1..=LONGEST_PHRASE {
        // How many words in a row are the same as the word one phrase before them.
        let mut run = 0;
        for at in length..=words.len() {
            if at < words.len() && words[at].1 == words[at - length].1 {
                run += 1;
                continue;
            }
            if run + length >= WORDS.max(TIMES * length) {
                for (clause, _) in &words[at - run - length..at] {
                    looping[*clause] = true;
                }
            }
            run = 0;
        }
    }
    looping
}

#[cfg(test)]
mod tests {
    use models::{Span, Ticks, Word};

    use super::*;

    fn clause(text: &str, log_probability: f32) -> Clause {
        let word = |(i, text): (usize, &str)| Word {
            span: Span::new(Ticks::from_secs(i as u64), Ticks::from_secs(i as u64 + 1)),
            text: text.to_owned(),
            confidence: log_probability.exp(),
        };
        Clause {
            words: text.split(' ').enumerate().map(word).collect(),
            log_probability,
            confidence: log_probability.exp(),
            in_speech: true,
        }
    }

    #[test]
    fn what_people_say_is_shown() {
        let clauses = [clause("No, no, no, no, no!", -0.2), clause("that is not it.", -0.4)];
        assert_eq!(judge(&clauses, 0.9), [None, None]);
        assert!(!doubtful(&clauses));
    }

    #[test]
    fn a_loop_over_several_clauses_is_hidden_and_what_stands_before_it_is_not() {
        let mut clauses = vec![clause("We begin.", -0.1)];
        clauses.extend((0..5).map(|_| clause("Thank you for watching.", -0.1)));
        let mut expected = vec![None];
        expected.extend([Some(Suppressed::Loop); 5]);
        assert_eq!(judge(&clauses, 0.0), expected);
        assert!(doubtful(&clauses));
    }

    #[test]
    fn a_word_stuck_in_a_clause_is_a_loop() {
        assert_eq!(
            judge(&[clause("and and and and and and and and", -0.1)], 0.0),
            [Some(Suppressed::Loop)]
        );
    }

    #[test]
    fn guesses_are_hidden_and_guesses_in_silence_say_so() {
        let clauses = [clause("Thanks.", -1.5)];
        assert_eq!(judge(&clauses, 0.1), [Some(Suppressed::LowConfidence)]);
        assert_eq!(judge(&clauses, 0.9), [Some(Suppressed::Silence)]);
    }

    #[test]
    fn credits_were_never_said_and_a_thank_you_was_unless_the_engine_doubts() {
        let credits = [clause("Subtitles by the Amara.org community", -0.1)];
        assert_eq!(judge(&credits, 0.0), [Some(Suppressed::Phantom)]);
        let thanks = clause("Thank you for watching!", -0.2);
        assert_eq!(judge(std::slice::from_ref(&thanks), 0.0), [None]);
        assert_eq!(judge(std::slice::from_ref(&thanks), 0.5), [Some(Suppressed::Phantom)]);
        let within = [clause("Thank you for watching the children.", -0.8)];
        assert_eq!(judge(&within, 0.5), [None]);
    }

    #[test]
    fn a_lone_stop_is_silence() {
        assert_eq!(judge(&[clause(".", -0.1)], 0.0), [Some(Suppressed::Silence)]);
    }

    #[test]
    fn words_where_nobody_spoke_are_hidden() {
        let mut made_up = clause("Thank you.", -0.1);
        made_up.in_speech = false;
        assert_eq!(judge(&[made_up], 0.0), [Some(Suppressed::Silence)]);
    }
}
