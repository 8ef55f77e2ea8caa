//! From tokens to words with a place in media time. Pure.
//!
//! Three witnesses say when a word starts. A clause's first word starts at the time that the engine
//! put before the clause. Inside a clause, the engine's attention had passed over the word before it
//! at a known step, which is about its end, a little early; and the times that the engine would have
//! put there instead of the word, were the clause to end there, are spread round the true place. The
//! start is the mean of those times, weighed by their probability and by their distance from where
//! the attention says the last word ended. Over the bundled conversation the median error is a third
//! of that of either witness alone.
//!
//! Then speech has the last word: a start in a pause moves to the speech after it, and words end
//! where speech does.

use models::{Span, Ticks, Word};

use crate::heard::{Heard, STEP, Text, Token};

/// A word starts about this long after the attention had passed over the one before it …
const AFTER_PASSED: Ticks = Ticks::from_millis(60);
/// … give or take this.
const SPREAD: Ticks = Ticks::from_millis(150);
/// Times are looked at from this long before the attention had passed over the last word …
const EARLY: Ticks = Ticks::from_millis(60);
/// … to this long after it had passed over the word itself.
const LATE: Ticks = Ticks::from_millis(40);
/// No word is shorter than this.
const SHORTEST: Ticks = STEP;
/// Nor longer than this, unless the engine says where it ends.
const LONGEST: Ticks = Ticks::from_millis(1500);
/// A start may lie this far before the speech that was found: its onset is found a little late.
const ONSET: Ticks = Ticks::from_millis(150);
/// A start this near the end of speech belongs to the speech that follows, when the word goes on
/// there.
const TAIL: Ticks = Ticks::from_millis(250);
/// What is this far from all speech was not said.
const AWAY: Ticks = Ticks::from_millis(500);

/// Words between two times: about a clause.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// Its words in order; at least one.
    pub words: Vec<Word>,
    /// Mean natural logarithm of the probabilities of its tokens.
    pub log_probability: f32,
    /// Mean probability of its tokens, 0 to 1.
    pub confidence: f32,
    /// Whether anybody spoke there. Where nobody did, the words were made up.
    pub in_speech: bool,
}

impl Clause {
    /// From the start of its first word to the end of its last.
    #[must_use]
    pub fn span(&self) -> Span {
        let ends = self.words.first().zip(self.words.last());
        ends.map_or(Span::default(), |(first, last)| Span::new(first.span.start, last.span.end))
    }

    /// Its words, joined by spaces.
    #[must_use]
    pub fn text(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|word| word.text.as_str()).collect();
        words.join(" ")
    }
}

/// Gives what was heard its place: the clip's first sample is at `origin`, its audio ends at `end`,
/// and somebody speaks in the stretches `speech`.
///
/// Words come in order: none starts before the one before it, and all lie between `origin` and
/// `end`.
#[must_use]
pub fn align(heard: &Heard, audio: Span, speech: &[Span]) -> Vec<Clause> {
    let mut place = Place { audio, speech, last: audio.start, passed: audio.start };
    drafts(heard).iter().map(|draft| place.clause(draft)).collect()
}

/// A clause as tokens.
#[derive(Debug, Default)]
struct Draft<'a> {
    start: Option<u32>,
    words: Vec<Vec<&'a Text>>,
    end: Option<u32>,
}

/// Splits tokens into clauses and words.
fn drafts(heard: &Heard) -> Vec<Draft<'_>> {
    let mut drafts = Vec::new();
    let mut draft = Draft::default();
    for token in &heard.tokens {
        match token {
            Token::Time(step) if draft.words.is_empty() => draft.start = Some(*step),
            Token::Time(step) => {
                draft.end = Some(*step);
                drafts.push(std::mem::take(&mut draft));
            }
            Token::Text(text) => match draft.words.last_mut() {
                Some(word) if !begins_word(word, text) => word.push(text),
                _ => draft.words.push(vec![text]),
            },
        }
    }
    drafts.push(draft);
    drafts.retain_mut(|draft| {
        draft.words.retain(|word| !read(word).is_empty());
        !draft.words.is_empty()
    });
    drafts
}

/// Whether `text` begins a new word after the tokens of `word`. A lone space or dash is the
/// beginning of what follows it.
fn begins_word(word: &[&Text], text: &Text) -> bool {
    text.bytes.starts_with(b" ") && !read(word).is_empty()
}

fn read(word: &[&Text]) -> String {
    let bytes: Vec<u8> = word.iter().flat_map(|text| text.bytes.iter().copied()).collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// Where the aligner stands.
struct Place<'a> {
    audio: Span,
    speech: &'a [Span],
    /// Where the last word started.
    last: Ticks,
    /// Where the attention had passed over the last word.
    passed: Ticks,
}

impl Place<'_> {
    fn at(&self, step: u32) -> Ticks {
        (self.audio.start + Ticks(u64::from(step) * STEP.0)).min(self.audio.end)
    }

    fn clause(&mut self, draft: &Draft<'_>) -> Clause {
        let mut words = Vec::with_capacity(draft.words.len());
        let mut witnessed = false;
        for (i, tokens) in draft.words.iter().enumerate() {
            let stamp = draft.start.filter(|_| i == 0).map(|step| self.at(step));
            let passed = tokens.iter().rev().find_map(|text| text.passed);
            let passed = passed.map_or(self.passed, |step| self.at(step)).max(self.passed);
            let start = stamp.unwrap_or_else(|| self.start(tokens, passed));
            let latest = self.audio.end.saturating_sub(SHORTEST);
            let start = self.to_speech(start, passed).max(self.last).min(latest);
            witnessed |= self.speech.iter().any(|span| near(*span, start));
            words.push(Word {
                span: Span::new(start, start),
                text: read(tokens),
                confidence: confidence(tokens.iter().copied()),
            });
            // Two words cannot start at once.
            self.last = (start + SHORTEST).min(latest);
            self.passed = passed;
        }
        self.ends(&mut words, draft.end.map(|step| self.at(step)));
        let tokens = || draft.words.iter().flatten().copied();
        let count = tokens().count().max(1) as f32;
        Clause {
            words,
            log_probability: tokens().map(|text| text.log_probability).sum::<f32>() / count,
            confidence: confidence(tokens()),
            in_speech: witnessed,
        }
    }

    /// Where a word inside a clause starts, the attention having passed over it at `passed`.
    fn start(&self, tokens: &[&Text], passed: Ticks) -> Ticks {
        let expected = self.passed + AFTER_PASSED;
        let range = Span::new(self.passed.saturating_sub(EARLY), passed + LATE);
        let times = tokens.first().into_iter().flat_map(|text| text.clock.iter());
        let (mut weights, mut sum) = (0.0, 0.0);
        for (step, log_probability) in times {
            let at = self.at(*step);
            if range.contains(at) {
                let away = (at.0 as f64 - expected.0 as f64) / SPREAD.0 as f64;
                let weight = (f64::from(*log_probability) - away * away / 2.0).exp();
                weights += weight;
                sum += weight * (at.0 - range.start.0) as f64;
            }
        }
        if weights > 0.0 {
            range.start + Ticks((sum / weights) as u64)
        } else {
            expected.min(passed.max(self.passed))
        }
    }

    /// Moves a start that lies in a pause to the speech after it; the attention has passed over the
    /// word at `passed`.
    fn to_speech(&self, start: Ticks, passed: Ticks) -> Ticks {
        let after = self.speech.partition_point(|span| span.end <= start);
        let Some(here) = self.speech.get(after) else { return start };
        if start < here.start {
            return if start + ONSET < here.start { here.start } else { start };
        }
        match self.speech.get(after + 1) {
            Some(next) if here.end <= start + TAIL && next.start < passed => next.start,
            _ => start,
        }
    }

    /// Ends each word where the next starts, where its speech ends, or where the clause does.
    fn ends(&self, words: &mut [Word], clause_end: Option<Ticks>) {
        for i in 0..words.len() {
            let start = words[i].span.start;
            let next = words.get(i + 1).map(|next| next.span.start);
            let longest = start + LONGEST;
            let limit = match next {
                Some(next) => next.min(longest),
                None => clause_end.unwrap_or(longest),
            };
            let spoken = self.speech.iter().find(|span| span.end > start);
            let end = spoken.map_or(limit, |span| limit.min(span.end.max(start + SHORTEST)));
            let end = end.max(start + SHORTEST).min(next.unwrap_or(self.audio.end));
            words[i].span = Span::new(start, end);
        }
    }
}

fn near(speech: Span, at: Ticks) -> bool {
    speech.start.saturating_sub(AWAY) <= at && at <= speech.end + AWAY
}

/// Mean probability of tokens, 0 to 1.
fn confidence<'a>(tokens: impl Iterator<Item = &'a Text>) -> f32 {
    let (count, sum) =
        tokens.fold((0, 0.0), |(n, sum), text| (n + 1, sum + text.log_probability.exp()));
    if count == 0 { 0.0 } else { (sum / count as f32).clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests;
