//! How near a transcript comes to words and times that are known: word error rate by edit distance,
//! errors of word and clause starts over the words that were recognised.

use std::fmt;

use serde::Deserialize;

/// What was really said, and when.
#[derive(Debug, Clone, Deserialize)]
pub struct Truth {
    /// What was said in one go, by one speaker.
    pub turns: Vec<Turn>,
}

/// What one speaker said in one go.
#[derive(Debug, Clone, Deserialize)]
pub struct Turn {
    /// Who.
    pub speaker: String,
    /// Its words in order.
    pub words: Vec<Spoken>,
}

/// A word that was said.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Spoken {
    /// The word, with its punctuation.
    pub word: String,
    /// Its start in seconds.
    pub start: f64,
    /// Its end in seconds.
    pub end: f64,
}

/// A transcript in the form in which the API gives it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Transcript {
    /// Its segments in order.
    pub segments: Vec<Segment>,
}

/// A segment in the form in which the API gives it; other members are ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct Segment {
    /// Its start in milliseconds of media time.
    pub start_ms: u64,
    /// Why it is hidden; hidden segments do not count.
    #[serde(default)]
    pub suppressed: Option<String>,
    /// Its words in order.
    pub words: Vec<Word>,
}

/// A word in the form in which the API gives it; other members are ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct Word {
    /// Its start in milliseconds of media time.
    pub start_ms: u64,
    /// Its end in milliseconds of media time.
    pub end_ms: u64,
    /// The word.
    pub text: String,
}

impl From<&models::Segment> for Segment {
    fn from(segment: &models::Segment) -> Self {
        let word = |word: &models::Word| Word {
            start_ms: word.span.start.as_millis(),
            end_ms: word.span.end.as_millis(),
            text: word.text.clone(),
        };
        Self {
            start_ms: segment.span.start.as_millis(),
            suppressed: segment.suppressed.map(|reason| format!("{reason:?}")),
            words: segment.words.iter().map(word).collect(),
        }
    }
}

/// How near a transcript comes to the truth. Errors of times are absolute, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Words that were said.
    pub words: usize,
    /// Words wrong, missing or added.
    pub errors: usize,
    /// `errors` / `words`.
    pub word_error_rate: f64,
    /// Middle error of the starts of the words that were recognised.
    pub word_start_median_s: f64,
    /// The error that one word start in twenty exceeds.
    pub word_start_p95_s: f64,
    /// Largest error of a word start.
    pub word_start_max_s: f64,
    /// Middle error, with its sign, of the word starts: positive is late.
    pub word_start_bias_s: f64,
    /// Middle error of the clause starts: of the first word of each turn, or where that was not
    /// heard at all, of the segment that starts nearest.
    pub clause_start_median_s: f64,
    /// Largest error of a clause start.
    pub clause_start_max_s: f64,
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "word error rate {:.2} % ({} of {}); word starts off by {:.3} s (median), {:.3} s \
             (p95), {:.3} s (max), {:+.3} s (bias); clause starts off by {:.3} s (median), {:.3} s \
             (max)",
            self.word_error_rate * 100.0,
            self.errors,
            self.words,
            self.word_start_median_s,
            self.word_start_p95_s,
            self.word_start_max_s,
            self.word_start_bias_s,
            self.clause_start_median_s,
            self.clause_start_max_s,
        )
    }
}

impl Truth {
    /// Reads the truth from JSON: `{"turns": [{"speaker", "words": [{"word", "start", "end"}]}]}`.
    ///
    /// # Errors
    /// What serde says of other JSON.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }
}

/// Compares a transcript with the truth. Case and punctuation do not count.
#[must_use]
pub fn score(truth: &Truth, transcript: &Transcript) -> Score {
    let said: Vec<(&Spoken, bool)> = truth
        .turns
        .iter()
        .flat_map(|turn| turn.words.iter().enumerate().map(|(i, word)| (word, i == 0)))
        .collect();
    let shown = || transcript.segments.iter().filter(|segment| segment.suppressed.is_none());
    let heard: Vec<&Word> = shown().flat_map(|segment| &segment.words).collect();
    let alignment = align(
        &said.iter().map(|(word, _)| plain(&word.word)).collect::<Vec<_>>(),
        &heard.iter().map(|word| plain(&word.text)).collect::<Vec<_>>(),
    );
    let late = |said: &Spoken, ms: u64| ms as f64 / 1000.0 - said.start;
    let mut words = Vec::new();
    let mut clauses = Vec::new();
    for ((word, first), paired) in said.iter().zip(&alignment.pairs) {
        if let Some((index, true)) = *paired {
            words.push(late(word, heard[index].start_ms));
        }
        if *first {
            let nearest = || shown().map(|s| late(word, s.start_ms).abs()).min_by(f64::total_cmp);
            let start = paired.map(|(index, _)| late(word, heard[index].start_ms).abs());
            clauses.push(start.or_else(nearest).unwrap_or(f64::INFINITY));
        }
    }
    let bias = quantile(&mut words, 0.5);
    words.iter_mut().for_each(|error| *error = error.abs());
    Score {
        words: said.len(),
        errors: alignment.errors,
        word_error_rate: alignment.errors as f64 / said.len().max(1) as f64,
        word_start_median_s: quantile(&mut words, 0.5),
        word_start_p95_s: quantile(&mut words, 0.95),
        word_start_max_s: quantile(&mut words, 1.0),
        word_start_bias_s: bias,
        clause_start_median_s: quantile(&mut clauses, 0.5),
        clause_start_max_s: quantile(&mut clauses, 1.0),
    }
}

/// The word as it is compared: lower case, letters, digits and apostrophes alone.
#[must_use]
pub fn plain(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_alphanumeric() || *c == '\'')
        .flat_map(char::to_lowercase)
        .collect()
}

struct Alignment {
    errors: usize,
    /// For each word said: which word was heard in its place, and whether it is the same.
    pairs: Vec<Option<(usize, bool)>>,
}

/// The cheapest way from `said` to `heard`: substitutions, deletions and insertions cost one each.
fn align(said: &[String], heard: &[String]) -> Alignment {
    let (rows, columns) = (said.len() + 1, heard.len() + 1);
    let mut cost: Vec<Vec<usize>> = vec![(0..columns).collect()];
    for i in 1..rows {
        let mut row = vec![i];
        for j in 1..columns {
            let wrong = usize::from(said[i - 1] != heard[j - 1]);
            row.push((cost[i - 1][j - 1] + wrong).min(cost[i - 1][j] + 1).min(row[j - 1] + 1));
        }
        cost.push(row);
    }
    let mut pairs = vec![None; said.len()];
    let (mut i, mut j) = (said.len(), heard.len());
    while i > 0 && j > 0 {
        let wrong = usize::from(said[i - 1] != heard[j - 1]);
        if cost[i][j] == cost[i - 1][j - 1] + wrong {
            (i, j) = (i - 1, j - 1);
            pairs[i] = Some((j, wrong == 0));
        } else if cost[i][j] == cost[i - 1][j] + 1 {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    Alignment { errors: cost[said.len()][heard.len()], pairs }
}

/// The value below which this share of `values` lies; 0 where there is none. Sorts them.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Truth {
        Truth::parse(
            r#"{"turns": [
                {"speaker": "Maya", "words": [
                    {"word": "Hello", "start": 1.0, "end": 1.4},
                    {"word": "Sam,", "start": 1.4, "end": 2.0}]},
                {"speaker": "Sam", "words": [
                    {"word": "Good", "start": 3.0, "end": 3.3},
                    {"word": "night.", "start": 3.3, "end": 3.9}]}]}"#,
        )
        .unwrap()
    }

    fn heard(words: &[(&str, u64)]) -> Transcript {
        let words: Vec<Word> = words
            .iter()
            .map(|(text, ms)| Word { start_ms: *ms, end_ms: ms + 100, text: (*text).to_owned() })
            .collect();
        let start_ms = words.first().map_or(0, |word| word.start_ms);
        Transcript { segments: vec![Segment { start_ms, suppressed: None, words }] }
    }

    #[test]
    fn the_same_words_at_the_same_times_are_perfect() {
        let score = score(
            &truth(),
            &heard(&[("hello", 1000), ("sam", 1400), ("good", 3000), ("night", 3300)]),
        );
        assert_eq!((score.errors, score.words), (0, 4));
        assert!(score.word_start_max_s < 1e-9 && score.clause_start_max_s < 1e-9);
    }

    #[test]
    fn wrong_missing_and_added_words_cost_one_each() {
        let score = score(
            &truth(),
            &heard(&[("hello", 1050), ("uh", 1200), ("ben", 1400), ("night", 3500)]),
        );
        // "uh" for "Sam" and "ben" for "Good", or one added and one missing: three in all cannot be less.
        assert_eq!(score.errors, 2);
        assert!((score.word_error_rate - 0.5).abs() < 1e-9);
        assert!((score.word_start_max_s - 0.2).abs() < 1e-9);
        assert!((score.word_start_bias_s - 0.2).abs() < 0.16);
    }

    #[test]
    fn a_clause_that_was_not_heard_counts_as_far_as_the_nearest_segment() {
        let score = score(&truth(), &heard(&[("hello", 1000), ("sam", 1400)]));
        assert_eq!(score.errors, 2);
        assert!((score.clause_start_max_s - 2.0).abs() < 1e-9);
    }

    #[test]
    fn hidden_segments_do_not_count() {
        let mut transcript = heard(&[("nonsense", 500)]);
        transcript.segments[0].suppressed = Some("loop".to_owned());
        let score = score(&truth(), &transcript);
        assert_eq!(score.errors, 4);
        assert!(score.clause_start_max_s.is_infinite());
    }
}
