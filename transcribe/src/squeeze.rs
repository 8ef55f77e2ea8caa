//! Audio without its pauses: what the engine hears of a window, and back to where it was said. Pure.
//!
//! A pause costs the engine as much as speech does, and it makes words up there. Of each pause longer
//! than [`KEPT`] the middle is left out; what is kept at both ends tells it that there is one.

use models::{Span, Ticks};

use crate::speech;

/// How much of a pause is kept, half of it at each end.
const KEPT: Ticks = Ticks::from_millis(600);

/// Audio with the middle of its pauses left out. Times in it are those of the audio before, less what
/// was left out before them.
#[derive(Debug)]
pub(crate) struct Squeezed {
    audio: Span,
    /// What was left out, in order.
    cuts: Vec<Span>,
}

impl Squeezed {
    /// Leaves out what is far from all of `speech`, which is in order.
    pub(crate) fn new(audio: Span, speech: &[Span]) -> Self {
        let half = Ticks(KEPT.0 / 2);
        let pauses = speech.windows(2).map(|pair| (pair[0].end, pair[1].start));
        let middles = pauses.map(|(end, start)| (end + half, start.saturating_sub(half)));
        let cuts = middles
            .filter(|(from, to)| from < to)
            .map(|(from, to)| Span::new(from, to).intersection(audio))
            .filter(|cut| !cut.is_empty());
        Self { audio, cuts: cuts.collect() }
    }

    /// The samples that are left of `samples`, which are those of the audio.
    pub(crate) fn samples(&self, samples: &[f32]) -> Vec<f32> {
        let at =
            |tick: Ticks| speech::samples(tick.saturating_sub(self.audio.start)).min(samples.len());
        let mut left = Vec::with_capacity(samples.len());
        let mut from = 0;
        for cut in &self.cuts {
            left.extend_from_slice(&samples[from..at(cut.start)]);
            from = at(cut.end);
        }
        left.extend_from_slice(&samples[from..]);
        left
    }

    /// Where the audio's `at` is in what is left.
    pub(crate) fn inside(&self, at: Ticks) -> Ticks {
        let before = self.cuts.iter().filter(|cut| cut.start < at);
        let gone: Ticks = before.map(|cut| at.min(cut.end).saturating_sub(cut.start)).sum();
        at.saturating_sub(gone)
    }

    /// The same for a stretch.
    pub(crate) fn span_inside(&self, span: Span) -> Span {
        Span::new(self.inside(span.start), self.inside(span.end))
    }

    /// Where what is left at `at` is in the audio; at a cut, before it.
    fn end_outside(&self, at: Ticks) -> Ticks {
        self.cuts.iter().fold(at, |at, cut| if cut.start < at { at + cut.duration() } else { at })
    }

    /// The same; at a cut, after it.
    fn start_outside(&self, at: Ticks) -> Ticks {
        self.cuts.iter().fold(at, |at, cut| if cut.start <= at { at + cut.duration() } else { at })
    }

    /// The same for a stretch.
    pub(crate) fn span_outside(&self, span: Span) -> Span {
        let start = self.start_outside(span.start);
        Span::new(start, self.end_outside(span.end).max(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(start: u64, end: u64) -> Span {
        Span::new(Ticks::from_millis(start), Ticks::from_millis(end))
    }

    fn squeezed() -> Squeezed {
        // A pause of 2 s, one of 600 ms, and one of 1 s.
        let speech =
            [ms(10_000, 11_000), ms(13_000, 13_400), ms(14_000, 15_000), ms(16_000, 17_000)];
        Squeezed::new(ms(9_750, 17_300), &speech)
    }

    #[test]
    fn the_middle_of_long_pauses_is_left_out_and_times_go_there_and_back() {
        let it = squeezed();
        assert_eq!(it.cuts, [ms(11_300, 12_700), ms(15_300, 15_700)]);
        for (outside, inside) in [
            (ms(9_750, 11_000), ms(9_750, 11_000)),
            (ms(13_000, 13_400), ms(11_600, 12_000)),
            (ms(16_000, 17_300), ms(14_200, 15_500)),
            // A word that is drawn out over a pause.
            (ms(10_500, 13_400), ms(10_500, 12_000)),
        ] {
            assert_eq!(it.span_inside(outside), inside);
            assert_eq!(it.span_outside(inside), outside);
        }
        // On the seam: what ends there ends before the pause, what begins there begins after it.
        assert_eq!(it.span_outside(ms(11_000, 11_300)), ms(11_000, 11_300));
        assert_eq!(it.span_outside(ms(11_300, 11_600)), ms(12_700, 13_000));
        assert_eq!(it.inside(Ticks::from_millis(12_000)), Ticks::from_millis(11_300));
    }

    #[test]
    fn what_is_left_of_the_samples_is_as_long_as_it_says() {
        let it = squeezed();
        let samples: Vec<f32> =
            (0..speech::samples(Ticks::from_millis(7_550))).map(|n| n as f32).collect();
        let left = it.samples(&samples);
        assert_eq!(speech::ticks(left.len()), Ticks::from_millis(7_550 - 1_400 - 400));
        let at = |ms: u64| speech::samples(Ticks::from_millis(ms));
        assert_eq!(left[at(1_549)], samples[at(1_549)]);
        assert_eq!(left[at(1_550)], samples[at(2_950)]);
        // Fewer than there should be are no reason to fail.
        assert_eq!(it.samples(&samples[..at(2_000)]).len(), at(1_550));
        assert_eq!(it.samples(&[]).len(), 0);
    }

    #[test]
    fn where_nobody_pauses_everything_is_left() {
        let it = Squeezed::new(ms(0, 5_000), &[ms(1_000, 2_000)]);
        assert_eq!(it.cuts, []);
        assert_eq!(Squeezed::new(ms(0, 5_000), &[]).samples(&[0.5; 100]), [0.5; 100]);
    }
}
