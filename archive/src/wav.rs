//! A recording as WAV: 48 kHz, 16 bit, made while it is sent. Above 4 GiB (six hours of stereo) the
//! header is RF64 (EBU Tech 3306), which has 64-bit sizes.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use models::{Chunk, RecordingId, TICKS_PER_SECOND, Ticks};

use crate::chunk;
use crate::key::Key;
use crate::pcm::{self, Decoder, Error, off_thread};
use crate::store::Store;

const RATE: u32 = TICKS_PER_SECOND as u32;
const BYTES_PER_SAMPLE: u64 = 2;
/// What a RIFF header has before the samples, and an RF64 one.
const RIFF_BYTES: u64 = 44;
const RF64_BYTES: u64 = RIFF_BYTES + 36;

/// Bytes of samples.
fn data_len(total: Ticks, channels: u8) -> u64 {
    total.0.saturating_mul(u64::from(channels) * BYTES_PER_SAMPLE)
}

/// Whether sizes fit the 32 bits of RIFF.
fn is_riff(data: u64) -> bool {
    data + RIFF_BYTES - 8 <= u64::from(u32::MAX)
}

/// The size of the whole file: [`header`] and the bytes of [`stream()`].
#[must_use]
pub fn len(total: Ticks, channels: u8) -> u64 {
    let data = data_len(total, channels);
    data.saturating_add(if is_riff(data) { RIFF_BYTES } else { RF64_BYTES })
}

/// The header of a file of `total` media time.
#[must_use]
pub fn header(total: Ticks, channels: u8) -> Vec<u8> {
    let data = data_len(total, channels);
    let small = |size: u64| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::with_capacity(RF64_BYTES as usize);
    if is_riff(data) {
        out.extend(b"RIFF");
        out.extend(small(data + RIFF_BYTES - 8));
        out.extend(b"WAVE");
    } else {
        // The sizes that do not fit are all ones; "ds64" has them: file, data, samples, no table.
        out.extend(b"RF64\xFF\xFF\xFF\xFFWAVEds64");
        out.extend(28_u32.to_le_bytes());
        for size in [data.saturating_add(RF64_BYTES - 8), data, total.0] {
            out.extend(size.to_le_bytes());
        }
        out.extend([0; 4]);
    }
    let frame = u16::from(channels) * BYTES_PER_SAMPLE as u16;
    out.extend(b"fmt ");
    out.extend(16_u32.to_le_bytes());
    // Format 1 is integer PCM.
    out.extend(1_u16.to_le_bytes());
    out.extend(u16::from(channels).to_le_bytes());
    out.extend(RATE.to_le_bytes());
    out.extend((RATE * u32::from(frame)).to_le_bytes());
    out.extend(frame.to_le_bytes());
    out.extend((BYTES_PER_SAMPLE as u16 * 8).to_le_bytes());
    out.extend(b"data");
    out.extend(if is_riff(data) { small(data) } else { [0xFF; 4] });
    out
}

/// The samples that follow the [`header`], little-endian and interleaved, one item a chunk.
///
/// `chunks` are all of the recording's, in order: one decoder runs through them, so that the seams
/// cannot be heard. Nothing is read ahead; memory is that of one chunk. The decoding is done off the
/// async threads. After an error the stream ends.
pub fn stream(
    store: Store,
    recording: RecordingId,
    channels: u8,
    chunks: Vec<Chunk>,
) -> impl Stream<Item = Result<Bytes, Error>> + Send {
    let state = (None, chunks.into_iter());
    stream::try_unfold(state, move |(decoder, mut chunks)| {
        let store = store.clone();
        async move {
            let Some(chunk) = chunks.next() else { return Ok(None) };
            let seq = chunk.seq;
            let bytes = store.get(&Key::of(recording, &chunk), None).await;
            let bytes = bytes.map_err(|source| chunk::Error::Get { seq, source })?;
            let work = move || decode_chunk(decoder, channels, &bytes, &chunk);
            let (decoder, samples) = off_thread(work).await?;
            Ok(Some((samples, (Some(decoder), chunks))))
        }
    })
}

/// One chunk's samples, with the decoder that made those of the chunk before it.
fn decode_chunk(
    decoder: Option<Decoder>,
    channels: u8,
    bytes: &Bytes,
    chunk: &Chunk,
) -> Result<(Decoder, Bytes), pcm::Error> {
    let fragments = chunk::parse(bytes, chunk)?;
    let mut decoder = match decoder {
        Some(decoder) if decoder.position() != chunk.start => {
            return Err(Error::Uncovered { at: decoder.position() });
        }
        Some(decoder) => decoder,
        None => Decoder::at(chunk.start, RATE, channels)?,
    };
    let mut out = BytesMut::with_capacity(data_len(chunk.duration, channels) as usize);
    for packet in fragments.iter().flat_map(|fragment| &fragment.packets) {
        for sample in decoder.decode(packet)? {
            // Out of range (Opus may overshoot) is clipped by the cast.
            out.put_i16_le((sample * 32_768.0).round() as i16);
        }
    }
    Ok((decoder, out.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_header_is_plain_riff() {
        let header = header(Ticks(48_000), 2);
        assert_eq!(header.len(), 44);
        assert_eq!(&header[..8], b"RIFF\x24\xEE\x02\0");
        assert_eq!(&header[20..36], b"\x01\0\x02\0\x80\xBB\0\0\0\xEE\x02\0\x04\0\x10\0");
        assert_eq!(&header[36..], b"data\0\xEE\x02\0");
        assert_eq!(len(Ticks(48_000), 2), 44 + 192_000);
    }

    #[test]
    fn the_header_turns_to_rf64_where_32_bits_end() {
        // The most data for which "size of the file less 8" fits: 2^32 - 1 - 36, rounded to frames.
        let most = Ticks((u64::from(u32::MAX) - 36) / 4);
        assert_eq!((&header(most, 2)[..4], len(most, 2)), (&b"RIFF"[..], most.0 * 4 + 44));
        let more = most + Ticks(1);
        let header = header(more, 2);
        assert_eq!(len(more, 2), more.0 * 4 + header.len() as u64);
        assert_eq!(&header[..20], b"RF64\xFF\xFF\xFF\xFFWAVEds64\x1C\0\0\0");
        let field = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
        assert_eq!(field(20), len(more, 2) - 8);
        assert_eq!((field(28), field(36)), (more.0 * 4, more.0));
        assert_eq!(&header[header.len() - 8..], b"data\xFF\xFF\xFF\xFF");
    }
}
