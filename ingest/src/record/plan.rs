//! What the recorder is to do with what it takes: packets, gaps and what fills them, step by step.

use archive::{Packet, opus};
use models::{Gap, GapCause, Ticks, WallMicros};

use super::{FILL_MAX, FILL_STEP, FRAME_US, Kept, OFF_MAX_US, OFF_MIN_US, Recorder};
use crate::cut::FRAGMENT;

/// What is still to be done, in order.
#[derive(Debug)]
pub(super) enum Step {
    Packet(Packet, WallMicros),
    /// A gap begins; what fills it follows.
    Gap {
        duration: Ticks,
        wall_us: i64,
        cause: GapCause,
    },
    Fill {
        toc: u8,
        left: Ticks,
        wall: WallMicros,
        /// Long enough to stand in fragments of its own, which need no sync each: they can be made
        /// again.
        alone: bool,
    },
    Pause {
        wall_us: i64,
    },
    Flush,
    Seal,
}

impl Recorder {
    pub(super) fn take(&mut self, packet: Packet, wall: WallMicros) {
        let Some(&toc) = packet.data.first().filter(|_| packet.duration > Ticks::ZERO) else {
            return;
        };
        self.kept = Some(Kept { wall: wall.plus(packet.duration), toc });
        self.steps.push_back(Step::Packet(packet, wall));
    }

    /// How much media time `wall_us` without audio are to take, in whole frames.
    pub(super) fn fill_for(&mut self, wall_us: i64) -> Ticks {
        let off = match self.behind_us.abs() {
            OFF_MIN_US..=OFF_MAX_US => self.behind_us.clamp(-wall_us / 2, wall_us / 2),
            _ => 0,
        };
        let frames = (wall_us + off + FRAME_US / 2) / FRAME_US;
        // What is not taken up now is, perhaps, the next time.
        self.behind_us += wall_us - frames * FRAME_US;
        Ticks::from_micros(frames * FRAME_US)
    }

    /// Plans a gap and what fills it. Wall time moves on with media time.
    pub(super) fn miss(&mut self, duration: Ticks, wall_us: i64, cause: GapCause) {
        let Some(Kept { wall, toc }) = self.kept.filter(|_| duration > Ticks::ZERO) else { return };
        let filled = duration.min(FILL_MAX);
        self.meters.lost(cause, filled);
        let alone = filled > FRAGMENT;
        if alone {
            self.steps.push_back(Step::Flush);
        }
        self.steps.push_back(Step::Gap { duration: filled, wall_us, cause });
        self.steps.push_back(Step::Fill { toc, left: filled, wall, alone });
        // What follows gets a wall-clock time of its own: a fragment's, or, where the gap takes
        // less media time than it took time, a chunk's, because a chunk in the store has but one.
        // So does what follows a worker that is gone: its last audio may take the place of the fill,
        // which has chunks of its own for that.
        if filled < duration || std::mem::take(&mut self.taken_over) {
            self.steps.push_back(Step::Seal);
        } else if alone || cause != GapCause::Loss {
            self.steps.push_back(Step::Flush);
        }
        self.kept = Some(Kept { wall: wall.plus(duration), toc });
    }

    pub(super) fn advance(&mut self, step: Step) {
        let mut cuts = Vec::new();
        let mut sync = true;
        match step {
            Step::Packet(packet, wall) => self.cutter.packet(packet, wall, &mut cuts),
            Step::Gap { duration, wall_us, cause } => {
                self.cutter.gap(Gap { start: self.cutter.end(), duration, wall_us, cause });
            }
            Step::Fill { toc, left, wall, alone } => {
                sync = !alone;
                let now = left.min(FILL_STEP);
                let mut at = wall;
                for packet in opus::conceal(toc, now) {
                    let next = at.plus(packet.duration);
                    self.cutter.packet(packet, at, &mut cuts);
                    at = next;
                }
                let left = left.saturating_sub(now);
                if left > Ticks::ZERO {
                    let wall = wall.plus(now);
                    self.steps.push_front(Step::Fill { toc, left, wall, alone });
                }
            }
            Step::Pause { wall_us } => {
                let (start, duration) = (self.cutter.end(), Ticks::ZERO);
                let gap = Gap { start, duration, wall_us, cause: GapCause::Paused };
                self.cutter.pause(gap, &mut cuts);
            }
            Step::Flush => self.cutter.flush(&mut cuts),
            Step::Seal => self.cutter.seal(&mut cuts),
        }
        self.cuts.extend(cuts.into_iter().map(|cut| (cut, sync)));
    }
}
