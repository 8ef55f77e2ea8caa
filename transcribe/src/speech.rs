//! Where somebody speaks: a score for every 16 ms, and a gate with hysteresis over the scores.
//!
//! The scores are earshot's (a small network inside that crate); the gate is pure.

use models::{Span, Ticks};

/// Samples per second that this crate listens to.
pub const RATE: u32 = 16_000;

/// Samples that get one score.
pub const FRAME: usize = 256;

/// Media time of one sample at [`RATE`].
const SAMPLE: u64 = models::TICKS_PER_SECOND / RATE as u64;

/// Media time of one frame.
const FRAME_TICKS: u64 = FRAME as u64 * SAMPLE;

/// Where the frame begins that `at` is in, counted from the recording's first sample.
#[must_use]
pub const fn frame_at(at: Ticks) -> Ticks {
    Ticks(at.0 - at.0 % FRAME_TICKS)
}

/// When speech begins and ends, in scores (0 to 1) and frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// Speech begins at a score of at least this.
    pub on: f32,
    /// It goes on while the score is at least this.
    pub off: f32,
    /// It ends when the score was lower for this many frames.
    pub silence: u64,
    /// What has fewer frames than this at `off` or more is a click, not speech.
    pub speech: u64,
    /// The score of a frame says something of the frames before it too: speech begins this many
    /// frames before the first loud one.
    pub lead: u64,
}

impl Default for Gate {
    fn default() -> Self {
        Self { on: 0.5, off: 0.35, silence: 12, speech: 5, lead: 2 }
    }
}

/// Frames (numbered from 0; the end is not inside) in which somebody speaks, found score by score.
#[derive(Debug, Clone)]
pub struct Frames {
    gate: Gate,
    next: u64,
    run: Option<Run>,
    free_from: u64,
}

/// Speech that has begun and not ended.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    /// After its last frame that was not silent.
    end: u64,
    voiced: u64,
}

impl Frames {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(gate: Gate) -> Self {
        Self { gate, next: 0, run: None, free_from: 0 }
    }

    /// Takes the next frame's score; gives the speech that it shows to be over.
    pub fn push(&mut self, score: f32) -> Option<(u64, u64)> {
        let (frame, gate) = (self.next, self.gate);
        self.next += 1;
        match &mut self.run {
            None if score >= gate.on => {
                let start = frame.saturating_sub(gate.lead).max(self.free_from);
                self.run = Some(Run { start, end: frame + 1, voiced: 1 });
                None
            }
            None => None,
            Some(run) if score >= gate.off => {
                run.end = frame + 1;
                run.voiced += 1;
                None
            }
            Some(run) if frame + 1 - run.end < gate.silence => None,
            Some(_) => self.finish(),
        }
    }

    /// The speech that runs on, where any does and it is long enough to count.
    pub fn finish(&mut self) -> Option<(u64, u64)> {
        let run = self.run.take()?;
        let counts = run.voiced >= self.gate.speech;
        if counts {
            self.free_from = run.end;
        }
        counts.then_some((run.start, run.end))
    }

    /// First frame of the speech that has begun and not ended.
    #[must_use]
    pub fn open(&self) -> Option<u64> {
        self.run.map(|run| run.start)
    }
}

/// Finds speech in samples as they come.
pub struct Detector {
    scorer: Box<earshot::Detector>,
    frames: Frames,
    origin: Ticks,
    /// Stretches that hold no words whatever they sound like, in order.
    deaf: Vec<Span>,
    rest: Vec<f32>,
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Detector {
    /// A detector whose first sample is at `origin`. In the stretches `deaf` (in order) nobody
    /// speaks.
    #[must_use]
    pub fn new(origin: Ticks, gate: Gate, deaf: Vec<Span>) -> Self {
        Self {
            scorer: earshot::Detector::default_boxed(),
            frames: Frames::new(gate),
            origin,
            deaf,
            rest: Vec::with_capacity(FRAME),
        }
    }

    /// Takes the next samples (16 kHz, one channel); gives the speech that they show to be over.
    pub fn push(&mut self, samples: &[f32]) -> Vec<Span> {
        let mut over = Vec::new();
        for &sample in samples {
            // The scorer insists on its range; decoders overshoot it a little.
            self.rest.push(sample.clamp(-1.0, 1.0));
            if self.rest.len() == FRAME {
                let score = self.scorer.predict_f32(&self.rest);
                self.rest.clear();
                let middle = self.at(self.frames.next) + Ticks(FRAME_TICKS / 2);
                let score = if self.is_deaf(middle) { 0.0 } else { score };
                over.extend(self.frames.push(score).map(|frames| self.span(frames)));
            }
        }
        over
    }

    /// The speech that still runs when there is no more audio.
    pub fn finish(&mut self) -> Option<Span> {
        self.frames.finish().map(|frames| self.span(frames))
    }

    /// Where the speech began that has not ended.
    #[must_use]
    pub fn open(&self) -> Option<Ticks> {
        self.frames.open().map(|frame| self.at(frame))
    }

    /// All audio before this has been judged, but for speech that is still [`open`](Self::open) and
    /// for what may yet become the first frames of speech.
    #[must_use]
    pub fn heard(&self) -> Ticks {
        self.at(self.frames.next)
    }

    /// How long before [`heard`](Self::heard) speech may yet turn out to have begun.
    #[must_use]
    pub fn lead(&self) -> Ticks {
        Ticks(self.frames.gate.lead * FRAME_TICKS)
    }

    fn at(&self, frame: u64) -> Ticks {
        self.origin + Ticks(frame * FRAME_TICKS)
    }

    fn span(&self, (start, end): (u64, u64)) -> Span {
        Span::new(self.at(start), self.at(end))
    }

    fn is_deaf(&self, at: Ticks) -> bool {
        let before = self.deaf.partition_point(|span| span.end <= at);
        self.deaf.get(before).is_some_and(|span| span.contains(at))
    }
}

/// The media time of so many samples at [`RATE`].
#[must_use]
pub const fn ticks(samples: usize) -> Ticks {
    Ticks(samples as u64 * SAMPLE)
}

/// How many samples at [`RATE`] so much media time has, rounded down.
#[must_use]
pub const fn samples(length: Ticks) -> usize {
    (length.0 / SAMPLE) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(scores: &[f32], gate: Gate) -> Vec<(u64, u64)> {
        let mut frames = Frames::new(gate);
        let mut spans: Vec<_> = scores.iter().filter_map(|score| frames.push(*score)).collect();
        spans.extend(frames.finish());
        spans
    }

    const GATE: Gate = Gate { on: 0.5, off: 0.3, silence: 3, speech: 2, lead: 1 };

    #[test]
    fn a_short_dip_does_not_end_speech_and_a_pause_does() {
        let scores = [0.0, 0.0, 0.9, 0.8, 0.1, 0.1, 0.7, 0.4, 0.1, 0.1, 0.1, 0.0, 0.9, 0.9];
        assert_eq!(run(&scores, GATE), [(1, 8), (11, 14)]);
    }

    #[test]
    fn a_click_is_not_speech() {
        assert_eq!(run(&[0.0, 0.9, 0.0, 0.0, 0.0, 0.0], GATE), []);
    }

    #[test]
    fn a_middling_score_goes_on_with_speech_but_does_not_begin_it() {
        assert_eq!(run(&[0.4; 20], GATE), []);
        assert_eq!(run(&[0.6, 0.4, 0.4, 0.4, 0.4, 0.4], GATE), [(0, 6)]);
    }

    proptest! {
        #[test]
        fn every_loud_stretch_is_inside_and_spans_never_touch(
            scores in prop::collection::vec(0.0_f32..1.0, 0..400)
        ) {
            let spans = run(&scores, GATE);
            for pair in spans.windows(2) {
                prop_assert!(pair[0].1 <= pair[1].0);
            }
            for (i, two) in scores.windows(2).enumerate() {
                if two.iter().all(|score| *score >= GATE.on) {
                    let inside = |(a, b): &(u64, u64)| *a <= i as u64 && i as u64 + 1 < *b;
                    prop_assert!(spans.iter().any(inside));
                }
            }
            for (start, end) in spans {
                prop_assert!(start < end && end <= scores.len() as u64);
            }
        }
    }

    #[test]
    fn silence_hum_and_noise_are_not_speech() {
        let mut seed = 1_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let hum = |i: usize| (i as f32 * 50.0 * std::f32::consts::TAU / 16_000.0).sin() * 0.1;
        let sounds: [Vec<f32>; 3] = [
            vec![0.0; 160_000],
            (0..160_000).map(hum).collect(),
            (0..160_000).map(|_| noise() * 0.05).collect(),
        ];
        for sound in sounds {
            let mut detector = Detector::new(Ticks::ZERO, Gate::default(), Vec::new());
            let mut spans = detector.push(&sound);
            spans.extend(detector.finish());
            // The scorer takes the first moments of sudden noise for a voice; the engine does not.
            let late = |span: &Span| span.end > Ticks::from_millis(400);
            assert!(spans.len() <= 1 && !spans.iter().any(late), "{spans:?}");
        }
    }
}
