//! Any channel layout to one or two channels.

use symphonia::core::audio::{Channels, Position};

/// How loud a channel in the middle, behind or above goes to either side: -3 dB, as
/// ITU-R BS.775 mixes surround sound down.
const BESIDE: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// Mixes frames of one layout to one or two channels.
pub struct Mix {
    from: usize,
    /// For each channel given, the share of each channel taken.
    shares: Vec<Vec<f32>>,
}

impl Mix {
    /// A mix from `layout` to `to` (1 or 2) channels.
    #[must_use]
    pub fn new(layout: &Channels, to: u8) -> Self {
        let from = layout.count();
        let shares = match (from, to) {
            (0 | 1, to) => vec![vec![1.0; from]; usize::from(to)],
            (2, 2) => vec![vec![1.0, 0.0], vec![0.0, 1.0]],
            (_, to) => {
                let sides: Vec<(f32, f32)> = sides(layout);
                let side = |pick: fn(&(f32, f32)) -> f32| whole(sides.iter().map(pick).collect());
                let (left, right) = (side(|share| share.0), side(|share| share.1));
                match to {
                    1 => vec![left.iter().zip(&right).map(|(l, r)| (l + r) / 2.0).collect()],
                    _ => vec![left, right],
                }
            }
        };
        Self { from, shares }
    }

    /// Mixes interleaved frames and appends the result to `out`.
    pub fn push(&self, samples: &[f32], out: &mut Vec<f32>) {
        if self.from == 0 {
            return;
        }
        for frame in samples.chunks_exact(self.from) {
            for shares in &self.shares {
                out.push(frame.iter().zip(shares).map(|(sample, share)| sample * share).sum());
            }
        }
    }
}

/// Scales shares so that channels at full level do not clip.
fn whole(shares: Vec<f32>) -> Vec<f32> {
    let sum: f32 = shares.iter().sum();
    let scale = if sum > 1.0 { sum.recip() } else { 1.0 };
    shares.into_iter().map(|share| share * scale).collect()
}

/// What of each channel goes left and right, in the order in which frames carry them.
fn sides(layout: &Channels) -> Vec<(f32, f32)> {
    match layout {
        Channels::Positioned(positions) => positions.iter().map(side).collect(),
        // Nobody says where they are: all of them go to both sides.
        _ => vec![(1.0, 1.0); layout.count()],
    }
}

fn side(position: Position) -> (f32, f32) {
    let left = Position::REAR_LEFT
        | Position::FRONT_LEFT_CENTER
        | Position::SIDE_LEFT
        | Position::TOP_FRONT_LEFT
        | Position::TOP_REAR_LEFT;
    let right = Position::REAR_RIGHT
        | Position::FRONT_RIGHT_CENTER
        | Position::SIDE_RIGHT
        | Position::TOP_FRONT_RIGHT
        | Position::TOP_REAR_RIGHT;
    match position {
        Position::FRONT_LEFT => (1.0, 0.0),
        Position::FRONT_RIGHT => (0.0, 1.0),
        // Rumble, which small speakers do not play.
        Position::LFE1 | Position::LFE2 => (0.0, 0.0),
        other if left.contains(other) => (BESIDE, 0.0),
        other if right.contains(other) => (0.0, BESIDE),
        _ => (BESIDE, BESIDE),
    }
}

#[cfg(test)]
mod tests {
    use symphonia::core::audio::layouts;

    use super::*;

    fn mixed(layout: &Channels, to: u8, frame: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        Mix::new(layout, to).push(frame, &mut out);
        out.into_iter().map(|sample| (sample * 1000.0).round() / 1000.0).collect()
    }

    #[test]
    fn one_and_two_channels_become_each_other() {
        let (mono, stereo) = (layouts::CHANNEL_LAYOUT_MONO, layouts::CHANNEL_LAYOUT_STEREO);
        assert_eq!(mixed(&mono, 1, &[0.1, 0.2]), [0.1, 0.2]);
        assert_eq!(mixed(&mono, 2, &[0.1, 0.2]), [0.1, 0.1, 0.2, 0.2]);
        assert_eq!(mixed(&stereo, 2, &[0.1, 0.2, 0.3, 0.4]), [0.1, 0.2, 0.3, 0.4]);
        assert_eq!(mixed(&stereo, 1, &[0.2, 0.4]), [0.3]);
    }

    #[test]
    fn surround_keeps_its_sides_and_its_voice_and_never_clips() {
        let surround = layouts::CHANNEL_LAYOUT_5P1;
        assert_eq!(surround.count(), 6);
        for to in [1, 2] {
            let full = mixed(&surround, to, &[1.0; 6]);
            assert!(full.iter().all(|sample| (0.9..=1.0).contains(sample)), "{full:?}");
        }
        let (left, right) = (1.0 / 2.414, 0.707 / 2.414);
        let near = |got: Vec<f32>, want: [f32; 2]| {
            assert!(
                (got[0] - want[0]).abs() < 0.002 && (got[1] - want[1]).abs() < 0.002,
                "{got:?}"
            );
        };
        near(mixed(&surround, 2, &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]), [left, 0.0]);
        near(mixed(&surround, 2, &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]), [right, right]);
        near(mixed(&surround, 2, &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]), [0.0, 0.0]);
    }

    #[test]
    fn a_layout_nobody_explains_goes_to_both_sides() {
        assert_eq!(mixed(&Channels::Discrete(4), 2, &[0.4, 0.0, 0.0, 0.4]), [0.2, 0.2]);
    }
}
