//! Packets to samples, through libopus, exact to the tick.

use bytes::Bytes;
use models::{Chunk, RecordingId, Span, Ticks};

use crate::chunk;
use crate::cmaf::Fragment;
use crate::key::Key;
use crate::opus::{self, MAX_DURATION, Packet};
use crate::store::Store;

/// How much is decoded and dropped before a place that is jumped to, until the decoder has caught up
/// with what it would be had it begun at the start. RFC 7845, section 4.6, asks for 80 ms at least;
/// after so little, speech was still 18 dB from itself, after twice that 58 dB.
pub const PRE_ROLL: Ticks = Ticks::from_millis(240);

/// The rate at which Whisper listens.
const SPEECH_RATE: u32 = 16_000;

/// Why there are no samples.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Opus decodes to 8, 12, 16, 24 or 48 kHz, and to one or two channels.
    #[error("make an Opus decoder for {channels} channels at {rate} Hz")]
    Open {
        /// Asked for.
        rate: u32,
        /// Asked for.
        channels: u8,
        /// What libopus says; `None` where it was not asked.
        source: Option<::opus::Error>,
    },
    /// A packet says that it takes more than 120 ms, which none can.
    #[error("a packet says that it takes {0} ticks; 120 ms is the most")]
    Duration(u64),
    /// A chunk cannot be used.
    #[error("open a chunk to decode it")]
    Chunk(#[from] chunk::Error),
    /// No chunk covers part of what was asked for.
    #[error("no chunk covers tick {}", at.0)]
    Uncovered {
        /// The first tick without a chunk.
        at: Ticks,
    },
    /// The runtime stopped before the work was done.
    #[error("the runtime stopped the decoding")]
    Stopped(#[source] tokio::task::JoinError),
}

/// Decodes one recording's packets in order. It keeps the decoder's state: a jump needs a new one.
#[derive(Debug)]
pub struct Decoder {
    inner: ::opus::Decoder,
    rate: u32,
    channels: usize,
    position: Ticks,
}

impl Decoder {
    /// A decoder that stands at media time zero. Stereo packets are mixed down for one channel, mono
    /// ones doubled for two.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn new(rate: u32, channels: u8) -> Result<Self, Error> {
        Self::at(Ticks::ZERO, rate, channels)
    }

    /// A decoder that stands at `position`, where its first packet begins.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn at(position: Ticks, rate: u32, channels: u8) -> Result<Self, Error> {
        let layout = match channels {
            1 => ::opus::Channels::Mono,
            2 => ::opus::Channels::Stereo,
            _ => return Err(Error::Open { rate, channels, source: None }),
        };
        let inner = ::opus::Decoder::new(rate, layout);
        let inner = inner.map_err(|error| Error::Open { rate, channels, source: Some(error) })?;
        Ok(Self { inner, rate, channels: usize::from(channels), position })
    }

    /// The media time up to which it has decoded.
    #[must_use]
    pub const fn position(&self) -> Ticks {
        self.position
    }

    /// The samples of the next packet, interleaved, nominally within ±1.
    ///
    /// They cover exactly the packet's stored duration: what is coded beyond it is dropped. (Where
    /// that is no whole number of samples at this rate, the fractions add up over the packets and
    /// nothing drifts.) A one-byte packet is concealed, and so is one that cannot be decoded: a
    /// damaged packet costs its own length and no more.
    ///
    /// # Errors
    /// [`Error::Duration`].
    pub fn decode(&mut self, packet: &Packet) -> Result<Vec<f32>, Error> {
        if packet.duration > MAX_DURATION {
            return Err(Error::Duration(packet.duration.0));
        }
        let end = self.position + packet.duration;
        let wanted = end.to_samples(self.rate) - self.position.to_samples(self.rate);
        self.position = end;
        let mut samples = self.coded(packet);
        // Shorter only where a damaged packet takes more time than it codes.
        samples.resize(wanted as usize * self.channels, 0.0);
        Ok(samples)
    }

    /// All samples that a packet codes, or as many that conceal it.
    fn coded(&mut self, packet: &Packet) -> Vec<f32> {
        let Ok(length) = opus::duration(&packet.data) else {
            tracing::debug!(bytes = packet.data.len(), "damaged packet concealed");
            return self.conceal(packet.duration);
        };
        if packet.data.len() == 1 {
            return self.conceal(length);
        }
        let mut samples = self.silence(length);
        match self.inner.decode_float(&packet.data, &mut samples, false) {
            Ok(decoded) => {
                samples.truncate(decoded * self.channels);
                samples
            }
            Err(error) => {
                tracing::debug!(%error, bytes = packet.data.len(), "damaged packet concealed");
                self.conceal(length)
            }
        }
    }

    /// At least `length` of what libopus makes up from what came before.
    fn conceal(&mut self, length: Ticks) -> Vec<f32> {
        // libopus conceals whole multiples of 2.5 ms.
        let mut samples = self.silence(Ticks(length.0.next_multiple_of(120)));
        if let Err(error) = self.inner.decode_float(&[], &mut samples, false) {
            tracing::debug!(%error, "silence instead of concealment");
            samples.fill(0.0);
        }
        samples
    }

    fn silence(&self, length: Ticks) -> Vec<f32> {
        vec![0.0; length.to_samples(self.rate) as usize * self.channels]
    }
}

/// What was said in `span`: one channel at 16 kHz, exactly as many samples as its duration has.
///
/// `chunks` are those of the recording that cover the span, in order; one that ends before it is of
/// use too, because up to [`PRE_ROLL`] before the span is decoded and dropped. Others are not read.
/// Memory is that of the samples and one chunk. The decoding is done off the async threads.
///
/// # Errors
/// [`Error::Uncovered`] where the chunks leave a hole in the span or end before it does;
/// [`Error::Chunk`] where one is missing or damaged.
pub async fn read_mono_16k(
    store: &Store,
    recording: RecordingId,
    chunks: &[Chunk],
    span: Span,
) -> Result<Vec<f32>, Error> {
    let from = span.start.saturating_sub(PRE_ROLL);
    let mut reader = Reader::new(span);
    let meets = |chunk: &&Chunk| chunk.span().end > from && chunk.start < span.end;
    for chunk in chunks.iter().filter(meets) {
        if span.is_empty() {
            break;
        }
        let seq = chunk.seq;
        let bytes = store.get(&Key::of(recording, chunk), None).await;
        let bytes = bytes.map_err(|source| chunk::Error::Get { seq, source })?;
        let chunk = chunk.clone();
        reader = off_thread(move || reader.chunk(&bytes, &chunk).map(|()| reader)).await?;
    }
    reader.finish()
}

/// Runs `work` on a thread that may block.
pub(crate) async fn off_thread<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Error>
where
    T: Send + 'static,
    E: Send + 'static,
    Error: From<E>,
{
    tokio::task::spawn_blocking(work).await.map_err(Error::Stopped)?.map_err(Error::from)
}

/// Collects a span's samples from chunks in order.
struct Reader {
    span: Span,
    decoder: Option<Decoder>,
    samples: Vec<f32>,
    /// How many samples there are to be.
    wanted: usize,
}

impl Reader {
    fn new(span: Span) -> Self {
        let wanted = span.duration().to_samples(SPEECH_RATE) as usize;
        Self { span, decoder: None, samples: Vec::new(), wanted }
    }

    fn chunk(&mut self, bytes: &Bytes, chunk: &Chunk) -> Result<(), Error> {
        let fragments = chunk::parse(bytes, chunk)?;
        if let Some(decoder) = self.decoder.as_ref().filter(|d| d.position() != chunk.start) {
            // A hole before the span only costs pre-roll; inside it, samples would be missing.
            if decoder.position() > self.span.start || chunk.start > self.span.start {
                return Err(Error::Uncovered { at: decoder.position() });
            }
            self.decoder = None;
        }
        self.fragments(&fragments)
    }

    fn fragments(&mut self, fragments: &[Fragment]) -> Result<(), Error> {
        let from = self.span.start.saturating_sub(PRE_ROLL);
        let mut at = fragments.first().map_or(Ticks::ZERO, |fragment| fragment.start);
        for packet in fragments.iter().flat_map(|fragment| &fragment.packets) {
            let start = at;
            at += packet.duration;
            if at <= from || start >= self.span.end {
                continue;
            }
            let decoder = match &mut self.decoder {
                Some(decoder) => decoder,
                None if start > self.span.start => {
                    return Err(Error::Uncovered { at: self.span.start });
                }
                none => none.insert(Decoder::at(start, SPEECH_RATE, 1)?),
            };
            let samples = decoder.decode(packet)?;
            let first = self.span.start.to_samples(SPEECH_RATE);
            let dropped = first.saturating_sub(start.to_samples(SPEECH_RATE)) as usize;
            self.samples.extend(samples.iter().skip(dropped));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<f32>, Error> {
        if self.samples.len() < self.wanted {
            let at = self.decoder.map_or(self.span.start, |d| d.position().max(self.span.start));
            return Err(Error::Uncovered { at });
        }
        self.samples.truncate(self.wanted);
        Ok(self.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{conversation, keep};
    use proptest::prelude::*;

    fn decode_all(decoder: &mut Decoder, packets: &[Packet]) -> Vec<f32> {
        packets.iter().flat_map(|packet| decoder.decode(packet).unwrap()).collect()
    }

    fn loudness(samples: &[f32]) -> f32 {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn rates_and_channels_that_opus_lacks_are_refused() {
        assert!(matches!(Decoder::new(44_100, 1), Err(Error::Open { source: Some(_), .. })));
        assert!(matches!(Decoder::new(48_000, 3), Err(Error::Open { source: None, .. })));
    }

    #[test]
    fn a_lost_or_damaged_packet_costs_only_itself() {
        let packets = conversation();
        let packets = &packets[100..200];
        let whole = decode_all(&mut Decoder::new(48_000, 1).unwrap(), packets);
        let toc = packets[50].data[0];
        let lost = Bytes::copy_from_slice(&[toc & 0xFC]);
        // Code 3 without its frame count: not a packet at all.
        for data in [lost, Bytes::copy_from_slice(&[toc | 3])] {
            let mut packets = packets.to_vec();
            packets[50].data = data;
            let concealed = decode_all(&mut Decoder::new(48_000, 1).unwrap(), &packets);
            assert_eq!(concealed.len(), whole.len());
            assert_eq!(concealed[..50 * 960], whole[..50 * 960]);
            assert_ne!(concealed[50 * 960..51 * 960], whole[50 * 960..51 * 960]);
            assert!(loudness(&concealed[50 * 960..51 * 960]) > 0.0, "made up, not silent");
            let rest = 60 * 960;
            let off = whole[rest..].iter().zip(&concealed[rest..]).map(|(a, b)| a - b);
            assert!(loudness(&off.collect::<Vec<_>>()) < 0.1 * loudness(&whole[rest..]));
        }
    }

    #[test]
    fn a_shortened_packet_is_trimmed_and_fractions_do_not_drift() {
        let mut packets = conversation();
        packets.truncate(100);
        for packet in &mut packets {
            packet.duration = Ticks(959);
        }
        for (rate, expected) in [(48_000, 95_900), (16_000, 31_966)] {
            let mut decoder = Decoder::new(rate, 1).unwrap();
            assert_eq!(decode_all(&mut decoder, &packets).len(), expected);
            assert_eq!(decoder.position(), Ticks(95_900));
        }
    }

    #[test]
    fn two_channels_of_a_mono_packet_are_alike() {
        let packets = conversation();
        let stereo = decode_all(&mut Decoder::new(48_000, 2).unwrap(), &packets[..100]);
        assert_eq!(stereo.len(), 2 * 96_000);
        assert!(stereo.chunks(2).all(|frame| frame[0] == frame[1]));
    }

    #[test]
    fn a_stereo_mix_is_heard_in_one_channel() {
        let stereo = ::opus::Channels::Stereo;
        let mut encoder = ::opus::Encoder::new(48_000, stereo, ::opus::Application::Audio).unwrap();
        let mut decoder = Decoder::new(16_000, 1).unwrap();
        let mut heard = Vec::new();
        for frame in 0..50 {
            // A tone on the left, silence on the right.
            let tone = |at: usize| ((frame * 960 + at) as f32 * 0.05).sin() * 0.5;
            let samples: Vec<f32> = (0..960).flat_map(|at| [tone(at), 0.0]).collect();
            let data = encoder.encode_vec_float(&samples, 1275).unwrap().into();
            heard.extend(decoder.decode(&Packet { data, duration: Ticks(960) }).unwrap());
        }
        assert_eq!(heard.len(), 16_000);
        // Half of the left: 0.5 / √2 / 2.
        assert!((loudness(&heard[3_200..]) - 0.177).abs() < 0.02, "{}", loudness(&heard[3_200..]));
    }

    #[tokio::test]
    async fn any_span_is_cut_from_the_whole_to_the_sample() {
        let packets = conversation();
        let kept = keep(&packets[..1_000]).await;
        let whole = decode_all(&mut Decoder::new(16_000, 1).unwrap(), &packets[..1_000]);
        let read = |span| read_mono_16k(&kept.store, kept.recording, &kept.chunks, span);
        for (start, end) in [
            (0, 960_000),
            (0, 1),
            (7, 48_001),
            (192_000, 384_000),
            (191_999, 200_000),
            (500_001, 500_001),
        ] {
            let span = Span::new(Ticks(start), Ticks(end));
            let samples = read(span).await.unwrap();
            assert_eq!(samples.len() as u64, span.duration().to_samples(16_000), "{span:?}");
            let first = span.start.to_samples(16_000) as usize;
            let expected = &whole[first..first + samples.len()];
            let off: Vec<f32> = samples.iter().zip(expected).map(|(a, b)| a - b).collect();
            let bound = 0.02 * loudness(&whole);
            assert!(off.is_empty() || loudness(&off) < bound, "{span:?}: {}", loudness(&off));
        }
    }

    #[tokio::test]
    async fn chunks_around_the_span_are_enough_and_holes_are_errors() {
        let kept = keep(&conversation()[..1_000]).await;
        let (store, id, chunks) = (&kept.store, kept.recording, &kept.chunks);
        let span = Span::new(Ticks::from_secs(9), Ticks::from_secs(11));
        let all = read_mono_16k(store, id, chunks, span).await.unwrap();
        assert!(read_mono_16k(store, id, &chunks[2..3], span).await.unwrap() == all);
        let wide = Span::new(Ticks::from_secs(5), Ticks::from_secs(15));
        for (chunks, expected) in [
            (vec![], 5),
            (vec![chunks[2].clone()], 5),
            (vec![chunks[1].clone(), chunks[3].clone()], 8),
            (chunks[..3].to_vec(), 12),
        ] {
            let error = read_mono_16k(store, id, &chunks, wide).await.unwrap_err();
            let Error::Uncovered { at } = error else { panic!("{error}") };
            assert_eq!(at, Ticks::from_secs(expected));
        }
    }

    proptest! {
        #[test]
        fn any_packet_gives_exactly_its_length(
            packets in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..80), 0..=5760_u64), 1..6),
            rate in prop::sample::select(vec![16_000, 48_000]),
            channels in 1..=2_u8,
        ) {
            let mut decoder = Decoder::new(rate, channels).unwrap();
            let (mut ticks, mut samples) = (0, 0);
            for (data, duration) in packets {
                let packet = Packet { data: data.into(), duration: Ticks(duration) };
                ticks += duration;
                samples += decoder.decode(&packet).unwrap().len() as u64;
                prop_assert_eq!(samples, Ticks(ticks).to_samples(rate) * u64::from(channels));
            }
        }
    }
}
