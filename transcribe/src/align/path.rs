//! Where the words of a clause start, given where the clause starts and ends: the mean over all ways
//! to lay its words one after the other, weighed by what the engine saw and by how long words take.
//! (The forward-backward algorithm over a left-to-right chain of words with lengths.)

use crate::heard::Text;

/// Steps that the attention passes over a word's end too early, in the middle.
const LATER: f64 = 2.0;
/// Steps by which that differs from word to word. It has outliers: its weight falls off slowly.
const SPREAD: f64 = 5.0;
/// Share of the times that say nothing about the word.
const STRAY: f64 = 0.05;
/// A word's length is this uncertain, as a natural logarithm.
const LENGTH_SPREAD: f64 = 0.4;
/// Pauses make any length possible, with at least this weight.
const PAUSE: f64 = 1e-6;
/// A word takes time like this many letters more than it has.
const LETTERS: f64 = 2.0;
/// No word takes fewer steps.
const SHORTEST: usize = 2;
/// Nor more, pauses after it included, but for the last.
const LONGEST: usize = 250;

/// What is known of one word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    /// Letters and digits in it.
    pub(super) letters: usize,
    /// The step at which the attention had passed over the word before it.
    pub(super) passed: u32,
    /// Its first token.
    pub(super) token: Option<&'a Text>,
}

/// For each word of a clause from step `start` to step `end`, at which step it starts. The first
/// starts with the clause. `None` where the clause is too short for its words.
pub(super) fn starts(start: u32, end: u32, words: &[Sight<'_>]) -> Option<Vec<f64>> {
    let steps = (end.checked_sub(start)? + 1) as usize;
    if words.is_empty() || steps <= SHORTEST * words.len() {
        return None;
    }
    let lengths = lengths(words, steps);
    let seen: Vec<Vec<f64>> = words.iter().map(|word| seen(word, start, steps)).collect();

    let mut first = vec![0.0; steps];
    first[0] = 1.0;
    let mut forward = vec![first];
    for k in 1..words.len() {
        let row = (0..steps).map(|at| {
            let from = at.saturating_sub(LONGEST);
            let before = from..=at.saturating_sub(SHORTEST);
            seen[k][at] * before.map(|u| forward[k - 1][u] * lengths[k - 1][at - u]).sum::<f64>()
        });
        let row = normal(row.collect())?;
        forward.push(row);
    }
    let last = words.len() - 1;
    let mut backward: Vec<f64> = (0..steps).map(|at| lengths[last][steps - 1 - at]).collect();
    let mut means = vec![0.0; words.len()];
    for k in (0..words.len()).rev() {
        let weights = normal(forward[k].iter().zip(&backward).map(|(f, b)| f * b).collect())?;
        let mean: f64 = weights.iter().enumerate().map(|(at, weight)| at as f64 * weight).sum();
        means[k] = f64::from(start) + mean;
        if k > 0 {
            let row = (0..steps).map(|at| {
                let after = at + SHORTEST..steps.min(at + LONGEST + 1);
                after.map(|u| backward[u] * seen[k][u] * lengths[k - 1][u - at]).sum()
            });
            backward = normal(row.collect())?;
        }
    }
    Some(means)
}

/// For each word, the weight of each length in steps.
fn lengths(words: &[Sight<'_>], steps: usize) -> Vec<Vec<f64>> {
    let size = |word: &Sight<'_>| word.letters as f64 + LETTERS;
    let all: f64 = words.iter().map(size).sum();
    let weigh = |word: &Sight<'_>| {
        let expected = (steps as f64 * size(word) / all).max(SHORTEST as f64);
        let weight = |length: usize| {
            if length < SHORTEST {
                return 0.0;
            }
            let away = (length as f64 / expected).ln() / LENGTH_SPREAD;
            (-away * away / 2.0).exp() + PAUSE
        };
        (0..steps).map(weight).collect()
    };
    words.iter().map(weigh).collect()
}

/// For each step, how well it fits what the engine saw of the word's start.
fn seen(word: &Sight<'_>, start: u32, steps: usize) -> Vec<f64> {
    let expected = f64::from(word.passed) - f64::from(start) + LATER;
    let mut clock = vec![STRAY / steps as f64; steps];
    for (step, log_probability) in word.token.into_iter().flat_map(|token| &token.clock) {
        let at = step.checked_sub(start).map(|at| at as usize);
        if let Some(weight) = at.and_then(|at| clock.get_mut(at)) {
            *weight += (1.0 - STRAY) * f64::from(*log_probability).exp();
        }
    }
    for (at, weight) in clock.iter_mut().enumerate() {
        let away = (at as f64 - expected) / SPREAD;
        *weight /= 1.0 + away * away;
    }
    clock
}

/// Scaled to a sum of one; `None` where nothing is left.
fn normal(mut weights: Vec<f64>) -> Option<Vec<f64>> {
    let sum: f64 = weights.iter().sum();
    if !(sum > 0.0 && sum.is_finite()) {
        return None;
    }
    weights.iter_mut().for_each(|weight| *weight /= sum);
    Some(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(clock: &[(u32, f32)]) -> Text {
        Text { clock: clock.to_vec(), ..Text::default() }
    }

    #[test]
    fn words_share_a_clause_by_their_letters_where_nothing_was_seen() {
        let word = |letters| Sight { letters, passed: 0, token: None };
        let starts = starts(100, 160, &[word(4), word(4), word(4)]).unwrap();
        assert!((starts[0] - 100.0).abs() < 1e-9);
        assert!(starts[1] > 108.0 && starts[1] < 122.0, "{starts:?}");
        assert!(starts[2] > starts[1] + 10.0 && starts[2] < 148.0, "{starts:?}");
    }

    #[test]
    fn what_was_seen_decides() {
        let clock = text(&[(29, -1.1), (30, -0.7), (31, -1.5), (900, -3.0)]);
        let words = [
            Sight { letters: 5, passed: 10, token: None },
            Sight { letters: 5, passed: 28, token: Some(&clock) },
        ];
        let starts = starts(10, 60, &words).unwrap();
        assert!((starts[1] - 30.0).abs() < 1.0, "{starts:?}");
    }

    #[test]
    fn attention_that_strayed_is_outvoted_by_the_lengths_of_the_other_words() {
        let unseen = text(&[]);
        let word = |letters, passed| Sight { letters, passed, token: Some(&unseen) };
        // The third word is said to begin with the clause's second step.
        let starts = starts(0, 80, &[word(6, 0), word(6, 18), word(6, 0), word(6, 58)]).unwrap();
        assert!(starts[2] > 30.0 && starts[2] < 50.0, "{starts:?}");
    }

    #[test]
    fn a_clause_too_short_for_its_words_is_left_to_others() {
        let word = Sight { letters: 3, passed: 0, token: None };
        assert_eq!(starts(10, 13, &[word; 3]), None);
        assert_eq!(starts(10, 5, &[word]), None);
        assert_eq!(starts(0, 10, &[]), None);
    }
}
