//! Any sampling rate to 48 kHz.
//!
//! Sample-exact: what comes out is as long as what went in (to the sample, rounded down), begins
//! where it began, and nothing of its end is cut: the filter's delay is dropped at the start and
//! made up for at the end.

use models::{TICKS_PER_SECOND, Ticks};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

/// Fewest frames worked on at a time: 23 ms at 44.1 kHz.
const BLOCK_FRAMES: usize = 1024;
/// Rates outside this range are nonsense in a header: the filter for one may need as many samples
/// as the rate has.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// Why audio cannot be brought to 48 kHz.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rate is out of bounds.
    #[error("a sampling rate of {0} Hz is not supported")]
    Rate(u32),
    /// The resampler refused it.
    #[error("could not set up the resampler")]
    Setup(#[from] rubato::ResamplerConstructionError),
    /// The resampler refused to go on.
    #[error("could not resample")]
    Process(#[from] rubato::ResampleError),
}

/// Brings interleaved samples of one rate to 48 kHz.
pub struct Resampler {
    /// `None` where the rate is 48 kHz already.
    filter: Option<Fft<f32>>,
    rate: u32,
    channels: usize,
    pending: Vec<f32>,
    block: Vec<f32>,
    /// Frames still to be dropped from what the filter gives: its delay.
    delay: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// A resampler from `rate` Hz, for interleaved samples of `channels` channels.
    ///
    /// # Errors
    /// The rate is out of bounds.
    pub fn new(rate: u32, channels: u8) -> Result<Self, Error> {
        if !RATES.contains(&rate) {
            return Err(Error::Rate(rate));
        }
        let channels = usize::from(channels);
        let to = TICKS_PER_SECOND as usize;
        let filter = (rate as usize != to)
            .then(|| Fft::new(rate as usize, to, block_frames(rate), channels, FixedSync::Both))
            .transpose()?;
        let delay = filter.as_ref().map_or(0, rubato::Resampler::output_delay);
        let block = filter.as_ref().map_or(0, |filter| filter.output_frames_max() * channels);
        Ok(Self {
            filter,
            rate,
            channels,
            pending: Vec::new(),
            block: vec![0.0; block],
            delay,
            taken: 0,
            given: 0,
        })
    }

    /// Takes samples in and appends what they complete to `out`.
    ///
    /// # Errors
    /// The resampler refused to go on, which whole frames never cause.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), Error> {
        self.taken += (samples.len() / self.channels) as u64;
        if self.filter.is_none() {
            out.extend_from_slice(samples);
            return Ok(());
        }
        self.pending.extend_from_slice(samples);
        self.drain(u64::MAX, out)
    }

    /// No more samples will come: appends the rest to `out`.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn finish(mut self, out: &mut Vec<f32>) -> Result<(), Error> {
        let Some(block) = self.filter.as_ref().map(rubato::Resampler::input_frames_next) else {
            return Ok(());
        };
        let total = Ticks::from_samples(self.taken, self.rate).0;
        while self.given < total {
            self.pending.resize(self.pending.len() + block * self.channels, 0.0);
            self.drain(total, out)?;
        }
        Ok(())
    }

    /// Works through whole blocks, giving no more than `total` frames in all.
    fn drain(&mut self, total: u64, out: &mut Vec<f32>) -> Result<(), Error> {
        let Some(filter) = &mut self.filter else { return Ok(()) };
        let (mut at, channels) = (0, self.channels);
        let frames_out = self.block.len() / channels;
        loop {
            let needed = filter.input_frames_next() * channels;
            let Some(samples) = self.pending.get(at..at + needed) else { break };
            at += needed;
            let input = InterleavedSlice::new(samples, channels, needed / channels)
                .expect("the slice has as many samples as it says");
            let mut output = InterleavedSlice::new_mut(&mut self.block, channels, frames_out)
                .expect("the block has as many samples as it says");
            let (_, frames) = filter.process_into_buffer(&input, &mut output, None)?;
            let skipped = self.delay.min(frames);
            self.delay -= skipped;
            let left = usize::try_from(total - self.given).unwrap_or(usize::MAX);
            let kept = (frames - skipped).min(left);
            out.extend_from_slice(&self.block[skipped * channels..(skipped + kept) * channels]);
            self.given += kept as u64;
        }
        self.pending.drain(..at);
        Ok(())
    }
}

/// Blocks have to be multiples of the shortest stretch that is whole at both rates. An even multiple
/// puts the middle of the filter on a sample; between two, its delay would be half a sample off.
fn block_frames(rate: u32) -> usize {
    let (mut shared, mut rest) = (rate as usize, TICKS_PER_SECOND as usize);
    while rest != 0 {
        (shared, rest) = (rest, shared % rest);
    }
    let unit = rate as usize / shared;
    BLOCK_FRAMES.div_ceil(unit).next_multiple_of(2) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, frames: usize, channels: usize) -> Vec<f32> {
        let step = std::f64::consts::TAU * 440.0 / f64::from(rate);
        let sample = |n: usize| ((n as f64 * step).sin() * 0.5) as f32;
        (0..frames).flat_map(|n| std::iter::repeat_n(sample(n), channels)).collect()
    }

    fn resample(rate: u32, channels: u8, samples: &[f32], portion: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(rate, channels).unwrap();
        let mut out = Vec::new();
        for part in samples.chunks(portion * usize::from(channels)) {
            resampler.push(part, &mut out).unwrap();
        }
        resampler.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn length_and_place_are_kept_at_every_rate() {
        for rate in [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 88_200, 96_000] {
            for frames in [1, 1000, rate as usize * 2 + 17] {
                let out = resample(rate, 1, &tone(rate, frames, 1), 1152);
                assert_eq!(out.len() as u64, Ticks::from_samples(frames as u64, rate).0, "{rate}");
            }
            let out = resample(rate, 1, &tone(rate, rate as usize, 1), 1152);
            let expected = tone(48_000, 48_000, 1);
            let inside = 1000..47_000;
            let worst = inside.map(|n| (out[n] - expected[n]).abs()).fold(0.0, f32::max);
            assert!(worst < 0.01, "{rate} Hz: off by {worst}");
        }
    }

    #[test]
    fn portions_and_channels_make_no_difference() {
        let stereo = tone(44_100, 10_000, 2);
        let whole = resample(44_100, 2, &stereo, 10_000);
        assert_eq!(whole, resample(44_100, 2, &stereo, 7));
        let mono = resample(44_100, 1, &tone(44_100, 10_000, 1), 100);
        assert_eq!(whole.iter().step_by(2).copied().collect::<Vec<_>>(), mono);
    }

    #[test]
    fn nonsense_rates_are_refused() {
        for rate in [0, 1, 3_999, 384_001, u32::MAX] {
            assert!(
                matches!(Resampler::new(rate, 1), Err(Error::Rate(refused)) if refused == rate)
            );
        }
    }
}
