//! A recording's samples as Whisper wants them (16 kHz, one channel), chunk by chunk.

use std::collections::VecDeque;

use archive::pcm::{Decoder, PRE_ROLL};
use archive::{Key, Packet, Store, chunk, pcm};
use bytes::Bytes;
use models::{Chunk, RecordingId, Ticks};

use crate::speech::RATE;

/// Why there are no samples.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not give a chunk.
    #[error("getting chunk {seq}")]
    Get {
        /// Which one.
        seq: u32,
        /// What the store says.
        source: archive::store::Error,
    },
    /// A chunk could not be decoded.
    #[error("decoding chunk {seq}")]
    Decode {
        /// Which one.
        seq: u32,
        /// What the decoder says.
        source: pcm::Error,
    },
    /// The runtime stopped before the work was done.
    #[error("the runtime stopped the decoding")]
    Stopped(#[source] tokio::task::JoinError),
}

/// The samples from some media time on. Holds no more than one chunk at a time.
#[derive(Debug)]
pub struct Stream {
    store: Store,
    recording: RecordingId,
    chunks: VecDeque<Chunk>,
    reader: Option<Reader>,
}

impl Stream {
    /// The samples from `from` on, which must lie on a whole sample. `chunks` are those of the
    /// recording that end after [`Self::first`]`(from)`, in order.
    #[must_use]
    pub fn new(store: Store, recording: RecordingId, chunks: Vec<Chunk>, from: Ticks) -> Self {
        let reader = Some(Reader { from, decoder: None });
        Self { store, recording, chunks: chunks.into(), reader }
    }

    /// From where on chunks are needed: the decoder is warmed up a little before `from`.
    #[must_use]
    pub fn first(from: Ticks) -> Ticks {
        from.saturating_sub(PRE_ROLL)
    }

    /// The samples of the next chunk; `None` after the last one. A chunk whose bytes are damaged
    /// sounds like silence, and an error is logged: the words of all others must not be lost over
    /// it.
    ///
    /// # Errors
    /// [`Error::Get`] where the store fails; [`Error::Decode`].
    pub async fn next(&mut self) -> Result<Option<Vec<f32>>, Error> {
        let Some(chunk) = self.chunks.pop_front() else { return Ok(None) };
        let seq = chunk.seq;
        let bytes = self.store.get(&Key::of(self.recording, &chunk), None).await;
        let bytes = bytes.map_err(|source| Error::Get { seq, source })?;
        let Some(mut reader) = self.reader.take() else { return Ok(None) };
        let recording = self.recording;
        let work = move || {
            let samples = reader.chunk(&bytes, &chunk, recording);
            (reader, samples)
        };
        let (reader, samples) = tokio::task::spawn_blocking(work).await.map_err(Error::Stopped)?;
        self.reader = Some(reader);
        samples.map(Some).map_err(|source| Error::Decode { seq, source })
    }
}

#[derive(Debug)]
struct Reader {
    from: Ticks,
    decoder: Option<Decoder>,
}

impl Reader {
    fn chunk(
        &mut self,
        bytes: &Bytes,
        chunk: &Chunk,
        recording: RecordingId,
    ) -> Result<Vec<f32>, pcm::Error> {
        match chunk::parse(bytes, chunk) {
            Ok(fragments) => {
                let packets = fragments.iter().flat_map(|fragment| &fragment.packets);
                self.packets(packets, chunk.start)
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(%recording, seq = chunk.seq, error, "damaged chunk heard as silence");
                self.decoder = None;
                let start = chunk.start.max(self.from).to_samples(RATE);
                let length = chunk.span().end.to_samples(RATE).saturating_sub(start);
                Ok(vec![0.0; length as usize])
            }
        }
    }

    fn packets<'a>(
        &mut self,
        packets: impl Iterator<Item = &'a Packet>,
        start: Ticks,
    ) -> Result<Vec<f32>, pcm::Error> {
        let mut at = start;
        let mut heard = Vec::new();
        for packet in packets {
            let start = at;
            at += packet.duration;
            if at <= Stream::first(self.from) {
                continue;
            }
            let decoder = match &mut self.decoder {
                Some(decoder) => decoder,
                none => none.insert(Decoder::at(start, RATE, 1)?),
            };
            let samples = decoder.decode(packet)?;
            let before = self.from.to_samples(RATE).saturating_sub(start.to_samples(RATE));
            heard.extend(samples.iter().skip(before as usize));
        }
        Ok(heard)
    }
}
