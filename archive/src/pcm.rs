//! Packets to samples, through libopus, exact to the tick.

use bytes::Bytes;
use models::{Chunk, RecordingId, Span, Ticks};

use crate::chunk;
use crate::cmaf::Fragment;
use crate::key::Key;
use crate::opus::{self, MAX_DURATION, Packet};
use crate::store::Store;

/// How much is decoded and dropped before a place that is jumped to, until the decoder has caught up
/// with what it would be had it begun at the start (RFC 7845, section 4.6).
pub const PRE_ROLL: Ticks = Ticks::from_millis(80);

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
        let bytes = store.get(&Key::Chunk(recording, seq), None).await;
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
