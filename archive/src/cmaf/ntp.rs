//! NTP timestamps (RFC 5905, section 6): seconds since 1900 in 32.32 fixed point.

use models::WallMicros;

/// Seconds from 1900-01-01 to 1970-01-01.
const UNIX_EPOCH: i128 = 2_208_988_800;
/// Seconds in an era, after which the 32-bit count begins again.
const ERA: i128 = 1 << 32;

/// Rounded up to the next 2^-32 s, so that [`from_ntp`], which rounds down, gives the same
/// microsecond back.
pub(super) fn to_ntp(wall: WallMicros) -> u64 {
    let since_1900 = i128::from(wall.0) + UNIX_EPOCH * 1_000_000;
    let seconds = since_1900.div_euclid(1_000_000).rem_euclid(ERA);
    let fraction = ((since_1900.rem_euclid(1_000_000) << 32) + 999_999) / 1_000_000;
    // Both parts are below 2^32: 999,999 µs round up to less than a second.
    ((seconds as u64) << 32) | fraction as u64
}

/// Counts with the top bit set are of the era from 1968 on, others of the one from 2036 on
/// (RFC 4330, section 3).
pub(super) fn from_ntp(ntp: u64) -> WallMicros {
    let count = i128::from(ntp >> 32);
    let seconds = if ntp >> 63 == 1 { count } else { count + ERA } - UNIX_EPOCH;
    let micros = (i128::from(ntp & 0xFFFF_FFFF) * 1_000_000) >> 32;
    // At most 2^33 seconds: far inside 64 bits of microseconds.
    WallMicros((seconds * 1_000_000 + micros) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        assert_eq!(to_ntp(WallMicros(0)), 2_208_988_800 << 32);
        assert_eq!(to_ntp(WallMicros(500_000)), (2_208_988_800 << 32) | 0x8000_0000);
        // 2036-02-07T06:28:16Z: the second era begins.
        assert_eq!(to_ntp(WallMicros(2_085_978_496_000_000)), 0);
        assert_eq!(from_ntp(0), WallMicros(2_085_978_496_000_000));
    }

    proptest! {
        #[test]
        fn every_microsecond_of_both_eras_comes_back(
            wall in -61_505_152_000_000_i64..4_233_462_144_000_000
        ) {
            prop_assert_eq!(from_ntp(to_ntp(WallMicros(wall))), WallMicros(wall));
        }

        #[test]
        fn any_timestamp_reads(ntp: u64) {
            let wall = from_ntp(ntp).0;
            prop_assert!((-61_505_152_000_000..4_233_462_144_000_000).contains(&wall));
        }
    }
}
