//! Whisper, through whisper.cpp: samples in, tokens with times out. The only module that names
//! `whisper_rs`.
//!
//! One [`Model`] holds the weights; any number of [`Session`]s decode with it at once, each on a
//! thread of its own. A window is one call: greedy, with no text carried over from the window
//! before (it would carry its mistakes over too, and windows are read several at once), and decoded in one go (whisper.cpp's "single segment"), because then it hands over both
//! times at each clause boundary (otherwise it drops where a clause begins) and does not skip audio
//! by itself. Flash attention is off: with it there is no dynamic time warping.

mod hook;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sha2::{Digest as _, Sha256};
use whisper_rs::{
    DtwMode, DtwModelPreset, DtwParameters, FullParams, SamplingStrategy, WhisperContext,
    WhisperContextParameters, WhisperError, WhisperState,
};

use crate::heard::{Heard, Text, Token};
use crate::speech::RATE;
use crate::weights::{self, Source, Weights};

/// Most audio one call takes: 30 s, what Whisper was trained on.
pub const LONGEST: usize = 30 * RATE as usize;

/// Whisper's audio context for [`LONGEST`]: 50 positions a second.
const FULL_CONTEXT: usize = 1500;

/// Context beyond the window's end. Without it the demo model leaves the last clause out now and
/// then; with two seconds it hears what it hears with the full context.
const SPARE_CONTEXT: usize = 100;

/// The fastest speakers say some five words a second: half as many tokens again, and the times.
const TOKENS_PER_SECOND: usize = 10;
/// Tokens that any window may have beside.
const TOKENS_ANYHOW: usize = 16;

/// Memory for one dynamic time warping: heads × tokens × context, several times over.
const DTW_MEMORY: usize = 512 << 20;

/// Why nothing was heard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The weights could not be read.
    #[error("reading the weights {name}")]
    Read {
        /// Which weights.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// The weights are not those that they are said to be.
    #[error("the weights {name} have SHA-256 {found}, not {expected}")]
    Wrong {
        /// Which weights.
        name: String,
        /// The digest they have.
        found: String,
        /// The digest they should have.
        expected: String,
    },
    /// whisper.cpp does not accept the weights.
    #[error("loading the weights {name}")]
    Load {
        /// Which weights.
        name: String,
        /// What whisper.cpp says.
        source: WhisperError,
    },
    /// The weights are a model, but not one whose times this program can read.
    #[error("the weights {name} have no times of the kind that Whisper's have")]
    Foreign {
        /// Which weights.
        name: String,
    },
    /// There is not enough memory to decode in.
    #[error("making room to decode in")]
    Room(#[source] WhisperError),
    /// whisper.cpp failed on a window.
    #[error("decoding a window")]
    Decode(#[source] WhisperError),
    /// It was told to stop.
    #[error("stopped in the middle of a window")]
    Stopped,
    /// More audio than [`LONGEST`].
    #[error("{0} samples are more than one window")]
    TooLong(usize),
}

/// Loaded weights. Clones share them.
#[derive(Debug, Clone)]
pub struct Model {
    context: Arc<WhisperContext>,
    marks: Marks,
    dtw: &'static str,
    /// Whether it may be told the names of a room: the demo model knows its few words only.
    takes_prompts: bool,
}

/// Token numbers that mean something.
#[derive(Debug, Clone, Copy)]
struct Marks {
    /// From here on tokens are not text.
    end_of_text: i32,
    /// The time 0.00; the times follow it.
    time_zero: i32,
}

impl Marks {
    fn end_of_text(self) -> usize {
        usize::try_from(self.end_of_text).unwrap_or(0)
    }

    fn time_zero(self) -> usize {
        usize::try_from(self.time_zero).unwrap_or(0)
    }
}

impl Model {
    /// Loads weights. Blocks for as long as that takes. Their SHA-256 is checked first, because
    /// whisper.cpp ends the process over a damaged model.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Wrong`], [`Error::Load`], [`Error::Foreign`].
    pub fn open(weights: &Weights) -> Result<Self, Error> {
        whisper_rs::install_logging_hooks();
        check(weights)?;
        let (preset, dtw) = alignment_heads(&weights.name);
        let mut parameters = WhisperContextParameters::default();
        parameters.flash_attn(false).dtw_parameters(DtwParameters {
            mode: match preset {
                Some(model_preset) => DtwMode::ModelPreset { model_preset },
                None => DtwMode::TopMost { n_top: 2 },
            },
            dtw_mem_size: DTW_MEMORY,
        });
        let context = match &weights.source {
            Source::Bytes(bytes) => WhisperContext::new_from_buffer_with_params(bytes, parameters),
            Source::File(path) => WhisperContext::new_with_params(path, parameters),
        };
        let context =
            context.map_err(|source| Error::Load { name: weights.name.clone(), source })?;
        let marks = Marks { end_of_text: context.token_eot(), time_zero: context.token_beg() };
        if context.n_vocab() < marks.time_zero.saturating_add(hook::TIMES as i32) {
            return Err(Error::Foreign { name: weights.name.clone() });
        }
        let takes_prompts = weights.name != weights::DEMO;
        Ok(Self { context: Arc::new(context), marks, dtw, takes_prompts })
    }

    /// A place to decode in, with memory of its own.
    ///
    /// # Errors
    /// [`Error::Room`].
    pub fn session(&self) -> Result<Session, Error> {
        let state = self.context.create_state().map_err(Error::Room)?;
        let multilingual = self.context.is_multilingual();
        Ok(Session { state, marks: self.marks, multilingual })
    }

    /// The names and words of a room as the engine is told them before each window, at most
    /// [`PROMPT_TOKENS`] of them: those that stand first. Nothing for a model that cannot use them.
    #[must_use]
    pub fn prompt(&self, vocabulary: &str) -> Prompt {
        if !self.takes_prompts || vocabulary.trim().is_empty() {
            return Prompt::default();
        }
        let tokens = self.context.tokenize(&format!(" {}", vocabulary.trim()), PROMPT_ROOM);
        let mut tokens = tokens.unwrap_or_default();
        tokens.truncate(PROMPT_TOKENS);
        Prompt(tokens.into())
    }

    /// Whether [`Model::prompt`] gives anything.
    #[must_use]
    pub fn takes_prompts(&self) -> bool {
        self.takes_prompts
    }

    /// Whether it hears other languages than English. What they say is translated.
    #[must_use]
    pub fn is_multilingual(&self) -> bool {
        self.context.is_multilingual()
    }

    /// What makes the words, such as `whisper.cpp 1.8.3 (cpu)`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("whisper.cpp {} ({})", whisper_rs::get_whisper_version(), device())
    }

    /// Whose alignment heads say when a word is said.
    #[must_use]
    pub fn alignment(&self) -> &'static str {
        self.dtw
    }
}

/// What this program was built to compute on.
const fn device() -> &'static str {
    if cfg!(feature = "cuda") {
        "cuda"
    } else if cfg!(feature = "hipblas") {
        "hipblas"
    } else if cfg!(feature = "metal") {
        "metal"
    } else if cfg!(feature = "vulkan") {
        "vulkan"
    } else {
        "cpu"
    }
}

/// Most tokens that a room's vocabulary may take: of the 224 that Whisper has for what went before,
/// a part small enough never to be taken for speech.
pub const PROMPT_TOKENS: usize = 96;

/// No vocabulary has more tokens than this before it is cut.
const PROMPT_ROOM: usize = 4096;

/// What the engine is told before a window. Clones share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt(Arc<[i32]>);

/// How to decode one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoding {
    /// What to tell the engine before.
    pub prompt: Prompt,
    /// Threads to use.
    pub threads: usize,
    /// 0: the likeliest token each time. Above: drawn by lot, flatter with each step up.
    pub temperature: f32,
}

/// A place to decode in.
#[derive(Debug)]
pub struct Session {
    state: WhisperState,
    marks: Marks,
    multilingual: bool,
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
        // whisper.cpp skips audio under 0.1 s and its time warping needs more than that.
        let mut padded = samples.to_vec();
        padded.resize(samples.len().max(RATE as usize), 0.0);
        let decoded = hook::with(self.marks, false, stop, |hooks| {
            let mut params = parameters(padded.len(), decoding, self.multilingual);
            hooks.install(&mut params);
            self.state.full(params, &padded)
        });
        let (result, clocks) = decoded;
        match result {
            Ok(()) => Ok(self.read(&clocks)),
            Err(_) if stop.load(std::sync::atomic::Ordering::Relaxed) => Err(Error::Stopped),
            Err(error) => Err(Error::Decode(error)),
        }
    }

    /// Does the work of a window of `samples` samples in which `tokens` tokens are said, whatever the
    /// model: to find out how long that takes. Blocks.
    ///
    /// # Errors
    /// [`Error::Decode`], [`Error::TooLong`].
    pub fn drill(&mut self, samples: usize, tokens: usize, threads: usize) -> Result<(), Error> {
        if samples > LONGEST {
            return Err(Error::TooLong(samples));
        }
        let samples = vec![0.0; samples.max(RATE as usize)];
        let never = AtomicBool::new(false);
        let decoding = Decoding { threads, temperature: 0.0, prompt: Prompt::default() };
        let (result, _) = hook::with(self.marks, true, &never, |hooks| {
            let mut params = parameters(samples.len(), &decoding, false);
            params.set_max_tokens(i32::try_from(tokens).unwrap_or(i32::MAX));
            hooks.install(&mut params);
            self.state.full(params, &samples)
        });
        result.map(|_| ()).map_err(Error::Decode)
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

fn parameters(samples: usize, decoding: &Decoding, multilingual: bool) -> FullParams<'static, '_> {
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
    let context = (samples * 50).div_ceil(RATE as usize) + SPARE_CONTEXT;
    params.set_audio_ctx(context.min(FULL_CONTEXT) as i32);
    params
}

/// The alignment heads of the weights of that name, as whisper.cpp knows them for OpenAI's models.
fn alignment_heads(name: &str) -> (Option<DtwModelPreset>, &'static str) {
    use DtwModelPreset as Preset;
    // The quantisation does not matter; the demo model was trained to align with tiny.en's heads.
    let name = name.split("-q").next().unwrap_or(name);
    let (preset, heads) = match name.strip_prefix("ggml-").unwrap_or(name) {
        weights::DEMO | "tiny.en" => (Preset::TinyEn, "tiny.en"),
        "tiny" => (Preset::Tiny, "tiny"),
        "base.en" => (Preset::BaseEn, "base.en"),
        "base" => (Preset::Base, "base"),
        "small.en" => (Preset::SmallEn, "small.en"),
        "small" => (Preset::Small, "small"),
        "medium.en" => (Preset::MediumEn, "medium.en"),
        "medium" => (Preset::Medium, "medium"),
        "large-v1" => (Preset::LargeV1, "large.v1"),
        "large-v2" => (Preset::LargeV2, "large.v2"),
        "large-v3" => (Preset::LargeV3, "large.v3"),
        "large-v3-turbo" => (Preset::LargeV3Turbo, "large.v3.turbo"),
        _ => return (None, "the two topmost layers"),
    };
    (Some(preset), heads)
}

/// Checks that the weights are the ones they are said to be.
fn check(weights: &Weights) -> Result<(), Error> {
    let found = match &weights.source {
        Source::Bytes(bytes) => hex(&Sha256::digest(bytes)),
        Source::File(path) => {
            digest(path).map_err(|source| Error::Read { name: weights.name.clone(), source })?
        }
    };
    if found == weights.sha256 {
        return Ok(());
    }
    let (name, expected) = (weights.name.clone(), weights.sha256.clone());
    Err(Error::Wrong { name, found, expected })
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..n]);
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
