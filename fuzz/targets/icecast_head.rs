//! Arbitrary bytes as the head of a request, whole and byte by byte: both must agree.
#![no_main]

use ingest::tap::icecast::{Head, Parsed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = Head::parse(data);
    // A head that is complete at some length stays the same whatever follows it.
    for length in 0..data.len().min(512) {
        match Head::parse(&data[..length]) {
            Parsed::Incomplete => {}
            early => {
                assert_eq!(format!("{early:?}"), format!("{whole:?}"));
                break;
            }
        }
    }
});
