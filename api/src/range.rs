//! The `Range` header (RFC 9110, section 14): which bytes of a file of known length are asked for.
//!
//! One range is served. Several at once are answered with the whole file, as section 14.2 allows; so
//! is a unit other than bytes. What is no range at all, or lies behind the end, is an error: a client
//! that meant a part is not helped by hours of sound it did not ask for.

use std::ops::Range;

/// What a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Everything: answer 200.
    Whole,
    /// These bytes, at least one: answer 206.
    Part(Range<u64>),
    /// Nothing that exists: answer 416.
    Unsatisfiable,
}

/// Reads a `Range` header's value for a file of `len` bytes.
#[must_use]
pub fn parse(value: &str, len: u64) -> Asked {
    let Some((unit, set)) = value.split_once('=') else {
        return Asked::Unsatisfiable;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Asked::Whole;
    }
    if set.contains(',') {
        return Asked::Whole;
    }
    match one(set.trim(), len) {
        Some(range) if range.start < range.end => Asked::Part(range),
        _ => Asked::Unsatisfiable,
    }
}

/// `first-last`, `first-` or `-length`; the end is cut at `len`.
fn one(spec: &str, len: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        return Some(len.saturating_sub(number(last)?)..len);
    }
    let first = number(first)?;
    let end = if last.is_empty() { len } else { number(last)?.saturating_add(1).min(len) };
    Some(first..end)
}

/// Digits only (no sign, no space); what does not fit is as good as endless.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_read_as_the_rfc_says() {
        for (value, expected) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=0-499", Asked::Part(0..500)),
            ("bytes=500-", Asked::Part(500..1000)),
            ("bytes=-1", Asked::Part(999..1000)),
            ("bytes=-5000", Asked::Part(0..1000)),
            ("bytes=999-99999999999999999999999", Asked::Part(999..1000)),
            ("Bytes= 1-2 ", Asked::Part(1..3)),
            ("bytes=0-1,5-6", Asked::Whole),
            ("seconds=1-2", Asked::Whole),
            ("bytes=1000-", Asked::Unsatisfiable),
            ("bytes=1000-1001", Asked::Unsatisfiable),
            ("bytes=5-4", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=-", Asked::Unsatisfiable),
            ("bytes=+1-2", Asked::Unsatisfiable),
            ("bytes=a-b", Asked::Unsatisfiable),
            ("bytes", Asked::Unsatisfiable),
            ("", Asked::Unsatisfiable),
        ] {
            assert_eq!(parse(value, 1000), expected, "{value:?}");
        }
        assert_eq!(parse("bytes=0-", 0), Asked::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_always_lies_inside(value in "bytes=[0-9]{0,20}-[0-9]{0,20}", len in 0u64..5000) {
            if let Asked::Part(range) = parse(&value, len) {
                prop_assert!(range.start < range.end && range.end <= len);
            }
        }

        #[test]
        fn a_well_formed_range_is_that_range(first in 0u64..2000, extra in 0u64..2000, len in 1u64..2000) {
            let expected = if first < len {
                Asked::Part(first..(first + extra + 1).min(len))
            } else {
                Asked::Unsatisfiable
            };
            prop_assert_eq!(parse(&format!("bytes={first}-{}", first + extra), len), expected);
        }

        #[test]
        fn nothing_makes_it_panic(value in ".*", len in any::<u64>()) {
            let _ = parse(&value, len);
        }
    }
}
