//! A decoder for what a header says, where it does not say too much.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_OPUS, CODEC_ID_VORBIS};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::default::get_codecs;

use super::{Error, vorbis};

/// Most channels, and most samples of all of them that a decoder makes room for: decoders take their
/// buffers as large as a header says.
const MAX_CHANNELS: usize = 64;
const MAX_SAMPLES: u64 = 1 << 20;

/// A decoder; `None` for Opus. What its header says is looked at first: a decoder takes the memory that
/// it asks for, and where there is not so much, the process ends.
pub(super) fn make(
    parameters: &AudioCodecParameters,
) -> Result<Option<Box<dyn AudioDecoder>>, Error> {
    let channels = parameters.channels.as_ref().map_or(1, Channels::count);
    if channels > MAX_CHANNELS {
        return Err(Error::Huge("more channels than anybody has"));
    }
    let frames = parameters.max_frames_per_packet.max(parameters.frames_per_block).unwrap_or(0);
    if frames.saturating_mul(channels as u64) > MAX_SAMPLES {
        return Err(Error::Huge("packets of hours"));
    }
    if parameters.codec == CODEC_ID_VORBIS {
        let header = parameters.extra_data.as_deref().unwrap_or_default();
        if vorbis::code_book_bytes(header) > vorbis::MAX_CODE_BOOK_BYTES {
            return Err(Error::Huge("more memory than a codec needs"));
        }
    }
    if parameters.codec == CODEC_ID_OPUS {
        let channels = parameters.channels.as_ref().map_or(2, Channels::count);
        return if channels <= 2 { Ok(None) } else { Err(Error::Channels(channels)) };
    }
    get_codecs().make_audio_decoder(parameters, &Default::default()).map(Some).map_err(Error::Codec)
}

/// Runs a decoder's code. That is other people's and reads what strangers send: where it panics, the
/// input is to blame, and nobody may take its end for the end of the audio.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::Broke(said.unwrap_or("no message").to_owned()))
    })
}
