//! PCM to Opus, once: for sources that are not Opus already.
//!
//! 20 ms packets with variable bitrate, 48 kb/s for one channel and 96 kb/s for two. That is above
//! what rooms usually send (32 kb/s), because the audio has been through another lossy codec and
//! two in a row add up; at this rate listeners do not tell a copy from its original. One hour is
//! 21.6 or 43.2 MB.

use archive::Packet;
use models::Ticks;

/// Samples for each channel in a packet: 20 ms.
const FRAME: usize = 960;
/// Longest packet libopus makes for one frame (RFC 6716, section 3.2.1), with room to spare.
const MAX_PACKET_BYTES: usize = 1500;
/// Bits a second for each channel.
const BITRATE_PER_CHANNEL: i32 = 48_000;

/// libopus refused; `step` says what.
#[derive(Debug, thiserror::Error)]
#[error("could not {step}")]
pub struct Error {
    step: &'static str,
    source: opus::Error,
}

/// Encodes interleaved 48 kHz samples.
pub struct Encoder {
    inner: opus::Encoder,
    channels: usize,
    pending: Vec<f32>,
    lookahead: u64,
    taken: u64,
    given: u64,
}

impl Encoder {
    /// An encoder for `channels` (1 or 2) interleaved channels.
    ///
    /// # Errors
    /// libopus cannot be set up.
    pub fn new(channels: u8) -> Result<Self, Error> {
        let failed = |step| move |source| Error { step, source };
        let layout = if channels == 1 { opus::Channels::Mono } else { opus::Channels::Stereo };
        let mut inner = opus::Encoder::new(48_000, layout, opus::Application::Audio)
            .map_err(failed("set up the opus encoder"))?;
        let bitrate = opus::Bitrate::Bits(BITRATE_PER_CHANNEL * i32::from(channels));
        inner.set_bitrate(bitrate).map_err(failed("set the opus bitrate"))?;
        let lookahead = inner.get_lookahead().map_err(failed("ask for the opus lookahead"))?;
        Ok(Self {
            inner,
            channels: usize::from(channels),
            pending: Vec::new(),
            lookahead: u64::try_from(lookahead).unwrap_or(0),
            taken: 0,
            given: 0,
        })
    }

    /// By how much what is heard comes later than what was taken in: the encoder's lookahead. It is
    /// part of the timeline, as the pre-skip of a source's own packets is.
    #[must_use]
    pub fn lookahead(&self) -> Ticks {
        Ticks(self.lookahead)
    }

    /// Takes samples in and hands out the packets they complete.
    ///
    /// # Errors
    /// libopus refused.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<Packet>, Error> {
        self.pending.extend_from_slice(samples);
        self.taken += (samples.len() / self.channels) as u64;
        let frame = FRAME * self.channels;
        let whole = self.pending.len() / frame * frame;
        let mut packets = Vec::with_capacity(whole / frame);
        for start in (0..whole).step_by(frame) {
            let data = encode(&mut self.inner, &self.pending[start..start + frame])?;
            packets.push(Packet { data: data.into(), duration: Ticks(FRAME as u64) });
        }
        self.pending.drain(..whole);
        self.given += (packets.len() * FRAME) as u64;
        Ok(packets)
    }

    /// No more samples will come: the rest, whole. All packets together are as long as what was
    /// taken in plus the lookahead, to the tick: the last one's stored duration is shortened.
    ///
    /// # Errors
    /// libopus refused.
    pub fn finish(mut self) -> Result<Vec<Packet>, Error> {
        if self.taken == 0 {
            return Ok(Vec::new());
        }
        let total = self.taken + self.lookahead;
        let left = (total - self.given).div_ceil(FRAME as u64) as usize;
        let silence = left * FRAME - self.pending.len() / self.channels;
        let mut packets = self.push(&vec![0.0; silence * self.channels])?;
        if let Some(last) = packets.last_mut() {
            last.duration = Ticks(FRAME as u64 - (self.given - total));
        }
        Ok(packets)
    }
}

fn encode(encoder: &mut opus::Encoder, frame: &[f32]) -> Result<Vec<u8>, Error> {
    encoder
        .encode_vec_float(frame, MAX_PACKET_BYTES)
        .map_err(|source| Error { step: "encode opus", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(channels: u8, frames: usize, portion: usize) -> (Vec<Packet>, Ticks) {
        let mut encoder = Encoder::new(channels).unwrap();
        let lookahead = encoder.lookahead();
        let samples: Vec<f32> = (0..frames * usize::from(channels))
            .map(|n| (n as f32 * 0.05 / f32::from(channels)).sin() * 0.5)
            .collect();
        let mut packets = Vec::new();
        for part in samples.chunks(portion * usize::from(channels)) {
            packets.extend(encoder.push(part).unwrap());
        }
        packets.extend(encoder.finish().unwrap());
        (packets, lookahead)
    }

    #[test]
    fn packets_are_as_long_as_the_input_and_the_lookahead() {
        for channels in [1, 2] {
            for frames in [1, 647, 648, 649, 960, 961, 48_000] {
                let (packets, lookahead) = run(channels, frames, 333);
                let total: Ticks = packets.iter().map(|packet| packet.duration).sum();
                assert_eq!(total, lookahead + Ticks(frames as u64), "{channels} ch, {frames}");
                for packet in &packets {
                    assert_eq!(archive::opus::duration(&packet.data), Ok(Ticks(960)));
                    assert_eq!(archive::opus::channels(&packet.data), channels);
                    assert!((1..=960).contains(&packet.duration.0));
                }
            }
        }
        assert!(Encoder::new(1).unwrap().finish().unwrap().is_empty());
    }

    #[test]
    fn nothing_of_the_end_is_cut() {
        let (packets, lookahead) = run(1, 5_000, 5_000);
        let mut decoder = archive::pcm::Decoder::new(48_000, 1).unwrap();
        let heard: Vec<f32> =
            packets.iter().flat_map(|packet| decoder.decode(packet).unwrap()).collect();
        assert_eq!(heard.len() as u64, 5_000 + lookahead.0);
        let loud = |samples: &[f32]| samples.iter().any(|sample| sample.abs() > 0.2);
        assert!(loud(&heard[heard.len() - 150..]), "the tone goes on to the last sample");
    }

    #[test]
    fn portions_make_no_difference() {
        let bytes = |portion| run(2, 20_000, portion).0;
        assert_eq!(bytes(20_000), bytes(17));
    }
}
