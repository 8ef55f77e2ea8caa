//! Packs speech into windows for the engine, cut in pauses. Pure.
//!
//! A window is closed as soon as it is certain what is in it, so that the words of a live room can
//! be written while it goes on; the same packing serves finished recordings with other lengths.
//! Windows *keep* stretches of media time that follow each other without hole or overlap: a word
//! belongs to the window that keeps its start. The *audio* of two windows overlaps only where speech
//! runs on without a pause for longer than a window may be.

use std::collections::VecDeque;

use models::{Span, Ticks};

/// Audio given to the engine before the first speech of a window.
const BEFORE: Ticks = Ticks::from_millis(250);
/// Audio given to the engine after the last.
const AFTER: Ticks = Ticks::from_millis(300);
/// Speech that is over is followed by at least this much silence, or by the end of the audio.
const SILENT_AFTER: Ticks = Ticks::from_millis(160);
/// Audio given to the engine on both sides of a cut through speech.
pub const OVERLAP: Ticks = Ticks::from_millis(1000);
/// Speech that sticks out of what is done already by less than this is the end of it, not more.
const SLIVER: Ticks = Ticks::from_millis(150);

/// How long windows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Speech in one window, pauses included, is never longer.
    pub full: Ticks,
    /// A window this long ends with the next pause.
    pub enough: Ticks,
    /// A pause this long ends any window.
    pub pause: Ticks,
}

impl Policy {
    /// For recordings that are over: as much context as the engine can use.
    pub const FINISHED: Self = Self {
        full: Ticks::from_secs(26),
        enough: Ticks::from_secs(10),
        pause: Ticks::from_millis(2500),
    };

    /// For rooms that are live: words soon.
    pub const LIVE: Self = Self {
        full: Ticks::from_secs(15),
        enough: Ticks::from_secs(4),
        pause: Ticks::from_millis(700),
    };
}

/// A stretch of audio for the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// What the engine hears.
    pub audio: Span,
    /// Words that start in here are this window's.
    pub keep: Span,
    /// Where somebody speaks, in order; cut speech reaches over the end of `keep` by up to
    /// [`OVERLAP`], as the audio does.
    pub speech: Vec<Span>,
}

/// Packs speech into windows as it is found.
#[derive(Debug, Clone)]
pub struct Packer {
    policy: Policy,
    /// Where the next window's `keep` begins.
    frontier: Ticks,
    /// Speech of the next window.
    pending: Vec<Span>,
    /// Whether that begins in the middle of speech.
    runs_on: bool,
    closed: VecDeque<Window>,
}

impl Packer {
    /// A packer that goes on at `frontier`: everything before it is done.
    #[must_use]
    pub fn new(policy: Policy, frontier: Ticks) -> Self {
        Self { policy, frontier, pending: Vec::new(), runs_on: false, closed: VecDeque::new() }
    }

    /// Takes speech that is over. `quietest` says where in a stretch a cut does the least harm.
    pub fn speech(&mut self, span: Span, quietest: &dyn Fn(Span) -> Ticks) {
        let Some(mut span) = self.fresh(span) else { return };
        if self.parts_before(span.start, span.end) {
            self.close(span.start);
        }
        while span.end.saturating_sub(self.first(span.start)) > self.policy.full {
            span.start = self.cut(span.start, span.end, quietest);
        }
        self.pending.push(span);
        let first = self.first(span.start);
        if span.end.saturating_sub(first) >= self.policy.enough {
            self.close(span.end + SILENT_AFTER);
        }
    }

    /// Takes note that all audio before `heard` has been judged, and of the speech that began at
    /// `open` and has not ended. To be called after [`speech`](Self::speech) for what is over.
    pub fn heard(&mut self, heard: Ticks, open: Option<Ticks>, quietest: &dyn Fn(Span) -> Ticks) {
        let Some(start) = open else {
            let last = self.pending.last().map(|span| span.end);
            if last.is_some_and(|end| heard.saturating_sub(end) >= self.policy.pause) {
                self.close(heard);
            }
            return;
        };
        let Some(mut span) = self.fresh(Span::new(start, heard)) else { return };
        if self.parts_before(span.start, heard) {
            self.close(span.start);
        }
        while span.end.saturating_sub(self.first(span.start)) > self.policy.full + OVERLAP {
            span.start = self.cut(span.start, span.end, quietest);
        }
    }

    /// Closes what is pending: there is no more audio than to `end`.
    pub fn finish(&mut self, end: Ticks) {
        if !self.pending.is_empty() {
            self.close(end);
        }
    }

    /// The next window whose contents are certain.
    pub fn pop(&mut self) -> Option<Window> {
        self.closed.pop_front()
    }

    /// Everything before this is in a window that was closed.
    #[must_use]
    pub fn frontier(&self) -> Ticks {
        self.frontier
    }

    /// Moves the frontier over silence, up to `quiet`: nobody spoke between the two.
    pub fn skip_to(&mut self, quiet: Ticks) {
        if self.pending.is_empty() && !self.runs_on {
            self.frontier = self.frontier.max(quiet);
        }
    }

    /// The first tick of audio that a later window may need.
    #[must_use]
    pub fn needed_from(&self) -> Ticks {
        let first = self.pending.first().map_or(self.frontier, |span| span.start);
        first.min(self.frontier).saturating_sub(OVERLAP)
    }

    /// The part of `span` that is not done yet. Speech that crosses the frontier was cut there.
    fn fresh(&mut self, span: Span) -> Option<Span> {
        if self.pending.is_empty() {
            self.runs_on = span.start + SLIVER < self.frontier;
            if span.end <= self.frontier + SLIVER {
                self.runs_on = false;
                return None;
            }
        }
        Some(Span::new(span.start.max(self.frontier), span.end))
    }

    /// Where the speech of the pending window begins; `start` where nothing is pending.
    fn first(&self, start: Ticks) -> Ticks {
        self.pending.first().map_or(start, |span| span.start)
    }

    /// Whether speech from `start` to `end` or later is too far from, or too long for, the pending
    /// window.
    fn parts_before(&self, start: Ticks, end: Ticks) -> bool {
        let Some(last) = self.pending.last() else { return false };
        start.saturating_sub(last.end) >= self.policy.pause
            || end.saturating_sub(self.first(start)) > self.policy.full
    }

    /// Closes the pending window in the pause after it, of which `until` is known to be silent.
    fn close(&mut self, until: Ticks) {
        let Some((first, last)) = self.pending.first().zip(self.pending.last()) else { return };
        let (first, last) = (first.start, last.end);
        let until = until.max(last);
        let end = (last + AFTER).min(until);
        let start = if self.runs_on { self.overlap() } else { self.start_of(first) };
        self.emit(Span::new(start, end), end);
        self.runs_on = false;
    }

    /// Closes a window in the middle of speech from `start` to at least `end`; returns where.
    fn cut(&mut self, start: Ticks, end: Ticks, quietest: &dyn Fn(Span) -> Ticks) -> Ticks {
        let first = self.first(start);
        let latest = (first + self.policy.full).min(end);
        let third = Ticks(self.policy.full.0 / 3);
        let range = Span::new(latest.saturating_sub(third).max(start), latest);
        let at = quietest(range).max(range.start).min(range.end).max(start + Ticks(1));
        let over = (at + OVERLAP).min(end);
        let from = if self.runs_on { self.overlap() } else { self.start_of(first) };
        self.pending.push(Span::new(start, over));
        self.emit(Span::new(from, over), at);
        self.runs_on = true;
        at
    }

    fn emit(&mut self, audio: Span, keep_end: Ticks) {
        let keep = Span::new(self.frontier, keep_end);
        let mut speech = std::mem::take(&mut self.pending);
        if let Some(first) = speech.first_mut().filter(|_| self.runs_on) {
            first.start = audio.start;
        }
        self.frontier = keep_end;
        self.closed.push_back(Window { audio, keep, speech });
    }

    fn start_of(&self, first: Ticks) -> Ticks {
        first.saturating_sub(BEFORE).max(self.frontier.min(first))
    }

    fn overlap(&self) -> Ticks {
        self.frontier.saturating_sub(OVERLAP)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(start: u64, end: u64) -> Span {
        Span::new(Ticks::from_millis(start), Ticks::from_millis(end))
    }

    const POLICY: Policy = Policy {
        full: Ticks::from_secs(20),
        enough: Ticks::from_secs(6),
        pause: Ticks::from_secs(2),
    };

    fn pack(policy: Policy, spans: &[Span], end: Ticks) -> Vec<Window> {
        let mut packer = Packer::new(policy, Ticks::ZERO);
        for span in spans {
            packer.speech(*span, &|range| range.end);
        }
        packer.finish(end);
        std::iter::from_fn(|| packer.pop()).collect()
    }

    #[test]
    fn windows_end_in_pauses_once_they_are_long_enough() {
        let spans = [ms(1000, 4000), ms(4500, 7500), ms(8000, 9000)];
        let windows = pack(POLICY, &spans, Ticks::from_secs(12));
        assert_eq!(windows.len(), 2);
        assert_eq!(windows[0].audio, ms(750, 7660));
        assert_eq!(windows[0].keep, ms(0, 7660));
        assert_eq!(windows[0].speech, spans[..2]);
        assert_eq!(windows[1].audio, ms(7750, 9300));
        assert_eq!(windows[1].keep, ms(7660, 9300));
    }

    #[test]
    fn a_long_pause_ends_a_short_window_without_waiting_for_more_speech() {
        let mut packer = Packer::new(POLICY, Ticks::ZERO);
        packer.speech(ms(1000, 2000), &|range| range.end);
        packer.heard(Ticks::from_millis(3900), None, &|range| range.end);
        assert_eq!(packer.pop(), None);
        packer.heard(Ticks::from_millis(4000), None, &|range| range.end);
        assert_eq!(packer.pop().map(|window| window.keep), Some(ms(0, 2300)));
    }

    #[test]
    fn speech_without_a_pause_is_cut_with_overlap() {
        let mut packer = Packer::new(POLICY, Ticks::ZERO);
        let quiet = |_: Span| Ticks::from_millis(18_000);
        packer.heard(Ticks::from_millis(20_900), Some(Ticks::ZERO), &quiet);
        assert_eq!(packer.pop(), None);
        packer.heard(Ticks::from_millis(21_100), Some(Ticks::ZERO), &quiet);
        let first = packer.pop().unwrap();
        assert_eq!((first.audio, first.keep), (ms(0, 19_000), ms(0, 18_000)));
        packer.speech(ms(0, 25_000), &quiet);
        packer.finish(Ticks::from_secs(25));
        let second = packer.pop().unwrap();
        assert_eq!((second.audio, second.keep), (ms(17_000, 25_160), ms(18_000, 25_160)));
        assert_eq!(second.speech, [ms(17_000, 25_000)]);
    }

    #[test]
    fn who_goes_on_at_a_cut_hears_what_was_before_it() {
        let mut packer = Packer::new(POLICY, Ticks::from_secs(18));
        packer.speech(ms(17_000, 25_000), &|range| range.end);
        let window = packer.pop().unwrap();
        assert_eq!((window.audio, window.keep), (ms(17_000, 25_160), ms(18_000, 25_160)));
    }

    #[test]
    fn what_is_done_is_not_done_again() {
        let mut packer = Packer::new(POLICY, Ticks::from_secs(10));
        packer.speech(ms(9000, 9900), &|range| range.end);
        packer.speech(ms(9950, 10_100), &|range| range.end);
        packer.finish(Ticks::from_secs(11));
        assert_eq!(packer.pop(), None);
        packer.skip_to(Ticks::from_secs(11));
        assert_eq!(packer.frontier(), Ticks::from_secs(11));
    }

    /// Speech spans (length, pause after) in milliseconds, always apart.
    fn speech() -> impl Strategy<Value = Vec<Span>> {
        prop::collection::vec((100_u64..40_000, 200_u64..6000), 1..20).prop_map(|lengths| {
            let mut at = 300;
            let mut spans = Vec::new();
            for (length, pause) in lengths {
                spans.push(ms(at, at + length));
                at += length + pause;
            }
            spans
        })
    }

    proptest! {
        #[test]
        fn windows_cover_all_speech_exactly_once(spans in speech(), live in any::<bool>()) {
            let policy = if live { Policy::LIVE } else { Policy::FINISHED };
            let end = spans[spans.len() - 1].end + Ticks::from_secs(1);
            let windows = pack(policy, &spans, end);
            let mut frontier = Ticks::ZERO;
            for window in &windows {
                prop_assert_eq!(window.keep.start, frontier);
                prop_assert!(window.keep.end > frontier);
                frontier = window.keep.end;
                prop_assert!(window.audio.duration() <= policy.full + OVERLAP + OVERLAP + AFTER);
                for speech in &window.speech {
                    prop_assert!(speech.start >= window.audio.start);
                    prop_assert!(speech.end <= window.audio.end);
                }
            }
            for span in &spans {
                let heard: Ticks = windows
                    .iter()
                    .flat_map(|w| w.speech.iter().map(|s| s.intersection(*span).intersection(w.keep)))
                    .map(Span::duration)
                    .sum();
                prop_assert_eq!(heard, span.duration());
            }
        }

        #[test]
        fn windows_that_need_no_cut_do_not_overlap(spans in speech()) {
            let short: Vec<Span> = spans
                .iter()
                .map(|s| Span::new(s.start, s.end.min(s.start + Ticks::from_secs(10))))
                .collect();
            let end = short[short.len() - 1].end + Ticks::from_secs(1);
            for pair in pack(Policy::LIVE, &short, end).windows(2) {
                prop_assert!(pair[0].audio.end <= pair[1].audio.start);
            }
        }
    }
}
