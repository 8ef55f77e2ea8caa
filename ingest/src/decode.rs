//! What is in a file or stream that is not Ogg Opus: MP3, AAC (ADTS, MP4), FLAC, Vorbis, WAV, and
//! Opus inside Matroska, WebM and MP4, through symphonia.
//!
//! Pulls: [`Decoder::next_piece`] blocks until its source has enough bytes, so that it belongs on a thread
//! of its own. What a decoder reports counts, not what a header promises: HE-AAC comes out at its
//! core's rate, half of what its header says, and at the right speed only so.
//!
//! Media time stays honest here too: a packet that cannot be decoded leaves a hole of its length.
//!
//! Nothing that the input says is believed beyond [`bounds`](crate::bounds); a decoder that panics is
//! an error like any other.

mod make;
mod meter;
mod vorbis;

use std::io::{self, Read};
use std::sync::Arc;

use archive::Packet;
use models::{TICKS_PER_SECOND, Ticks};
use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::errors::Error as Fault;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{FORMAT_ID_ADTS, FORMAT_ID_MP3};
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadOnlySource};
use symphonia::core::packet::Packet as Coded;
use symphonia::core::units::{Duration, TimeBase};
use symphonia::default::get_probe;

use self::make::{guarded, make};
use self::meter::{Meter, Metered};
use crate::bounds::Credit;

/// So many undecodable packets in a row, and it is not what it says: a second or more.
const MAX_BAD_PACKETS: u32 = 50;
/// Bytes without a packet from a stream, and from a file, whose pictures and tables may be large.
const MAX_SILENT_STREAM: u64 = 8 * 1024 * 1024;
const MAX_SILENT_FILE: u64 = 64 * 1024 * 1024;
/// Largest packet: 20 s of uncompressed stereo.
const MAX_PACKET_BYTES: usize = 4 * 1024 * 1024;
/// Timestamps of Matroska wander by milliseconds; from this length on a hole is one.
const MIN_HOLE: u64 = Ticks::from_millis(120).0;
/// Longer holes are a broken clock.
const MAX_HOLE: u64 = Ticks::from_secs(600).0;

/// Why a file or stream cannot be read (on).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing known begins like this.
    #[error("not audio we can read")]
    Unknown(#[source] Fault),
    /// A transport stream, whose start looks like ADTS to others.
    #[error("MPEG-TS is not supported")]
    TransportStream,
    /// A container without sound.
    #[error("there is no audio in it")]
    NoAudio,
    /// We have no decoder for it.
    #[error("its audio codec is not supported")]
    Codec(#[source] Fault),
    /// Opus with more channels than a browser's decoder takes.
    #[error("Opus with {0} channels is not supported: 1 or 2 are")]
    Channels(usize),
    /// It is damaged.
    #[error("it is damaged")]
    Damaged(#[source] Fault),
    /// Packet after packet cannot be decoded.
    #[error("{MAX_BAD_PACKETS} audio packets in a row cannot be decoded")]
    Undecodable(#[source] Fault),
    /// The file cannot be read.
    #[error("could not read it")]
    Read(#[source] io::Error),
    /// A lot of it is something else than sound.
    #[error("there is no audio in {0} bytes of it")]
    Silent(u64),
    /// What it says of itself would take too much memory.
    #[error("its header asks for {0}")]
    Huge(&'static str),
    /// It makes hours of audio of next to nothing.
    #[error("it claims more audio than its size allows")]
    Bomb,
    /// The decoder has a fault that this input brings out.
    #[error("the decoder broke on it: {0}")]
    Broke(String),
}

/// What came next.
pub enum Piece<'a> {
    /// Interleaved samples.
    Samples {
        /// Frames a second.
        rate: u32,
        /// The layout of a frame.
        layout: &'a Channels,
        /// The samples.
        samples: &'a [f32],
    },
    /// An Opus packet, as it came.
    Opus(Packet),
    /// Nothing for this long.
    Hole(Ticks),
}

/// Reads one audio track.
pub struct Decoder {
    reader: Box<dyn FormatReader>,
    track: u32,
    base: Option<TimeBase>,
    /// `None`: the track is Opus, and its packets are kept.
    codec: Option<Box<dyn AudioDecoder>>,
    name: String,
    channels: usize,
    total: Option<Ticks>,
    exact: bool,
    layout: Channels,
    samples: Vec<f32>,
    pending: Option<Packet>,
    expected: Option<u64>,
    bad: u32,
    cut: bool,
    meter: Arc<Meter>,
    earned: u64,
    credit: Credit,
}

impl Decoder {
    /// Looks for audio in `source`: reads until it knows what it is, at most about 1 MB.
    ///
    /// # Errors
    /// There is none that we can read.
    pub fn open(source: Box<dyn MediaSource>) -> Result<Self, Error> {
        guarded(|| Self::probe(source))
    }

    fn probe(source: Box<dyn MediaSource>) -> Result<Self, Error> {
        let most = if source.is_seekable() { MAX_SILENT_FILE } else { MAX_SILENT_STREAM };
        let meter = Arc::new(Meter::new(most));
        let metered = Metered::new(source, Arc::clone(&meter));
        let stream = MediaSourceStream::new(Box::new(metered), Default::default());
        let options = (Default::default(), Default::default());
        let reader = get_probe()
            .probe(&Hint::new(), stream, options.0, options.1)
            .map_err(|fault| meter.overrun().map_or(Error::Unknown(fault), Error::Silent))?;
        let track = reader.default_track(TrackType::Audio).ok_or(Error::NoAudio)?;
        let (id, base, total) = (track.id, track.time_base, length(track));
        // Bare MP3 and ADTS frames have no header, except that some MP3 files begin with one that
        // also says what the encoder added.
        let bare = [FORMAT_ID_MP3, FORMAT_ID_ADTS].contains(&reader.format_info().format);
        let exact = !bare || track.padding.is_some();
        let parameters = parameters(track)?.clone();
        let codec = make(&parameters)?;
        let inside = codec.as_ref().map_or("opus", |codec| codec.codec_info().short_name);
        Ok(Self {
            name: format!("{}/{inside}", reader.format_info().short_name),
            reader,
            track: id,
            base,
            codec,
            channels: parameters.channels.as_ref().map_or(0, Channels::count),
            total,
            exact,
            layout: Channels::None,
            samples: Vec::new(),
            pending: None,
            expected: None,
            bad: 0,
            cut: false,
            meter,
            earned: 0,
            credit: Credit::default(),
        })
    }

    /// As [`open`](Self::open), for bytes that come once and in order.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_stream(source: impl Read + Send + Sync + 'static) -> Result<Self, Error> {
        Self::open(Box::new(ReadOnlySource::new(source)))
    }

    /// Container and codec, such as `mp4/aac`. For people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is Opus, whose packets are kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.codec.is_none()
    }

    /// Channels the header promises; 0: it does not say.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// How long it is, where the container says so.
    #[must_use]
    pub fn total(&self) -> Option<Ticks> {
        self.total
    }

    /// Whether [`total`](Self::total) is said by the file and not estimated from its size.
    #[must_use]
    pub fn is_total_exact(&self) -> bool {
        self.exact
    }

    /// Whether it ended in the middle of something. Asked at the end.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Bytes read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.meter.bytes()
    }

    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// The rest cannot be read.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Error> {
        guarded(|| self.next())
    }

    fn next(&mut self) -> Result<Option<Piece<'_>>, Error> {
        if let Some(packet) = self.pending.take() {
            return Ok(Some(Piece::Opus(packet)));
        }
        while let Some(coded) = self.packet()? {
            if coded.track_id != self.track {
                continue;
            }
            if coded.data.len() > MAX_PACKET_BYTES {
                return Err(Error::Huge("a packet of megabytes"));
            }
            if self.codec.is_none() {
                if let Some(piece) = self.keep(coded) {
                    if let Piece::Hole(hole) = piece {
                        self.claim(hole)?;
                    }
                    return Ok(Some(piece));
                }
            } else if let Some(hole) = self.decode(&coded)? {
                self.claim(hole)?;
                return Ok(Some(Piece::Hole(hole)));
            } else if !self.samples.is_empty() {
                let rate = self.rate();
                let frames = self.samples.len() / self.layout.count().max(1);
                self.claim(Ticks::from_samples(frames as u64, rate.max(1)))?;
                return Ok(Some(Piece::Samples {
                    rate,
                    layout: &self.layout,
                    samples: &self.samples,
                }));
            }
        }
        Ok(None)
    }

    /// The next packet of any track; `None` at the end, be it torn or not.
    fn packet(&mut self) -> Result<Option<Coded>, Error> {
        loop {
            match self.reader.next_packet() {
                Ok(packet) => {
                    self.meter.heard();
                    return Ok(packet);
                }
                Err(_) if self.meter.overrun().is_some() => {
                    return Err(Error::Silent(self.meter.overrun().unwrap_or_default()));
                }
                Err(Fault::ResetRequired) => self.reset()?,
                Err(Fault::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.cut = true;
                    return Ok(None);
                }
                Err(Fault::IoError(error)) => return Err(Error::Read(error)),
                Err(fault) => return Err(Error::Damaged(fault)),
            }
        }
    }

    /// A chained stream began: other parameters, and perhaps another codec.
    fn reset(&mut self) -> Result<(), Error> {
        let track = self.reader.default_track(TrackType::Audio).ok_or(Error::NoAudio)?;
        (self.track, self.base) = (track.id, track.time_base);
        self.codec = make(parameters(track)?)?;
        self.expected = None;
        Ok(())
    }

    /// Decodes a packet into `samples`; what cannot be decoded leaves a hole of its length, except
    /// at the start, where decoders miss what came before.
    fn decode(&mut self, coded: &Coded) -> Result<Option<Ticks>, Error> {
        let began = !matches!(self.layout, Channels::None);
        self.samples.clear();
        let Some(codec) = &mut self.codec else { return Ok(None) };
        match codec.decode(coded) {
            Ok(buffer) => {
                buffer.copy_to_vec_interleaved(&mut self.samples);
                if self.layout != *buffer.spec().channels() {
                    self.layout = buffer.spec().channels().clone();
                }
                self.bad = 0;
                Ok(None)
            }
            Err(fault @ (Fault::DecodeError(_) | Fault::IoError(_))) => {
                self.bad += 1;
                if self.bad > MAX_BAD_PACKETS {
                    return Err(Error::Undecodable(fault));
                }
                let length = Ticks(ticks(coded.dur, self.base));
                Ok((began && length > Ticks::ZERO && length.0 < MAX_HOLE).then_some(length))
            }
            Err(fault) => Err(Error::Damaged(fault)),
        }
    }

    /// Media time that the input claims must have been paid for with bytes.
    fn claim(&mut self, length: Ticks) -> Result<(), Error> {
        let bytes = self.meter.bytes();
        self.credit.earn(bytes - self.earned);
        self.earned = bytes;
        if self.credit.spend(length) { Ok(()) } else { Err(Error::Bomb) }
    }

    fn rate(&self) -> u32 {
        self.codec.as_ref().map_or(0, |codec| codec.last_decoded().spec().rate())
    }

    /// Keeps an Opus packet; a hole in the timestamps before it comes first.
    fn keep(&mut self, coded: Coded) -> Option<Piece<'static>> {
        let length = archive::opus::duration(&coded.data).ok()?;
        let trimmed = length.0.saturating_sub(ticks(coded.trim_end, self.base));
        if trimmed == 0 {
            return None;
        }
        let at =
            u64::try_from(coded.pts.get()).ok().map(|pts| ticks(Duration::new(pts), self.base));
        let hole = match (at, self.expected) {
            (Some(at), Some(expected)) => at.saturating_sub(expected),
            _ => 0,
        };
        let packet = Packet { data: coded.data.into(), duration: Ticks(trimmed) };
        if (MIN_HOLE..=MAX_HOLE).contains(&hole) {
            self.expected = at.map(|at| at + length.0);
            self.pending = Some(packet);
            return Some(Piece::Hole(Ticks(hole)));
        }
        self.expected = match self.expected {
            Some(expected) if hole < MIN_HOLE => Some(expected + length.0),
            _ => at.map(|at| at + length.0),
        };
        Some(Piece::Opus(packet))
    }
}

fn parameters(track: &Track) -> Result<&AudioCodecParameters, Error> {
    track.codec_params.as_ref().and_then(|parameters| parameters.audio()).ok_or(Error::NoAudio)
}

fn length(track: &Track) -> Option<Ticks> {
    let length = track.duration.map(|duration| ticks(duration, track.time_base));
    length.filter(|&length| length > 0).map(Ticks)
}

/// A length in a track's own unit, in ticks.
fn ticks(length: Duration, base: Option<TimeBase>) -> u64 {
    let nanos = base.and_then(|base| base.calc_duration(length)).map_or(0, |time| time.as_nanos());
    u64::try_from(nanos * i128::from(TICKS_PER_SECOND) / 1_000_000_000).unwrap_or(0)
}

/// Whether bytes begin like an MPEG transport stream: a sync byte every 188.
pub(crate) fn is_transport_stream(prefix: &[u8]) -> bool {
    prefix.first() == Some(&0x47) && prefix.get(188) == Some(&0x47)
}

#[cfg(test)]
mod tests;
