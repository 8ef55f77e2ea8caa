//! One datagram → one packet of audio (RFC 3550 header, RFC 7587 and RFC 3551 payloads).

use archive::opus;
use models::Ticks;
use rtp_types::{RtpPacket, RtpParseError};

/// Samples a second of G.711, and units of its RTP clock (RFC 3551, section 4.5.14).
pub(super) const G711_RATE: u32 = 8_000;
/// The most a G.711 packet may carry: the 200 ms that receivers should accept (RFC 3551, section
/// 4.2), in bytes.
const G711_MAX_BYTES: usize = 1_600;

/// How a payload is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// Opus (RFC 7587), kept as it comes.
    Opus,
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl Codec {
    /// What payload type `number` stands for: 0 and 8 by RFC 3551; the dynamic ones have no meaning
    /// of their own, and here they carry Opus.
    fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            96..=127 => Some(Self::Opus),
            _ => None,
        }
    }

    /// Ticks of media time in one unit of its RTP clock: Opus always counts at 48 kHz.
    pub(super) fn unit(self) -> u32 {
        match self {
            Self::Opus => 1,
            Self::Pcmu | Self::Pcma => 48_000 / G711_RATE,
        }
    }

    /// Its name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Opus => "Opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }
}

/// What a datagram says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    pub(super) payload_type: u8,
    pub(super) codec: Codec,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) ssrc: u32,
    pub(super) duration: Ticks,
    pub(super) payload: &'a [u8],
}

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// Another version in the header: probably not RTP at all (STUN and DTLS read as version 0).
    #[error("not RTP version 2 but {0}")]
    Version(u8),
    /// The header, with what it announces, does not fit into the datagram.
    #[error("a datagram of {actual} bytes whose header needs {expected}")]
    Short {
        /// Bytes that the header announces.
        expected: usize,
        /// Bytes there are.
        actual: usize,
    },
    /// The padding bit is set, but the padding's length is impossible.
    #[error("impossible padding of {0} bytes")]
    Padding(u8),
    /// A payload type that is neither PCMU (0), PCMA (8) nor dynamic (96 to 127: Opus).
    #[error("payload type {0}; only Opus (96 to 127), PCMU (0) and PCMA (8) are understood")]
    Codec(u8),
    /// A dynamic payload type, but what it carries is not Opus.
    #[error("a payload that is not Opus")]
    Opus(#[source] opus::Error),
    /// No G.711 sample at all, or more than 200 ms of them.
    #[error("a G.711 payload of {0} bytes; 1 to {G711_MAX_BYTES} are expected")]
    G711(usize),
}

impl From<RtpParseError> for Rejected {
    fn from(error: RtpParseError) -> Self {
        match error {
            RtpParseError::UnsupportedVersion(version) => Self::Version(version),
            RtpParseError::Truncated { expected, actual } => Self::Short { expected, actual },
            RtpParseError::PaddingInvalid(length) => Self::Padding(length),
        }
    }
}

/// Whether a datagram on the same port is RTCP (RFC 5761, section 4): its packet types 192 to 223 lie
/// where RTP has the marker bit and payload types 64 to 95, which multiplexed RTP must not use.
pub(super) fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

/// Reads a datagram that is not RTCP.
pub(super) fn parse(datagram: &[u8]) -> Result<Parsed<'_>, Rejected> {
    let packet = RtpPacket::parse(datagram)?;
    let payload_type = packet.payload_type();
    let codec = Codec::of(payload_type).ok_or(Rejected::Codec(payload_type))?;
    // `RtpPacket::payload` borrows from the parsed packet, not from the datagram.
    let payload = &datagram[packet.payload_offset()..][..packet.payload_len()];
    let duration = match codec {
        Codec::Opus => opus::duration(payload).map_err(Rejected::Opus)?,
        Codec::Pcmu | Codec::Pcma if (1..=G711_MAX_BYTES).contains(&payload.len()) => {
            Ticks::from_samples(payload.len() as u64, G711_RATE)
        }
        Codec::Pcmu | Codec::Pcma => return Err(Rejected::G711(payload.len())),
    };
    Ok(Parsed {
        payload_type,
        codec,
        sequence: packet.sequence_number(),
        timestamp: packet.timestamp(),
        ssrc: packet.ssrc(),
        duration,
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Version 2, then: payload type, sequence 0x0102, timestamp 0x03040506, SSRC 0x0708090A.
    fn header(first: u8, second: u8) -> Vec<u8> {
        vec![first, second, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    }

    fn datagram(first: u8, second: u8, rest: &[u8]) -> Vec<u8> {
        [header(first, second), rest.to_vec()].concat()
    }

    #[test]
    fn a_plain_header_is_read() {
        let bytes = datagram(0x80, 0x80 | 111, &[0xF8, 1, 2]);
        let parsed = parse(&bytes).unwrap();
        let expected = Parsed {
            payload_type: 111,
            codec: Codec::Opus,
            sequence: 0x0102,
            timestamp: 0x0304_0506,
            ssrc: 0x0708_090A,
            duration: Ticks::from_millis(20),
            payload: &[0xF8, 1, 2],
        };
        assert_eq!(parsed, expected);
    }

    #[test]
    fn contributors_extension_and_padding_are_not_audio() {
        // Two CSRCs, an extension of one word, three bytes of padding.
        let rest = [1, 1, 1, 1, 2, 2, 2, 2, 0xBE, 0xDE, 0, 1, 9, 9, 9, 9, 0xF8, 7, 0, 0, 3];
        let bytes = datagram(0x80 | 0x20 | 0x10 | 2, 100, &rest);
        assert_eq!(parse(&bytes).unwrap().payload, [0xF8, 7]);
    }

    #[test]
    fn each_broken_header_has_its_reason() {
        let reason = |bytes: &[u8]| parse(bytes).unwrap_err();
        assert_eq!(reason(&[]), Rejected::Short { expected: 12, actual: 0 });
        assert_eq!(reason(&header(0x80, 96)[..11]), Rejected::Short { expected: 12, actual: 11 });
        assert_eq!(reason(&header(0x40, 96)), Rejected::Version(1));
        assert_eq!(reason(&header(0x83, 96)), Rejected::Short { expected: 24, actual: 12 });
        let extension = datagram(0x90, 96, &[0, 0, 0xFF, 0xFF]);
        assert_eq!(reason(&extension), Rejected::Short { expected: 262_156, actual: 16 });
        assert_eq!(reason(&datagram(0xA0, 96, &[0xF8, 0])), Rejected::Padding(0));
        let padding = datagram(0xA0, 96, &[0xF8, 9]);
        assert_eq!(reason(&padding), Rejected::Short { expected: 21, actual: 14 });
    }

    #[test]
    fn payload_types_decide_the_codec() {
        for (number, codec, payload, ms) in [
            (0, Codec::Pcmu, vec![0xFF; 160], 20),
            (8, Codec::Pcma, vec![0xD5; 240], 30),
            (96, Codec::Opus, vec![0xF8], 20),
            (127, Codec::Opus, vec![0x18, 0, 0], 60),
        ] {
            let bytes = datagram(0x80, number, &payload);
            let parsed = parse(&bytes).unwrap();
            assert_eq!((parsed.codec, parsed.duration), (codec, Ticks::from_millis(ms)));
        }
        for number in [3, 9, 13, 63, 72, 95] {
            let bytes = datagram(0x80, number, &[0; 160]);
            assert_eq!(parse(&bytes), Err(Rejected::Codec(number)));
        }
    }

    #[test]
    fn payloads_that_are_not_what_they_claim_are_refused() {
        let reason = |number, payload: &[u8]| parse(&datagram(0x80, number, payload)).unwrap_err();
        assert_eq!(reason(111, &[]), Rejected::Opus(opus::Error::Empty));
        assert_eq!(reason(111, &[0xFB, 0]), Rejected::Opus(opus::Error::NoFrames));
        assert_eq!(reason(0, &[]), Rejected::G711(0));
        assert_eq!(reason(8, &[0; 1601]), Rejected::G711(1601));
    }

    #[test]
    fn rtcp_is_told_apart_by_its_packet_type() {
        assert!(is_rtcp(&header(0x80, 200)) && is_rtcp(&header(0x81, 203)));
        assert!(!is_rtcp(&header(0x80, 0x80 | 96)) && !is_rtcp(&header(0x80, 0x80)));
        assert!(!is_rtcp(&header(0x00, 200)) && !is_rtcp(&[0x80]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(mut bytes in prop::collection::vec(any::<u8>(), 0..200),
                                   two: bool) {
            if let (true, Some(first)) = (two, bytes.first_mut()) {
                *first = *first & 0x3F | 0x80;
            }
            if let Ok(parsed) = parse(&bytes) {
                prop_assert!(parsed.duration > Ticks::ZERO);
                prop_assert!(parsed.payload.len() + 12 <= bytes.len());
            }
        }
    }
}
