//! Which words are known: the demo weights inside the program, and files that people bring.

pub mod catalogue;
pub mod fetch;
pub mod ggml;

use std::path::PathBuf;

/// Name of the weights that the program carries: our own tiny model, which knows 242 words.
pub const DEMO: &str = "roomtape-demo.en";

/// SHA-256 of [`DEMO_BYTES`].
const DEMO_SHA256: &str = "7696c9421bb0eb8cb7bff1b8acf086f0eaeae15c861669740b3928d06c15b16e";
static DEMO_BYTES: &[u8] = include_bytes!("../../weights/demo/roomtape-demo.en-q5_0.bin");

/// Weights for the engine, and the digest that they must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    /// Name as transcripts show it, such as `base.en`; it also says which attention heads know when
    /// a word is said.
    pub name: String,
    /// SHA-256 of the whole model, lower-case hex. The engine opens nothing else.
    pub sha256: String,
    /// Where the model is.
    pub source: Source,
}

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Inside the program.
    Bytes(&'static [u8]),
    /// In a ggml file.
    File(PathBuf),
}

impl Weights {
    /// The weights that the program carries, so that a first run needs no network. They know 242
    /// words and make nonsense of everything else.
    #[must_use]
    pub fn demo() -> Self {
        Self {
            name: DEMO.to_owned(),
            sha256: DEMO_SHA256.to_owned(),
            source: Source::Bytes(DEMO_BYTES),
        }
    }

    /// Whether they are those that the program carries, wherever they come from.
    #[must_use]
    pub fn is_demo(&self) -> bool {
        self.sha256 == DEMO_SHA256
    }

    /// Weights in the ggml file at `path`, which is to have this SHA-256 (lower-case hex).
    #[must_use]
    pub fn file(name: &str, sha256: &str, path: PathBuf) -> Self {
        Self { name: name.to_owned(), sha256: sha256.to_owned(), source: Source::File(path) }
    }
}
