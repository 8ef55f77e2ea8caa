//! From tokens to words with a place in media time. Pure.
//!
//! Four witnesses say when a word starts. The engine says where each clause starts and ends, very
//! well. Inside a clause, its attention had passed over the word before at a known step: about that
//! word's end, a little early, now and then far off (where it was asked: `engine`). The times that it would have put there instead
//! of the word, were the clause to end there, are spread round the true place. And longer words take
//! longer. `path` weighs all of them for a whole clause at once. Over the bundled conversation the
//! middle error is a fifth of that of whisper.cpp's own word times.
//!
//! Then speech has the last word: a start in a pause moves to the speech after it, and words end
//! where speech does.

mod path;

use models::{Span, Ticks, Word};
use serde::{Deserialize, Serialize};

use crate::heard::{Heard, STEP, Text, Token};

/// Where nothing says when a clause ends, it goes on for so long after the attention had passed over
/// its last word.
const AFTER_PASSED: Ticks = Ticks::from_millis(300);
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    let mut clauses: Vec<Clause> = drafts(heard).iter().map(|d| place.clause(d)).collect();
    for i in 1..clauses.len() {
        let next = clauses[i].span().start;
        if let Some(last) = clauses[i - 1].words.last_mut().filter(|last| last.span.start < next) {
            last.span.end = last.span.end.min(next);
        }
    }
    clauses
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
        let passed = self.passed_over(draft);
        let starts = self.starts(draft, &passed);
        let mut words = Vec::with_capacity(draft.words.len());
        let mut in_speech = false;
        for ((tokens, start), passed) in draft.words.iter().zip(starts).zip(passed) {
            let latest = self.audio.end.saturating_sub(SHORTEST);
            let start = self.to_speech(start, passed).max(self.last).min(latest);
            in_speech |= self.speech.iter().any(|span| near(*span, start));
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
            in_speech,
        }
    }

    /// Where the attention had passed over each word.
    fn passed_over(&self, draft: &Draft<'_>) -> Vec<Ticks> {
        let mut last = self.passed;
        let passed = |tokens: &Vec<&Text>| {
            let passed = tokens.iter().rev().find_map(|text| text.passed);
            last = passed.map_or(last, |step| self.at(step)).max(last);
            last
        };
        draft.words.iter().map(passed).collect()
    }

    /// Where each word of a clause starts, before speech is asked.
    fn starts(&self, draft: &Draft<'_>, passed: &[Ticks]) -> Vec<Ticks> {
        let step = |at: Ticks| (at.saturating_sub(self.audio.start).0 / STEP.0) as u32;
        let before = || std::iter::once(&self.passed).chain(passed);
        let start = draft.start.unwrap_or_else(|| step(self.passed));
        let last = passed.last().copied().unwrap_or(self.passed);
        let end = draft.end.unwrap_or_else(|| step((last + AFTER_PASSED).min(self.audio.end)));
        let sights: Vec<path::Sight<'_>> = draft
            .words
            .iter()
            .zip(before())
            .map(|(tokens, passed)| path::Sight {
                letters: read(tokens).chars().filter(|c| c.is_alphanumeric()).count(),
                passed: step(*passed),
                token: tokens.first().copied(),
            })
            .collect();
        match path::starts(start, end, &sights) {
            Some(steps) => steps
                .into_iter()
                .map(|at| self.audio.start + Ticks((at * STEP.0 as f64) as u64))
                .collect(),
            None => before().copied().take(draft.words.len()).collect(),
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
            let next = next.filter(|next| *next > start).unwrap_or(self.audio.end);
            let end = end.max(start + SHORTEST).min(next);
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
