//! What an Opus packet says of itself (RFC 6716, section 3), without decoding it.

use bytes::Bytes;
use models::Ticks;

/// Longest audio one packet may carry: 120 ms (RFC 6716, section 3.2.5, requirement R5).
pub const MAX_DURATION: Ticks = Ticks::from_millis(120);

/// Most bytes one coded frame may have (RFC 6716, section 3.4, requirement R2).
const MAX_FRAME_BYTES: usize = 1275;

/// One Opus packet as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its bytes as they came; a single byte (the TOC alone) asks the decoder for concealment.
    pub data: Bytes,
    /// How much media time it takes: its coded length, or less where its end is cut off. At least
    /// one tick and at most [`MAX_DURATION`].
    pub duration: Ticks,
}

/// Why bytes are not an Opus packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// R1: there must be a TOC byte.
    #[error("an Opus packet must have at least one byte")]
    Empty,
    /// R2: a frame is longer than 1275 bytes.
    #[error("an Opus frame of {0} bytes is longer than {MAX_FRAME_BYTES}")]
    FrameTooLong(usize),
    /// R3, R6: frames of equal size do not divide the packet.
    #[error("{bytes} bytes do not divide into {frames} Opus frames of equal size")]
    Uneven {
        /// Bytes to divide.
        bytes: usize,
        /// Frames they should make.
        frames: usize,
    },
    /// R4, R6, R7: the packet ends before what it announces.
    #[error("the Opus packet ends inside its {0}")]
    Short(&'static str),
    /// R5: no frames at all.
    #[error("the Opus packet says that it has no frames")]
    NoFrames,
    /// R5: more than 120 ms.
    #[error("the Opus packet says that it is {0} long; 120 ms is the most")]
    TooLong(Ticks),
}

/// Length of one frame of a packet that begins with `toc`.
#[must_use]
pub const fn frame_duration(toc: u8) -> Ticks {
    let config = toc >> 3;
    // RFC 6716, table 2, in 48 kHz samples.
    Ticks(match config {
        0..12 => [480, 960, 1920, 2880][(config & 3) as usize],
        12..16 => [480, 960][(config & 1) as usize],
        _ => [120, 240, 480, 960][(config & 3) as usize],
    })
}

/// The coded length of a packet. The whole framing is checked, so that a packet for which this
/// succeeds is well-formed as RFC 6716 defines it (requirements R1 to R7 of section 3.4).
///
/// # Errors
/// The first requirement that the packet breaks.
pub fn duration(packet: &[u8]) -> Result<Ticks, Error> {
    let (&toc, rest) = packet.split_first().ok_or(Error::Empty)?;
    let frame = frame_duration(toc);
    match toc & 3 {
        0 => check_frame(rest.len()).map(|()| frame),
        1 => equal_frames(rest.len(), 2).map(|()| Ticks(frame.0 * 2)),
        2 => {
            let (first, rest) = frame_length(rest, "frame lengths")?;
            let second = rest.len().checked_sub(first).ok_or(Error::Short("first frame"))?;
            check_frame(second).map(|()| Ticks(frame.0 * 2))
        }
        _ => many_frames(frame, rest),
    }
}

/// A code 3 packet after its TOC (RFC 6716, section 3.2.5).
fn many_frames(frame: Ticks, rest: &[u8]) -> Result<Ticks, Error> {
    let (&head, rest) = rest.split_first().ok_or(Error::Short("frame count"))?;
    let (variable, padded, count) = (head & 0x80 != 0, head & 0x40 != 0, usize::from(head & 0x3F));
    if count == 0 {
        return Err(Error::NoFrames);
    }
    let total = Ticks(frame.0 * count as u64);
    if total > MAX_DURATION {
        return Err(Error::TooLong(total));
    }
    let mut rest = if padded { without_padding(rest)? } else { rest };
    if !variable {
        return equal_frames(rest.len(), count).map(|()| total);
    }
    let mut coded = 0;
    for _ in 1..count {
        let (length, after) = frame_length(rest, "frame lengths")?;
        coded += length;
        rest = after;
    }
    let last = rest.len().checked_sub(coded).ok_or(Error::Short("frames"))?;
    check_frame(last).map(|()| total)
}

/// Reads the padding length and takes the padding off the end.
fn without_padding(mut rest: &[u8]) -> Result<&[u8], Error> {
    let mut padding = 0;
    loop {
        let (&byte, after) = rest.split_first().ok_or(Error::Short("padding length"))?;
        rest = after;
        // 255 stands for 254 bytes and says that the length goes on.
        padding += usize::from(byte.min(254));
        if byte < 255 {
            break;
        }
    }
    let kept = rest.len().checked_sub(padding).ok_or(Error::Short("padding"))?;
    Ok(&rest[..kept])
}

/// A frame length of one or two bytes (RFC 6716, section 3.2.1), and what follows it.
fn frame_length<'a>(rest: &'a [u8], what: &'static str) -> Result<(usize, &'a [u8]), Error> {
    match rest {
        [first @ 0..252, after @ ..] => Ok((usize::from(*first), after)),
        [first, second, after @ ..] => Ok((usize::from(*first) + 4 * usize::from(*second), after)),
        _ => Err(Error::Short(what)),
    }
}

fn equal_frames(bytes: usize, frames: usize) -> Result<(), Error> {
    if !bytes.is_multiple_of(frames) {
        return Err(Error::Uneven { bytes, frames });
    }
    check_frame(bytes / frames)
}

fn check_frame(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_FRAME_BYTES { Err(Error::FrameTooLong(bytes)) } else { Ok(()) }
}

/// How many channels a packet was coded with: 1 or 2 (RFC 6716, section 3.1). An empty one has 1.
#[must_use]
pub fn channels(packet: &[u8]) -> u8 {
    packet.first().map_or(1, |toc| 1 + ((toc >> 2) & 1))
}

/// Packets that take `length` of media time and ask the decoder to conceal it: one byte each, the
/// TOC of the stream they stand in as a code 0 packet (`toc & 0xFC`). Every packet is one frame of
/// that TOC long; what is left at the end is made of shorter frames, so that players find as much to
/// decode as the lengths say. Only what is left below the shortest, 2.5 ms, is a frame cut short.
#[must_use]
pub fn conceal(toc: u8, length: Ticks) -> Vec<Packet> {
    let mut left = length;
    let mut packets = Vec::new();
    for toc in [toc & 0xFC].into_iter().chain(shorter(toc)) {
        let frame = frame_duration(toc);
        let data = Bytes::copy_from_slice(&[toc]);
        while left >= frame {
            packets.push(Packet { data: data.clone(), duration: frame });
            left = left.saturating_sub(frame);
        }
        if left > Ticks::ZERO && frame == SHORTEST {
            packets.push(Packet { data, duration: left });
            left = Ticks::ZERO;
        }
    }
    packets
}

/// The frame of which a whole number makes every Opus packet.
const SHORTEST: Ticks = Ticks(120);

/// TOCs for the same sound in frames of 10, 5 and 2.5 ms, which only CELT has all of.
fn shorter(toc: u8) -> [u8; 3] {
    let celt = match toc >> 3 {
        0..4 => 16,
        4..12 => 20,
        12..14 => 24,
        14..16 => 28,
        config => config & !3,
    };
    [2, 1, 0].map(|size| (celt | size) << 3 | toc & 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_configuration_has_its_length() {
        for config in 0..32_u8 {
            for (code, frames) in [(0, 1), (1, 2)] {
                let toc = config << 3 | code;
                let asked = ::opus::packet::get_nb_samples(&[toc], 48_000).unwrap() as u64;
                assert_eq!(duration(&[toc]), Ok(Ticks(asked)), "{toc:#x}");
                assert_eq!(frame_duration(toc).0 * frames, asked);
            }
        }
    }

    #[test]
    fn broken_packets_say_what_is_wrong() {
        let (silk20, celt20) = (1 << 3, 31 << 3);
        assert_eq!(duration(&[]), Err(Error::Empty));
        assert_eq!(duration(&[silk20 | 3]), Err(Error::Short("frame count")));
        assert_eq!(duration(&[silk20 | 3, 0]), Err(Error::NoFrames));
        assert_eq!(duration(&[silk20 | 3, 7]), Err(Error::TooLong(Ticks::from_millis(140))));
        assert_eq!(duration(&[silk20 | 1, 1, 2, 3]), Err(Error::Uneven { bytes: 3, frames: 2 }));
        assert_eq!(duration(&[celt20 | 2, 9, 1]), Err(Error::Short("first frame")));
        assert_eq!(duration(&[celt20 | 3, 0x41, 255, 9]), Err(Error::Short("padding")));
        assert_eq!(duration(&vec![celt20; 1277]), Err(Error::FrameTooLong(1276)));
    }

    #[test]
    fn channels_come_from_the_stereo_bit() {
        assert_eq!([&[][..], &[0xF8], &[0xFC, 1]].map(channels), [1, 1, 2]);
    }

    #[test]
    fn concealment_is_exactly_as_long_as_asked() {
        let told = |p: &Packet| (p.data[0], p.duration.0);
        let packets: Vec<_> = conceal(0xFF, Ticks(2_000)).iter().map(told).collect();
        assert_eq!(packets, [(0xFC, 960), (0xFC, 960), (0xE4, 80)]);
        assert_eq!(conceal(0xFC, Ticks::ZERO), []);
        for toc in 0..=u8::MAX {
            for steps in [1, 7, 8, 31, 400] {
                let packets = conceal(toc, Ticks(steps * 120));
                let decoded = |p: &Packet| ::opus::packet::get_nb_samples(&p.data, 48_000).unwrap();
                assert_eq!(packets.iter().map(decoded).sum::<usize>() as u64, steps * 120);
                assert!(packets.iter().all(|p| channels(&p.data) == channels(&[toc])));
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_libopus_on_any_bytes(mut packet in prop::collection::vec(any::<u8>(), 1..300),
                                            code3: bool, count in 0..9_u8, flags in 0..4_u8) {
            if code3 && packet.len() > 1 {
                packet[0] |= 3;
                packet[1] = flags << 6 | count;
            }
            let theirs = ::opus::packet::parse(&packet).is_ok();
            let ours = duration(&packet);
            prop_assert_eq!(ours.is_ok(), theirs, "{:?}", ours);
            if let Ok(length) = ours {
                let samples = ::opus::packet::get_nb_samples(&packet, 48_000).unwrap() as u64;
                prop_assert_eq!(length.0, samples);
            }
        }
    }
}
