//! The packets that begin a logical stream.

use super::Error;

/// What an Opus stream's first packet begins with.
pub(super) const OPUS_HEAD: &[u8] = b"OpusHead";

/// What an `OpusHead` says (RFC 7845, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Channels: 1 or 2.
    pub channels: u8,
    /// Samples at 48 kHz that a player drops at the start.
    pub pre_skip: u16,
    /// Sampling rate of what was encoded; 0: not said.
    pub input_rate: u32,
}

/// Reads an identification header (RFC 7845, section 5.1).
pub(super) fn parse_head(packet: &[u8]) -> Result<Head, Error> {
    let fields = packet.get(OPUS_HEAD.len()..).unwrap_or_default();
    let [version, channels, skip0, skip1, rate @ ..] = fields else {
        return Err(Error::Head("cut off"));
    };
    let [r0, r1, r2, r3, _gain0, _gain1, family, ..] = rate else {
        return Err(Error::Head("cut off"));
    };
    // The upper four bits are the major version: only 0 is known.
    if version >> 4 != 0 {
        return Err(Error::Head("of an unknown version"));
    }
    if *family != 0 || !(1..=2).contains(channels) {
        return Err(Error::Channels { channels: *channels, family: *family });
    }
    Ok(Head {
        channels: *channels,
        pre_skip: u16::from_le_bytes([*skip0, *skip1]),
        input_rate: u32::from_le_bytes([*r0, *r1, *r2, *r3]),
    })
}

/// The name of what a logical stream's first packet announces.
pub(super) fn codec(magic: &[u8]) -> &'static str {
    const KNOWN: [(&[u8], &str); 6] = [
        (b"\x01vorbis", "Vorbis"),
        (b"\x7fFLAC", "FLAC"),
        (b"Speex   ", "Speex"),
        (b"\x80theora", "Theora"),
        (b"fishead\0", "a skeleton only"),
        (b"PCM     ", "PCM"),
    ];
    let known = KNOWN.iter().find(|(begins, _)| magic.starts_with(begins));
    known.map_or("an unknown codec", |(_, name)| name)
}
