//! Arbitrary text as a `Range` header: a part lies inside the file and is the one that was asked for.
#![no_main]

#[path = "../../api/src/range.rs"]
mod range;

use libfuzzer_sys::fuzz_target;
use range::Asked;

fuzz_target!(|data: &[u8]| {
    let Some((length, value)) = data.split_first_chunk::<8>() else { return };
    let (length, value) = (u64::from_le_bytes(*length), String::from_utf8_lossy(value));
    match range::parse(&value, length) {
        Asked::Part(part) => {
            assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
            // What it says, said plainly, is the same part.
            let plain = format!("bytes={}-{}", part.start, part.end - 1);
            assert_eq!(range::parse(&plain, length), Asked::Part(part));
        }
        Asked::Whole | Asked::Unsatisfiable => {}
    }
});
