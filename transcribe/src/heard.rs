//! What an engine heard in a window, before it is given its place in media time.

use models::Ticks;

/// Times within a window are counted in steps of 20 ms: what Whisper's timestamps and its audio
/// context count in.
pub const STEP: Ticks = Ticks::from_millis(20);

/// Tokens in the order in which they were heard.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// How sure the engine is that nobody spoke, 0 to 1.
    pub no_speech: f32,
    /// The language that was spoken (ISO 639-1), where the engine tells.
    pub language: Option<&'static str>,
}

/// Part of a word, or a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// Bytes of a word; a space before them begins one. They may end inside a character.
    Text(Text),
    /// The clause before it ends, or the clause after it begins, at this step of the window.
    Time(u32),
}

/// Part of a word.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub log_probability: f32,
    /// The step at which the engine's attention had passed over it, by dynamic time warping of
    /// alignment heads; where known.
    pub passed: Option<u32>,
    /// Where the engine would have put a time instead of this token: steps with the natural
    /// logarithm of their probability, the likely ones only, in order.
    pub clock: Vec<(u32, f32)>,
}
