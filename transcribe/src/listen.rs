//! From samples to windows with their audio: speech, packing and a buffer that holds little more
//! than one window. Pure.

use std::collections::VecDeque;

use models::{Gap, Span, Ticks};

use crate::speech::{self, Detector, Gate};
use crate::window::{OVERLAP, Packer, Policy, Window};

/// How much before the place to go on at is listened to again, so that speech that was cut there
/// is known for what it is.
pub const PRE_ROLL: Ticks = OVERLAP;

/// Concealed stretches this long are silenced: there are no words in what the decoder made up.
const CONCEALED: Ticks = Ticks::from_millis(100);

/// Length of the stretches whose loudness is compared to find the quietest place.
const QUIET: Ticks = Ticks::from_millis(40);

/// A window and its samples (16 kHz, one channel).
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// What is in it.
    pub window: Window,
    /// The samples of the window's audio.
    pub samples: Vec<f32>,
}

/// Turns samples into clips.
#[derive(Debug)]
pub struct Listener {
    detector: Detector,
    packer: Packer,
    buffer: Buffer,
    gaps: Vec<Span>,
    ready: VecDeque<Clip>,
}

impl Listener {
    /// Goes on at `covered`: everything before it is done. The first sample pushed must be the one
    /// at [`Self::from`]`(covered)`. `gaps` are those of the recording, in order: they hold no words.
    #[must_use]
    pub fn new(policy: Policy, covered: Ticks, gaps: &[Gap]) -> Self {
        let from = Self::from(covered);
        let gaps: Vec<Span> = gaps
            .iter()
            .map(|gap| Span::new(gap.start, gap.start + gap.duration))
            .filter(|gap| !gap.is_empty() && gap.end > from)
            .collect();
        Self {
            detector: Detector::new(from, Gate::default(), gaps.clone()),
            packer: Packer::new(policy, covered),
            buffer: Buffer { start: from, samples: Vec::new() },
            gaps,
            ready: VecDeque::new(),
        }
    }

    /// Where to begin listening in order to go on at `covered`: [`PRE_ROLL`] before, or up to a frame
    /// more. Frames lie as they do for who listens from the beginning, who finds the same speech.
    #[must_use]
    pub fn from(covered: Ticks) -> Ticks {
        speech::frame_at(covered.saturating_sub(PRE_ROLL))
    }

    /// Takes the next samples.
    pub fn push(&mut self, samples: &[f32]) {
        let new = self.buffer.end();
        self.buffer.samples.extend_from_slice(samples);
        for gap in self.gaps.iter().filter(|gap| gap.duration() >= CONCEALED && gap.end > new) {
            self.buffer.silence(*gap);
        }
        let heard = self.buffer.slice(Span::new(new, self.buffer.end()));
        let over = self.detector.push(heard);
        let quietest = |range: Span| self.buffer.quietest(range);
        for span in over {
            self.packer.speech(span, &quietest);
        }
        self.packer.heard(self.detector.heard(), self.detector.open(), &quietest);
        if self.detector.open().is_none() {
            // A margin, so that whoever goes on there hears the onset of what follows.
            let quiet = self.detector.heard().saturating_sub(self.detector.lead() + OVERLAP);
            self.packer.skip_to(quiet);
        }
        self.collect();
    }

    /// There are no more samples.
    pub fn finish(&mut self) {
        if let Some(span) = self.detector.finish() {
            let quietest = |range: Span| self.buffer.quietest(range);
            self.packer.speech(span, &quietest);
        }
        self.packer.finish(self.buffer.end());
        self.collect();
    }

    /// The next clip whose contents are certain.
    pub fn pop(&mut self) -> Option<Clip> {
        self.ready.pop_front()
    }

    /// Everything before this is silent or in a clip that was given out.
    #[must_use]
    pub fn frontier(&self) -> Ticks {
        self.packer.frontier()
    }

    fn collect(&mut self) {
        while let Some(window) = self.packer.pop() {
            let samples = self.buffer.slice(window.audio).to_vec();
            self.ready.push_back(Clip { window, samples });
        }
        self.buffer.forget(self.packer.needed_from());
    }
}

/// Samples from `start` on.
#[derive(Debug)]
struct Buffer {
    start: Ticks,
    samples: Vec<f32>,
}

impl Buffer {
    fn end(&self) -> Ticks {
        self.start + speech::ticks(self.samples.len())
    }

    fn slice(&self, span: Span) -> &[f32] {
        let at =
            |tick: Ticks| speech::samples(tick.saturating_sub(self.start)).min(self.samples.len());
        &self.samples[at(span.start)..at(span.end)]
    }

    fn silence(&mut self, span: Span) {
        let at =
            |tick: Ticks| speech::samples(tick.saturating_sub(self.start)).min(self.samples.len());
        let range = at(span.start)..at(span.end);
        self.samples[range].fill(0.0);
    }

    fn forget(&mut self, before: Ticks) {
        let count = speech::samples(before.saturating_sub(self.start)).min(self.samples.len());
        self.samples.drain(..count);
        self.start += speech::ticks(count);
    }

    /// The middle of the quietest part of a stretch.
    fn quietest(&self, range: Span) -> Ticks {
        let part = speech::samples(QUIET);
        let energy = |samples: &[f32]| samples.iter().map(|sample| sample * sample).sum::<f32>();
        self.slice(range)
            .chunks_exact(part)
            .enumerate()
            .min_by(|(_, a), (_, b)| energy(a).total_cmp(&energy(b)))
            .map_or(range.end, |(i, _)| range.start + speech::ticks(i * part + part / 2))
    }
}

#[cfg(test)]
mod tests;
