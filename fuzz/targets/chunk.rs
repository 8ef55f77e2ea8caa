//! Arbitrary bytes as a chunk: reading and recovery never panic, and what recovery keeps reads.
#![no_main]

use archive::cmaf::{read_fragments, recover, write_fragment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let recovered = recover(data);
    assert!(recovered.whole_bytes <= data.len());
    let whole = read_fragments(&data[..recovered.whole_bytes]).expect("what was recovered reads");
    assert_eq!(whole.len(), recovered.fragments.len());
    if let Ok(fragments) = read_fragments(data) {
        // Reading loses nothing that writing keeps.
        for fragment in &fragments {
            if fragment.packets.is_empty() {
                continue;
            }
            let again = read_fragments(&write_fragment(fragment)).expect("what we wrote reads");
            assert_eq!(again[0].packets.len(), fragment.packets.len());
            assert_eq!(again[0].start, fragment.start);
        }
    }
});
