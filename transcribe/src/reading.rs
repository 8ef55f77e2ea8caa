//! One clip to clauses: hear, align, judge; try once more where the engine is in doubt; look again
//! where somebody speaks and no words came. Pure but for the engine, which is handed in.

use std::borrow::Cow;

use models::transcript::{Coverage, Suppressed};
use models::{Span, Ticks};
use serde::{Deserialize, Serialize};

use crate::align::{Clause, align};
use crate::heard::Heard;
use crate::listen::Clip;
use crate::squeeze::Squeezed;
use crate::{coverage, guard, speech};

/// Temperature of the one further try. Greedy decoding repeats itself; a little chance breaks loops.
const SECOND_TRY: f32 = 0.4;

/// At most so many holes of one window are looked at again.
const LOOKS: usize = 8;

/// Audio given to the engine on both sides of a hole.
const AROUND: Ticks = Ticks::from_millis(250);

/// A clause and why it is hidden; `None`: shown.
pub type Judged = (Clause, Option<Suppressed>);

/// What was made of a clip.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Its clauses in order, each with why it is hidden.
    pub clauses: Vec<Judged>,
    /// The language that was spoken (ISO 639-1), where the engine tells.
    pub language: Option<Cow<'static, str>>,
    /// How long people speak in what the window keeps, and where they do without words.
    pub coverage: Coverage,
}

/// What is said in a clip. `hear` decodes samples at a temperature.
///
/// # Errors
/// Those of `hear`.
pub fn read<E>(
    clip: &Clip,
    mut hear: impl FnMut(&[f32], f32) -> Result<Heard, E>,
) -> Result<Reading, E> {
    let window = &clip.window;
    let (mut judged, language) = pass(&clip.samples, window.audio, &window.speech, &mut hear)?;
    // Where nothing but hidden words came it was no speech, but music perhaps: there is more of it.
    let is_noise = !judged.is_empty() && judged.iter().all(|(_, hidden)| hidden.is_some());
    let holes = match is_noise {
        true => Vec::new(),
        false => coverage::missed(&window.speech, &spoken(&judged)),
    };
    for hole in holes.into_iter().take(LOOKS) {
        let around = Span::new(hole.start.saturating_sub(AROUND), hole.end + AROUND);
        let audio = around.intersection(window.audio);
        let offset = |at: Ticks| speech::samples(at.saturating_sub(window.audio.start));
        let end = offset(audio.end).min(clip.samples.len());
        let samples = &clip.samples[offset(audio.start).min(end)..end];
        let (mut found, _) = pass(samples, audio, &[hole], &mut hear)?;
        for (clause, _) in &mut found {
            clause.words.retain(|word| hole.contains(word.span.start));
        }
        found.retain(|(clause, hidden)| hidden.is_none() && !clause.words.is_empty());
        if !found.is_empty() {
            tracing::debug!(at = %hole.start, "words found on a second look");
            insert(&mut judged, found, hole.start);
        }
    }
    let kept = |span: &Span| span.intersection(window.keep);
    let bare = coverage::missed(&window.speech, &spoken(&judged));
    let coverage = Coverage {
        speech: window.speech.iter().map(|span| kept(span).duration()).sum(),
        bare: bare.iter().map(kept).filter(|span| !span.is_empty()).collect(),
    };
    Ok(Reading { clauses: judged, language: language.map(Cow::Borrowed), coverage })
}

/// Hears a stretch once, or twice where the first is doubtful.
fn pass<E>(
    samples: &[f32],
    audio: Span,
    speech: &[Span],
    hear: &mut impl FnMut(&[f32], f32) -> Result<Heard, E>,
) -> Result<(Vec<Judged>, Option<&'static str>), E> {
    let squeezed = Squeezed::new(audio, speech);
    let samples = squeezed.samples(samples);
    let place = |heard: &Heard| placed(heard, &squeezed, audio, speech);
    let mut heard = hear(&samples, 0.0)?;
    let mut clauses = place(&heard);
    if guard::doubtful(&clauses) {
        let again = hear(&samples, SECOND_TRY)?;
        let other = place(&again);
        if !other.is_empty() && !guard::doubtful(&other) {
            (heard, clauses) = (again, other);
        }
    }
    let verdicts = guard::judge(&clauses, heard.no_speech);
    Ok((clauses.into_iter().zip(verdicts).collect(), heard.language))
}

/// What was heard of audio without its pauses, with its place in the audio.
fn placed(heard: &Heard, squeezed: &Squeezed, audio: Span, speech: &[Span]) -> Vec<Clause> {
    let inside: Vec<Span> = speech.iter().map(|span| squeezed.span_inside(*span)).collect();
    let mut clauses = align(heard, squeezed.span_inside(audio), &inside);
    for word in clauses.iter_mut().flat_map(|clause| &mut clause.words) {
        word.span = squeezed.span_outside(word.span);
    }
    clauses
}

/// Where words were said that can be relied on to have been said about there.
fn spoken(judged: &[Judged]) -> Vec<Span> {
    judged
        .iter()
        .filter(|(_, hidden)| matches!(hidden, None | Some(Suppressed::LowConfidence)))
        .flat_map(|(clause, _)| clause.words.iter().map(|word| word.span))
        .collect()
}

/// Puts clauses that begin at or after `at`, where no words were, into their place.
fn insert(judged: &mut Vec<Judged>, found: Vec<Judged>, at: Ticks) {
    let before = judged.partition_point(|(clause, _)| clause.span().start < at);
    if let Some((clause, hidden)) = before.checked_sub(1).and_then(|i| judged.get_mut(i)) {
        let split = clause.words.partition_point(|word| word.span.start < at);
        let words = clause.words.split_off(split);
        if !words.is_empty() {
            let rest = (Clause { words, ..clause.clone() }, *hidden);
            judged.insert(before, rest);
        }
    }
    judged.splice(before..before, found);
}

#[cfg(test)]
mod tests;
