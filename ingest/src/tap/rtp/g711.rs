//! G.711 → Opus: the samples are decoded, cut into 20 ms and encoded once.
//!
//! libopus takes 8 kHz input as it is; its packets count 48 kHz ticks all the same. What a gap cuts
//! short is encoded with the shortest frames that hold it, and the last packet's stored duration
//! says how much of it counts, so that media time stays exact.

use archive::Packet;
use models::Ticks;
use opus::{Application, Bitrate, Channels, Encoder};

use super::packet::{Codec, G711_RATE};

/// Frame lengths that Opus has, in samples at 8 kHz: 20, 10, 5 and 2.5 ms.
const FRAMES: [usize; 4] = [160, 80, 40, 20];
/// Twice what libopus needs to be transparent for narrowband speech: this is encoded only once.
const BITRATE: i32 = 32_000;
/// Room for one coded frame (RFC 6716, section 3.4, requirement R2, and its TOC).
const PACKET_MAX_BYTES: usize = 1_276;

/// Turns one source's G.711 payloads into Opus packets.
#[derive(Debug)]
pub(super) struct Transcoder {
    encoder: Encoder,
    /// Samples not encoded yet: less than one frame of 20 ms between calls.
    samples: Vec<i16>,
}

impl Transcoder {
    /// A transcoder with a fresh encoder.
    pub(super) fn new() -> Result<Self, opus::Error> {
        let mut encoder = Encoder::new(G711_RATE, Channels::Mono, Application::Audio)?;
        encoder.set_bitrate(Bitrate::Bits(BITRATE))?;
        Ok(Self { encoder, samples: Vec::with_capacity(2 * FRAMES[0]) })
    }

    /// Takes a payload and hands every whole 20 ms to `packet`.
    pub(super) fn push(
        &mut self,
        codec: Codec,
        payload: &[u8],
        mut packet: impl FnMut(Packet),
    ) -> Result<(), opus::Error> {
        let decode = if codec == Codec::Pcma { a_law } else { mu_law };
        self.samples.extend(payload.iter().copied().map(decode));
        let whole = self.samples.len() / FRAMES[0] * FRAMES[0];
        let samples: Vec<i16> = self.samples.drain(..whole).collect();
        for frame in samples.chunks_exact(FRAMES[0]) {
            packet(self.encode(frame, FRAMES[0])?);
        }
        Ok(())
    }

    /// Hands on what is left, because the next sample does not follow it.
    pub(super) fn flush(&mut self, mut packet: impl FnMut(Packet)) -> Result<(), opus::Error> {
        let mut samples = std::mem::take(&mut self.samples);
        while !samples.is_empty() {
            let whole = FRAMES.into_iter().find(|&frame| frame <= samples.len());
            let length = whole.unwrap_or(samples.len());
            let mut frame: Vec<i16> = samples.drain(..length).collect();
            frame.resize(whole.unwrap_or(FRAMES[3]), 0);
            packet(self.encode(&frame, length)?);
        }
        Ok(())
    }

    fn encode(&mut self, frame: &[i16], length: usize) -> Result<Packet, opus::Error> {
        let data = self.encoder.encode_vec(frame, PACKET_MAX_BYTES)?;
        let duration = Ticks::from_samples(length as u64, G711_RATE);
        Ok(Packet { data: data.into(), duration })
    }
}

/// A µ-law byte as a linear sample (ITU-T G.711, table 2; all bits are sent inverted).
fn mu_law(byte: u8) -> i16 {
    let bits = !byte;
    let segment = bits >> 4 & 7;
    let magnitude = ((i16::from(bits & 15) << 3 | 0x84) << segment) - 0x84;
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

/// An A-law byte as a linear sample (ITU-T G.711, table 1; even bits are sent inverted).
fn a_law(byte: u8) -> i16 {
    let bits = byte ^ 0x55;
    let step = i16::from(bits & 15) << 4 | 8;
    let magnitude = match bits >> 4 & 7 {
        0 => step,
        segment => (step | 0x100) << (segment - 1),
    };
    if bits & 0x80 == 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_laws_have_the_values_of_the_tables() {
        assert_eq!(
            [0x00, 0x80, 0xFF, 0x7F, 0xF0, 0xEF].map(mu_law),
            [-32124, 32124, 0, 0, 120, 132]
        );
        assert_eq!([0xD5, 0x55, 0xAA, 0x2A, 0xD4].map(a_law), [8, -8, 32256, -32256, 24]);
        for byte in 0..=0x7F {
            assert_eq!(mu_law(byte), -mu_law(byte | 0x80));
            assert_eq!(a_law(byte), -a_law(byte | 0x80));
        }
        // Louder codes are louder, without a step missing between segments.
        let rising = |law: fn(u8) -> i16, mask: u8| {
            let samples: Vec<i16> = (0..128_u8).map(|n| law((n | 0x80) ^ mask)).collect();
            samples.windows(2).all(|pair| pair[0] < pair[1])
        };
        assert!(rising(mu_law, 0x7F) && rising(a_law, 0x55));
    }

    fn lengths(transcoder: &mut Transcoder, payload: &[u8]) -> Vec<u64> {
        let mut lengths = Vec::new();
        transcoder.push(Codec::Pcmu, payload, |packet| lengths.push(packet.duration.0)).unwrap();
        lengths
    }

    #[test]
    fn payloads_of_any_length_become_packets_of_20_ms() {
        let mut transcoder = Transcoder::new().unwrap();
        assert_eq!(lengths(&mut transcoder, &[0xFF; 100]), [0; 0]);
        assert_eq!(lengths(&mut transcoder, &[0xFF; 240]), [960, 960]);
        let mut rest = Vec::new();
        assert_eq!(lengths(&mut transcoder, &[0xFF; 135]), [0; 0]);
        transcoder.flush(|packet| rest.push(packet)).unwrap();
        // 155 samples are left: 10 ms, 5 ms, 2.5 ms, and 15 samples of a last 2.5 ms.
        let durations: Vec<u64> = rest.iter().map(|packet| packet.duration.0).collect();
        assert_eq!(durations, [480, 240, 120, 90]);
        for packet in &rest {
            assert!(archive::opus::duration(&packet.data).unwrap() >= packet.duration);
        }
        transcoder.flush(|_| panic!("nothing is left")).unwrap();
    }

    #[test]
    fn a_tone_is_the_same_tone_after_it() {
        // 400 Hz at half scale in A-law, by searching the nearest code.
        let nearest = |sample: i16| {
            (0..=255).min_by_key(|&byte| i32::from(a_law(byte)).abs_diff(sample.into())).unwrap()
        };
        let tone = |n: usize| (f64::sin(n as f64 * std::f64::consts::TAU / 20.0) * 16_000.0) as i16;
        let payload: Vec<u8> = (0..8_000).map(|n| nearest(tone(n))).collect();
        let mut packets = Vec::new();
        let mut transcoder = Transcoder::new().unwrap();
        transcoder.push(Codec::Pcma, &payload, |packet| packets.push(packet)).unwrap();
        assert_eq!(packets.len(), 50);

        let mut decoder = opus::Decoder::new(8_000, Channels::Mono).unwrap();
        let mut heard = Vec::new();
        for packet in &packets {
            let mut frame = [0_i16; 160];
            assert_eq!(decoder.decode(&packet.data, &mut frame, false).unwrap(), 160);
            heard.extend(frame);
        }
        let energy = |samples: &[i16]| samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
        let half = &heard[4_000..8_000];
        let (mut sine, mut cosine) = (0.0, 0.0);
        for (n, &sample) in half.iter().enumerate() {
            let phase = n as f64 * std::f64::consts::TAU / 20.0;
            sine += f64::from(sample) * phase.sin();
            cosine += f64::from(sample) * phase.cos();
        }
        let at_400_hz = (sine.powi(2) + cosine.powi(2)) * 2.0 / half.len() as f64;
        assert!(at_400_hz / energy(half) > 0.95, "{}", at_400_hz / energy(half));
        let sent: Vec<i16> = (4_000..8_000).map(tone).collect();
        let loudness = energy(half) / energy(&sent);
        assert!((0.7..1.4).contains(&loudness), "{loudness}");
    }
}
