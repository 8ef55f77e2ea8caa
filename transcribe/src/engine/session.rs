//! One place to decode in.

use std::sync::atomic::{AtomicBool, Ordering};

use whisper_rs::{FullParams, SamplingStrategy, WhisperError, WhisperState};

use super::hook::{self, Clocks};
use super::spectrum::{STEP, Spectrum};
use super::{Decoding, Error, Marks, Prompt};
use crate::heard::{Heard, Text, Token};
use crate::speech::RATE;

/// Most audio one call takes: 30 s, what Whisper was trained on.
pub const LONGEST: usize = 30 * RATE as usize;

/// Whisper's audio context for [`LONGEST`]: 50 positions a second.
const FULL_CONTEXT: usize = 1500;

/// Context beyond the window's end. Without it the demo model leaves the last clause out now and
/// then; with one second it hears what it hears with the full context.
const SPARE_CONTEXT: usize = 50;

/// Context comes in multiples of this: the fast multiplication of matrices takes no others.
const CONTEXT_STEP: usize = 8;

/// Samples that whisper.cpp takes at least: 0.1 s.
const LEAST: usize = RATE as usize / 10;

/// The fastest speakers say some five words a second: half as many tokens again, and the times.
const TOKENS_PER_SECOND: usize = 10;
/// Tokens that any window may have beside.
const TOKENS_ANYHOW: usize = 16;

/// A place to decode in.
#[derive(Debug)]
pub struct Session {
    pub(super) state: WhisperState,
    pub(super) marks: Marks,
    pub(super) multilingual: bool,
    /// What computes the spectrum to hear; `None`: whisper.cpp. The latter where the language is to be
    /// found out, which happens before it can be handed one.
    pub(super) spectrum: Option<Spectrum>,
}

impl Session {
    /// What is said in `samples` (16 kHz, one channel, at most [`LONGEST`]). Blocks; between passes
    /// of the model it looks whether `stop` was set.
    ///
    /// # Errors
    /// [`Error::Decode`], [`Error::Stopped`], [`Error::TooLong`].
    pub fn hear(
        &mut self,
        samples: &[f32],
        decoding: &Decoding,
        stop: &AtomicBool,
    ) -> Result<Heard, Error> {
        if samples.len() > LONGEST {
            return Err(Error::TooLong(samples.len()));
        }
        let (result, clocks) = self.decode(samples, decoding, false, None, stop);
        match result {
            Ok(()) => Ok(self.read(&clocks)),
            Err(error) => Err(failure(error, stop)),
        }
    }

    /// Does the work of a window of `samples` samples in which `tokens` tokens are said, whatever the
    /// model: to find out how long that takes. Blocks; looks for `stop` as [`Session::hear`] does.
    ///
    /// # Errors
    /// [`Error::Decode`], [`Error::Stopped`], [`Error::TooLong`].
    pub fn drill(
        &mut self,
        samples: usize,
        tokens: usize,
        threads: usize,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        if samples > LONGEST {
            return Err(Error::TooLong(samples));
        }
        let decoding = Decoding { threads, temperature: 0.0, prompt: Prompt::default() };
        let silence = vec![0.0; samples];
        let (result, _) = self.decode(&silence, &decoding, true, Some(tokens), stop);
        result.map(|_| ()).map_err(|error| failure(error, stop))
    }

    /// Has whisper.cpp decode; gives what it returns, and what the hooks noted.
    fn decode(
        &mut self,
        samples: &[f32],
        decoding: &Decoding,
        text_only: bool,
        most_tokens: Option<usize>,
        stop: &AtomicBool,
    ) -> (Result<(), WhisperError>, Clocks) {
        // whisper.cpp skips audio under 0.1 s and its time warping needs more than that.
        let mut samples = samples.to_vec();
        samples.resize(samples.len().max(RATE as usize), 0.0);
        let context = context(samples.len());
        let spectrum = self.spectrum.as_ref().map(|spectrum| spectrum.of(&samples, context * 2));
        // A drill is in English: to find out the language of nothing is no part of it.
        let multilingual = self.multilingual && !text_only;
        let mut params = parameters(samples.len(), context, decoding, multilingual);
        if let Some(tokens) = most_tokens {
            params.set_max_tokens(i32::try_from(tokens).unwrap_or(i32::MAX));
        }
        if spectrum.is_some() {
            // What whisper.cpp computes itself is not used: it gets as little as it takes, and is told
            // how much there is.
            params.set_duration_ms(i32::try_from(samples.len() / STEP * 10).unwrap_or(i32::MAX));
            samples.truncate(LEAST);
        }
        let (marks, spectrum) = (self.marks, spectrum.as_ref());
        hook::with(hook::Setting { marks, text_only, stop, spectrum }, |hooks| {
            hooks.install(&mut params);
            self.state.full(params, &samples)
        })
    }

    /// The tokens of the first segment: the only one, unless whisper.cpp gave up on a window and
    /// went on at its last time, which is not relied on.
    fn read(&self, clocks: &[Vec<(u32, f32)>]) -> Heard {
        let Some(segment) = self.state.get_segment(0) else { return Heard::default() };
        let mut tokens = Vec::new();
        for i in 0..segment.n_tokens() {
            let Some(token) = segment.get_token(i) else { continue };
            let data = token.token_data();
            if data.id >= self.marks.time_zero {
                tokens.push(Token::Time((data.id - self.marks.time_zero) as u32));
            } else if data.id < self.marks.end_of_text {
                tokens.push(Token::Text(Text {
                    bytes: token.to_bytes().unwrap_or_default().to_vec(),
                    log_probability: data.plog,
                    // Hundredths of a second; negative where there is none.
                    passed: u32::try_from(data.t_dtw).ok().map(|at| at / 2),
                    clock: clocks.get(i as usize).cloned().unwrap_or_default(),
                }));
            }
        }
        let language = self.multilingual.then(|| self.state.full_lang_id_from_state());
        Heard {
            tokens,
            no_speech: segment.no_speech_probability(),
            language: language.and_then(whisper_rs::get_lang_str),
        }
    }
}

/// Why whisper.cpp gave up.
fn failure(error: WhisperError, stop: &AtomicBool) -> Error {
    if stop.load(Ordering::Relaxed) { Error::Stopped } else { Error::Decode(error) }
}

/// How much context so many samples get.
fn context(samples: usize) -> usize {
    let context = (samples * 50).div_ceil(RATE as usize) + SPARE_CONTEXT;
    context.next_multiple_of(CONTEXT_STEP).min(FULL_CONTEXT)
}

fn parameters(
    samples: usize,
    context: usize,
    decoding: &Decoding,
    multilingual: bool,
) -> FullParams<'static, '_> {
    let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
    params.set_n_threads(i32::try_from(decoding.threads.max(1)).unwrap_or(1));
    // English unless told otherwise. (Naming a language costs memory that is never given back.)
    if multilingual {
        params.set_language(None);
        params.set_translate(true);
    }
    params.set_no_context(true);
    params.set_n_max_text_ctx(i32::try_from(decoding.prompt.0.len()).unwrap_or(0));
    params.set_tokens(&decoding.prompt.0);
    params.set_single_segment(true);
    params.set_suppress_nst(true);
    params.set_temperature(decoding.temperature);
    params.set_temperature_inc(0.0);
    params.set_print_progress(false);
    params.set_print_realtime(false);
    params.set_print_special(false);
    params.set_print_timestamps(false);
    // Nobody says more in that time; an engine that made words up would go on for long.
    let most = samples.div_ceil(RATE as usize) * TOKENS_PER_SECOND + TOKENS_ANYHOW;
    params.set_max_tokens(i32::try_from(most).unwrap_or(i32::MAX));
    params.set_audio_ctx(context as i32);
    params
}
