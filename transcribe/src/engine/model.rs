//! Loaded weights.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use whisper_rs::{
    DtwMode, DtwModelPreset, DtwParameters, WhisperContext, WhisperContextParameters,
};

use super::spectrum::Spectrum;
use super::{
    Device, Error, Marks, PROMPT_ROOM, PROMPT_TOKENS, Prompt, Session, device, hex, hook, repack,
};
use crate::weights::ggml::{self, Filters, Head};
use crate::weights::{self, Source, Weights};

/// Memory for one dynamic time warping: heads × tokens × context, several times over.
const DTW_MEMORY: usize = 512 << 20;

/// Memory that a graphics card is to have left when the weights are in it: one place to decode in with
/// small weights, a part of one with large ones.
const ROOM: u64 = 256 << 20;

/// Loaded weights. Clones share them.
#[derive(Debug, Clone)]
pub struct Model {
    context: Arc<WhisperContext>,
    weights: Weights,
    /// What it computes on; `None`: the processor.
    gpu: Option<Device>,
    marks: Marks,
    /// Whose alignment heads are asked when a word is said; `None`: nobody's.
    heads: Option<&'static str>,
    /// Whether it may be told the names of a room: the demo model knows its few words only.
    takes_prompts: bool,
    /// What computes the spectrum; `None`: whisper.cpp.
    spectrum: Option<Spectrum>,
    /// Whether the weights are in another form than in their file.
    repacked: bool,
}

impl Model {
    /// Loads weights, into a graphics card where this program was built for one and finds it, else for
    /// the processor. Blocks for as long as that takes. Their SHA-256 is checked first, because
    /// whisper.cpp ends the process over a damaged model.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Wrong`], [`Error::Load`], [`Error::Foreign`].
    pub fn open(weights: &Weights) -> Result<Self, Error> {
        whisper_rs::install_logging_hooks();
        check(weights)?;
        let Some(gpu) = device::devices().into_iter().find(|device| device.is_gpu) else {
            return Self::load(weights, None);
        };
        // whisper.cpp ends the process over weights for which there is no memory.
        let needed = size(weights)?.saturating_add(ROOM);
        if gpu.free_bytes < needed {
            tracing::warn!(%gpu, needed_mib = needed >> 20, "too little memory; using the processor");
            return Self::load(weights, None);
        }
        Self::load(weights, Some(gpu)).or_else(|failed| match failed {
            Error::Load { .. } => {
                let error: &dyn std::error::Error = &failed;
                tracing::warn!(
                    error,
                    "the graphics card does not take the weights; using the processor"
                );
                Self::load(weights, None)
            }
            failed => Err(failed),
        })
    }

    /// The same weights on the processor, where they are on a graphics card: for one that has no memory
    /// left to decode in. Blocks for as long as loading takes.
    ///
    /// # Errors
    /// [`Error::Load`].
    pub fn on_processor(&self) -> Result<Self, Error> {
        if self.gpu.is_none() {
            return Ok(self.clone());
        }
        Self::load(&self.weights, None)
    }

    fn load(weights: &Weights, gpu: Option<Device>) -> Result<Self, Error> {
        let (mode, heads) = word_times(weights);
        let mut parameters = WhisperContextParameters::default();
        // On the processor whisper.cpp 1.8.3 is slower with it, and warping needs it off.
        let flash = heads.is_none() && gpu.is_some();
        parameters.use_gpu(gpu.is_some()).flash_attn(flash);
        parameters.dtw_parameters(DtwParameters { mode, dtw_mem_size: DTW_MEMORY });
        let (filters, packed) = prepare(weights, gpu.is_none())?;
        let context = match (&packed, &weights.source) {
            (Some(bytes), _) => WhisperContext::new_from_buffer_with_params(bytes, parameters),
            (None, Source::Bytes(bytes)) => {
                WhisperContext::new_from_buffer_with_params(bytes, parameters)
            }
            (None, Source::File(path)) => WhisperContext::new_with_params(path, parameters),
        };
        let context =
            context.map_err(|source| Error::Load { name: weights.name.clone(), source })?;
        let marks = Marks { end_of_text: context.token_eot(), time_zero: context.token_beg() };
        if context.n_vocab() < marks.time_zero.saturating_add(hook::TIMES as i32) {
            return Err(Error::Foreign { name: weights.name.clone() });
        }
        let takes_prompts = !weights.is_demo();
        let spectrum = if context.is_multilingual() { None } else { Spectrum::new(&filters) };
        let (context, weights, repacked) = (Arc::new(context), weights.clone(), packed.is_some());
        Ok(Self { context, weights, gpu, marks, heads, takes_prompts, spectrum, repacked })
    }

    /// A place to decode in, with memory of its own.
    ///
    /// # Errors
    /// [`Error::Room`].
    pub fn session(&self) -> Result<Session, Error> {
        let state = self.context.create_state().map_err(Error::Room)?;
        let multilingual = self.context.is_multilingual();
        let spectrum = self.spectrum.clone();
        Ok(Session { state, marks: self.marks, multilingual, spectrum })
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
        let on = if self.gpu.is_some() { BACKEND } else { "cpu" };
        format!("whisper.cpp {} ({on})", whisper_rs::get_whisper_version())
    }

    /// The form in which the weights were brought, where it is not that of their file.
    #[must_use]
    pub fn repacked(&self) -> Option<&'static str> {
        self.repacked.then_some("q8_0")
    }

    /// The graphics card that it computes on, if it does.
    #[must_use]
    pub fn gpu(&self) -> Option<&Device> {
        self.gpu.as_ref()
    }

    /// Whose alignment heads are asked when a word is said; `None`: the times that it writes are enough.
    #[must_use]
    pub fn alignment(&self) -> Option<&'static str> {
        self.heads
    }
}

/// Which kind of graphics card this program was built for.
const BACKEND: &str = if cfg!(feature = "cuda") {
    "cuda"
} else if cfg!(feature = "hipblas") {
    "hipblas"
} else if cfg!(feature = "metal") {
    "metal"
} else {
    "vulkan"
};

/// How the engine is to find out when words are said, and whose alignment heads it asks.
///
/// The attention is asked by dynamic time warping, which costs a third more. The demo weights are as
/// good without it: what they would write as the time of a word is right (docs/decisions/018). Of other
/// weights that is not known.
fn word_times(weights: &Weights) -> (DtwMode<'static>, Option<&'static str>) {
    if weights.is_demo() {
        return (DtwMode::None, None);
    }
    let (preset, heads) = alignment_heads(&weights.name);
    let mode = match preset {
        Some(model_preset) => DtwMode::ModelPreset { model_preset },
        None => DtwMode::TopMost { n_top: 2 },
    };
    (mode, Some(heads))
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

/// What their filters are, and for the processor the whole model with weights in a faster form, where it
/// has one.
fn prepare(weights: &Weights, processor: bool) -> Result<(Filters, Option<Vec<u8>>), Error> {
    fn of(
        file: &mut (impl Read + Seek),
        bytes: u64,
        processor: bool,
    ) -> Result<(Filters, Option<Vec<u8>>), ggml::Error> {
        let filters = Head::read(file)?.filters;
        file.rewind()?;
        let packed = if processor { repack::for_processor(file, bytes)? } else { None };
        Ok((filters, packed))
    }
    let prepared = match &weights.source {
        Source::Bytes(bytes) => of(&mut Cursor::new(bytes), bytes.len() as u64, processor),
        Source::File(path) => File::open(path).map_err(ggml::Error::from).and_then(|file| {
            let bytes = file.metadata()?.len();
            of(&mut BufReader::new(file), bytes, processor)
        }),
    };
    prepared.map_err(|source| Error::Malformed { name: weights.name.clone(), source })
}

/// Bytes of the weights, which take about as many once they are loaded.
fn size(weights: &Weights) -> Result<u64, Error> {
    match &weights.source {
        Source::Bytes(bytes) => Ok(bytes.len() as u64),
        Source::File(path) => std::fs::metadata(path)
            .map(|file| file.len())
            .map_err(|source| Error::Read { name: weights.name.clone(), source }),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_heads_go_by_name_whatever_the_quantisation() {
        for (name, heads) in [
            ("roomtape-demo.en", "tiny.en"),
            ("base.en", "base.en"),
            ("ggml-base.en-q5_1", "base.en"),
            ("large-v3-turbo-q5_0", "large.v3.turbo"),
            ("my-own", "the two topmost layers"),
        ] {
            assert_eq!(alignment_heads(name).1, heads);
        }
    }
}
