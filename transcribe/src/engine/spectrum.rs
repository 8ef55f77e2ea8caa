//! The spectrum that Whisper hears: 100 columns a second of a few bands' loudness, as whisper.cpp
//! computes it (after `whisper/audio.py`), in a tenth of its time. Pure.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use crate::weights::ggml::Filters;

/// Samples in one column (25 ms) …
const FRAME: usize = 400;
/// … and from one column to the next (10 ms).
pub(super) const STEP: usize = 160;

/// Loudness below this counts as this: it has a logarithm then.
const FAINTEST: f32 = 1e-10;
/// What is fainter than the loudest by more than this (powers of ten) counts as just that faint.
const RANGE: f32 = 8.0;

/// Computes spectra for weights with certain bands. Clones share what they need for that.
#[derive(Clone)]
pub(super) struct Spectrum {
    fft: Arc<dyn RealToComplex<f32>>,
    /// Hann's.
    window: Arc<[f32]>,
    bands: Arc<[Band]>,
}

/// One band: how much of each frequency, from the `first` on, is in it.
struct Band {
    first: usize,
    shares: Vec<f32>,
}

/// A spectrum: `columns` values of the first band, as many of the second, and so on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Columns {
    pub(super) bands: usize,
    pub(super) columns: usize,
    pub(super) values: Vec<f32>,
}

impl std::fmt::Debug for Spectrum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spectrum").field("bands", &self.bands.len()).finish_non_exhaustive()
    }
}

impl Spectrum {
    /// For weights with these filters; `None` where they are not made for columns as long as ours.
    pub(super) fn new(filters: &Filters) -> Option<Self> {
        if filters.frequencies != FRAME / 2 + 1 {
            return None;
        }
        let bands = filters.shares.chunks_exact(filters.frequencies).map(Band::new).collect();
        let turn = std::f64::consts::TAU / FRAME as f64;
        let window = (0..FRAME).map(|i| 0.5 * (1.0 - (turn * i as f64).cos())).map(|x| x as f32);
        let fft = RealFftPlanner::new().plan_fft_forward(FRAME);
        Some(Self { fft, window: window.collect(), bands })
    }

    /// The first `columns` columns of `samples`, which are followed by silence and, as in Whisper's
    /// training, preceded by their own first ones in reverse order.
    pub(super) fn of(&self, samples: &[f32], columns: usize) -> Columns {
        let mut padded = Vec::with_capacity(samples.len() + 2 * FRAME);
        let before = samples.iter().skip(1).take(FRAME / 2);
        padded.resize(FRAME / 2 - before.len(), 0.0);
        padded.extend(before.rev());
        padded.extend_from_slice(samples);
        let heard = (padded.len() / STEP + 1).min(columns);
        padded.resize(padded.len() + FRAME, 0.0);

        let mut values = vec![FAINTEST.log10(); self.bands.len() * columns];
        let mut frame = self.fft.make_input_vec();
        let mut bins = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = vec![0.0; bins.len()];
        for column in 0..heard {
            let sound = &padded[column * STEP..][..FRAME];
            for ((into, sound), window) in frame.iter_mut().zip(sound).zip(&*self.window) {
                *into = sound * window;
            }
            // It fails only for buffers of other lengths than those it made itself.
            if self.fft.process_with_scratch(&mut frame, &mut bins, &mut scratch).is_err() {
                break;
            }
            for (power, bin) in power.iter_mut().zip(&bins) {
                *power = bin.norm_sqr();
            }
            for (band, row) in self.bands.iter().zip(values.chunks_exact_mut(columns)) {
                row[column] = band.loudness(&power).max(FAINTEST).log10();
            }
        }
        scale(&mut values);
        Columns { bands: self.bands.len(), columns, values }
    }
}

impl Band {
    fn new(shares: &[f32]) -> Self {
        let first = shares.iter().position(|&share| share != 0.0).unwrap_or(0);
        let end = shares.iter().rposition(|&share| share != 0.0).map_or(first, |last| last + 1);
        Self { first, shares: shares[first..end].to_vec() }
    }

    fn loudness(&self, power: &[f32]) -> f32 {
        power[self.first..].iter().zip(&self.shares).map(|(power, share)| power * share).sum()
    }
}

/// Brings logarithms to the range that Whisper was trained on.
fn scale(values: &mut [f32]) {
    let loudest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for value in values {
        *value = (value.max(loudest - RANGE) + 4.0) / 4.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two bands: everything, and the upper half.
    fn filters() -> Filters {
        let frequencies = FRAME / 2 + 1;
        let mut shares = vec![0.01; 2 * frequencies];
        shares[frequencies..][..100].fill(0.0);
        Filters { frequencies, shares }
    }

    /// The same by the definition, term by term.
    fn by_definition(samples: &[f32], columns: usize, filters: &Filters) -> Vec<f32> {
        let half = FRAME as isize / 2;
        let sample = |at: isize| {
            let at = if at < 0 { -at } else { at };
            f64::from(samples.get(at as usize).copied().unwrap_or(0.0))
        };
        let bands = filters.shares.len() / filters.frequencies;
        let mut values = vec![0.0; bands * columns];
        for column in 0..columns {
            let from = (column * STEP) as isize - half;
            let power: Vec<f64> = (0..filters.frequencies)
                .map(|k| {
                    let (mut re, mut im) = (0.0, 0.0);
                    for i in 0..FRAME {
                        let turn = std::f64::consts::TAU / FRAME as f64;
                        let hann = 0.5 * (1.0 - (turn * i as f64).cos());
                        let x = hann * sample(from + i as isize);
                        re += x * (turn * (k * i % FRAME) as f64).cos();
                        im -= x * (turn * (k * i % FRAME) as f64).sin();
                    }
                    re * re + im * im
                })
                .collect();
            for band in 0..bands {
                let shares = &filters.shares[band * filters.frequencies..][..filters.frequencies];
                let sum: f64 = power.iter().zip(shares).map(|(p, s)| p * f64::from(*s)).sum();
                values[band * columns + column] = sum.max(1e-10).log10() as f32;
            }
        }
        let loudest = values.iter().copied().fold(f32::MIN, f32::max);
        values.iter().map(|value| (value.max(loudest - 8.0) + 4.0) / 4.0).collect()
    }

    #[test]
    fn it_is_what_the_definition_gives() {
        let filters = filters();
        let spectrum = Spectrum::new(&filters).unwrap();
        let chirp = |i: usize| (i as f32 * i as f32 * 3e-5).sin() * 0.3;
        for (length, columns) in [(8_000, 60), (8_000, 30), (1_650, 20), (1, 4), (160, 1)] {
            let samples: Vec<f32> = (0..length).map(chirp).collect();
            let found = spectrum.of(&samples, columns);
            assert_eq!((found.bands, found.columns), (2, columns));
            let expected = by_definition(&samples, columns, &filters);
            // Bounded by what is heard: a column behind the end is as faint as may be.
            for (at, (found, expected)) in found.values.iter().zip(&expected).enumerate() {
                assert!((found - expected).abs() < 2e-3, "{length} {at}: {found} {expected}");
            }
        }
    }

    #[test]
    fn silence_is_even_and_other_columns_are_refused() {
        let columns = Spectrum::new(&filters()).unwrap().of(&[0.0; 1_600], 40);
        assert!(columns.values.iter().all(|value| *value == -1.5), "{columns:?}");
        assert!(Spectrum::new(&Filters { frequencies: 257, shares: vec![0.0; 257] }).is_none());
    }
}
