//! Weights that hear many languages: the path of their own that they take through the engine.

use std::path::Path;

use models::Ticks;
use roomtape_transcribe::engine::Model;
use roomtape_transcribe::weights::{Source, Weights};
use roomtape_transcribe::window::Policy;
use sha2::{Digest as _, Sha256};

use crate::support::{Worker, conversation, truth};

/// A token more than English-only models have makes a model multilingual, and moves the tokens that
/// are no text up by one.
const NEW_TOKEN: &[u8] = b" roomtape";
const LAST_TOKEN: &[u8] = b"<|endoftext|>";
/// Where the file says how many tokens there are: with those that are no text, and those with a name.
const ALL_TOKENS_AT: usize = 4;
const NAMED_TOKENS_AT: usize = 48 + 8 + 80 * 201 * 4;
const EMBEDDING: &[u8] = b"decoder.token_embedding.weight";
/// A row of it: 192 weights, 32 of them in 22 bytes (q5_0).
const ROW_BYTES: usize = 192 / 32 * 22;

/// The demo weights as a multilingual model. They have never heard of the tokens for languages and
/// translation that such a model is told and asked for.
fn multilingual(folder: &Path) -> Weights {
    let Source::Bytes(demo) = Weights::demo().source else { panic!("the demo weights are inside") };
    let mut bytes = demo.to_vec();
    let find = |bytes: &[u8], what: &[u8]| {
        bytes.windows(what.len()).position(|part| part == what).expect("it is in the demo weights")
    };
    let one_more = |bytes: &mut [u8], at: usize| {
        let number = &mut bytes[at..][..4];
        let more = u32::from_le_bytes(number.try_into().unwrap()) + 1;
        number.copy_from_slice(&more.to_le_bytes());
    };
    // From the end of the file on, so that what is before stays where it is.
    let embedding = find(&bytes, EMBEDDING);
    let last = u32::from_le_bytes(bytes[NAMED_TOKENS_AT..][..4].try_into().unwrap()) as usize - 1;
    let row = embedding + EMBEDDING.len() + last * ROW_BYTES;
    bytes.splice(row..row, [0; ROW_BYTES]);
    one_more(&mut bytes, embedding - 4);
    let name = find(&bytes, LAST_TOKEN) - 4;
    let length = u32::try_from(NEW_TOKEN.len()).unwrap().to_le_bytes();
    bytes.splice(name..name, length.iter().chain(NEW_TOKEN).copied());
    one_more(&mut bytes, NAMED_TOKENS_AT);
    one_more(&mut bytes, ALL_TOKENS_AT);
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = folder.join("multilingual.bin");
    std::fs::write(&path, bytes).unwrap();
    Weights::file("multilingual", &sha256, path)
}

#[test]
fn a_multilingual_model_tells_the_language_and_writes_english() {
    let dir = tempfile::tempdir().unwrap();
    let weights = multilingual(dir.path());
    let model = Model::open(&weights).unwrap();
    assert!(model.is_multilingual() && !Model::open(&Weights::demo()).unwrap().is_multilingual());

    let (sound, mut worker) = (conversation(), Worker::with(&weights));
    let heard = worker.hear(&sound[..13 * 16_000]);
    let language = heard.language.expect("a language");
    assert_eq!(language.len(), 2, "{language}");
    // Told tokens that it never learned, it loses words at the beginnings of windows.
    let score = worker.score(&sound, Policy::FINISHED, &truth());
    println!("{language}: {score}");
    assert!(score.word_error_rate <= 0.3, "{score}");
    assert!(score.word_start_median_s <= 0.1, "{score}");

    let segments = worker.segments(&vec![0.0; 60 * 16_000], Policy::FINISHED);
    assert!(segments.iter().all(|it| it.suppressed.is_some()), "in silence: {segments:?}");
    assert!(segments.iter().all(|it| it.span.end <= Ticks::from_secs(60)));
}
