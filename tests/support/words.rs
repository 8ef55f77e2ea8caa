//! What is said in the bundled conversation, and how near words come to it.

use transcribe::score::{Score, Segment, Transcript, Truth, score};

use super::data;

/// Length of the conversation in seconds.
pub const LENGTH_S: f64 = 99.918_375;

/// The truth about the conversation so many times over.
pub fn truth(times: usize) -> Truth {
    let text = std::fs::read_to_string(data("conversation.json")).expect("the truth");
    let once = Truth::parse(&text).expect("the truth");
    let mut whole = Truth { turns: Vec::new() };
    for n in 0..times {
        let mut turns = once.turns.clone();
        for word in turns.iter_mut().flat_map(|turn| &mut turn.words) {
            word.start += LENGTH_S * n as f64;
            word.end += LENGTH_S * n as f64;
        }
        whole.turns.extend(turns);
    }
    whole
}

/// How near these segments come to the conversation so many times over.
pub fn score_of(segments: Vec<Segment>, times: usize) -> Score {
    score(&truth(times), &Transcript { segments })
}
