use std::sync::atomic::AtomicBool;

use super::*;
use crate::heard::Token;
use crate::weights::{Source, Weights};

fn go_on() -> AtomicBool {
    AtomicBool::new(false)
}

fn greedy() -> Decoding {
    Decoding { threads: 1, temperature: 0.0, prompt: Prompt::default() }
}

#[test]
fn damaged_weights_are_refused_before_whisper_sees_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("half.bin");
    let Source::Bytes(bytes) = Weights::demo().source else {
        panic!("the demo weights are inside")
    };
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let half = Weights::file("half", &Weights::demo().sha256, path);
    assert!(matches!(Model::open(&half), Err(Error::Wrong { name, .. }) if name == "half"));

    let none = Weights::file("none", "00", dir.path().join("none.bin"));
    assert!(matches!(Model::open(&none), Err(Error::Read { .. })));
}

#[test]
fn silence_short_sound_and_stopping() {
    let model = Model::open(&Weights::demo()).unwrap();
    assert!(model.name().starts_with("whisper.cpp 1."), "{}", model.name());
    let mut session = model.session().unwrap();
    // Under what whisper.cpp takes, and under what it may be given.
    for length in [0, 1, 200, 16_000] {
        let heard = session.hear(&vec![0.0; length], &greedy(), &go_on()).unwrap();
        let text: usize = heard.tokens.iter().filter(|t| matches!(t, Token::Text(_))).count();
        assert!(text <= 2, "{heard:?}");
    }
    let whole = vec![0.0; LONGEST];
    assert!(session.hear(&whole, &greedy(), &go_on()).is_ok());
    let more = vec![0.0; LONGEST + 1];
    assert!(matches!(session.hear(&more, &greedy(), &go_on()), Err(Error::TooLong(_))));
    let stop = AtomicBool::new(true);
    assert!(matches!(session.hear(&whole, &greedy(), &stop), Err(Error::Stopped)));
    // And it can be used again afterwards.
    assert!(session.hear(&vec![0.0; 16_000], &greedy(), &go_on()).is_ok());
}
