//! A file as events: Ogg Opus as it came, everything else through the transcoder. Blocks.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use models::Ticks;

use super::edit::{self, Edit};
use crate::decode::{self, Decoder};
use crate::ogg::{self, Demuxer};
use crate::tap::Event;
use crate::transcode::{self, Transcoder};

/// Bytes read at a time.
const PORTION: usize = 64 * 1024;
/// Where the last page of an Ogg file begins at the earliest.
const TAIL: i64 = 2 * 65_536;
/// A file that has this much less than its header promises was cut; less is rounding.
const MISSING: Ticks = Ticks::from_millis(100);

/// Why a file cannot be read (on).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error("could not read the file")]
    Read(#[from] io::Error),
    /// Ogg that announces Opus and is broken.
    #[error(transparent)]
    Ogg(#[from] ogg::Error),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] transcode::Error),
    /// There is less than the header says.
    #[error("its header promises {0}")]
    Short(Ticks),
    /// It stops in the middle of something, or before it says that it ends.
    #[error("the file ends there in the middle")]
    Torn,
}

/// A file being read.
pub(super) struct Media {
    way: Way,
    /// Container and codec.
    pub(super) name: String,
    /// Channels to record.
    pub(super) channels: u8,
    /// Its length, where it says so.
    pub(super) total: Option<Ticks>,
    done: Ticks,
}

enum Way {
    Opus { file: File, demuxer: Box<Demuxer>, ready: Vec<Event>, ended: bool },
    Other { transcoder: Box<Transcoder>, ready: Option<Vec<Event>> },
}

impl Media {
    /// Finds out what a file is.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path)?;
        let mut prefix = Vec::new();
        file.by_ref().take(ogg::SNIFF_BYTES as u64).read_to_end(&mut prefix)?;
        if decode::is_transport_stream(&prefix) {
            return Err(transcode::Error::from(decode::Error::TransportStream).into());
        }
        if ogg::is_opus(&prefix) {
            let total = last_granule(&mut file)?;
            file.rewind()?;
            return Self::opus(file, total);
        }
        let edit = edit::of(&mut file);
        file.rewind()?;
        Self::other(file, edit).or_else(|error| {
            // Some readers refuse a file that is shorter than it says; as a stream they read it.
            let stream = File::open(path).ok().and_then(|file| Decoder::open_stream(file).ok());
            let media = stream.and_then(|decoder| Self::decoded(decoder, edit).ok());
            media.filter(|media| !media.is_empty()).ok_or(error)
        })
    }

    fn other(file: File, edit: Option<Edit>) -> Result<Self, Error> {
        Self::decoded(Decoder::open(Box::new(file)).map_err(transcode::Error::from)?, edit)
    }

    /// Reads on until there is audio, which some formats have to be asked for to be known.
    fn decoded(decoder: Decoder, edit: Option<Edit>) -> Result<Self, Error> {
        let channels = decoder.channels().clamp(1, 2) as u8;
        let name = decoder.name().to_owned();
        let edit = edit.filter(|_| !decoder.is_kept());
        let total = edit.and_then(|edit| edit.length).or(decoder.total());
        let mut transcoder = Box::new(Transcoder::new(decoder, channels));
        if let Some(Edit { skip, length }) = edit {
            transcoder.cut(skip, length);
        }
        let ready = transcoder.next_events()?;
        Ok(Self { name, channels, total, way: Way::Other { transcoder, ready }, done: Ticks::ZERO })
    }

    fn is_empty(&self) -> bool {
        matches!(self.way, Way::Other { ready: None, .. })
    }

    /// Reads on until the header, which has the channels.
    fn opus(mut file: File, total: Option<Ticks>) -> Result<Self, Error> {
        let mut demuxer = Box::new(Demuxer::default());
        let (mut ready, mut ended) = (Vec::new(), false);
        while demuxer.head().is_none() && !ended {
            ended = read(&mut file, &mut demuxer, &mut ready)?;
        }
        Ok(Self {
            name: "ogg/opus".into(),
            channels: demuxer.head().map_or(1, |head| head.channels),
            total,
            way: Way::Opus { file, demuxer, ready, ended },
            done: Ticks::ZERO,
        })
    }

    /// The next events; `None` at the end. All there is comes before an error.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Event>>, Error> {
        let events = match &mut self.way {
            Way::Other { transcoder, ready } => match ready.take() {
                Some(events) => Some(events),
                None => transcoder.next_events()?,
            },
            Way::Opus { file, demuxer, ready, ended } => {
                while ready.is_empty() && !*ended {
                    *ended = read(file, demuxer, ready)?;
                }
                Some(std::mem::take(ready)).filter(|events| !events.is_empty())
            }
        };
        match events {
            Some(events) => {
                self.done += transcode::length(&events);
                Ok(Some(events))
            }
            None => self.whole().map(|()| None),
        }
    }

    /// Whether the file was as long as it should be.
    fn whole(&self) -> Result<(), Error> {
        match &self.way {
            Way::Opus { demuxer, .. } => match demuxer.error() {
                Some(error) => Err(error.into()),
                None if demuxer.is_whole() => Ok(()),
                None => Err(Error::Torn),
            },
            Way::Other { transcoder, .. } => {
                let total = self.total.filter(|_| transcoder.decoder().is_total_exact());
                match total.filter(|&total| total > self.done + MISSING) {
                    Some(total) => Err(Error::Short(total)),
                    None if transcoder.decoder().is_cut() => Err(Error::Torn),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Reads a portion; true at the end.
fn read(file: &mut File, demuxer: &mut Demuxer, ready: &mut Vec<Event>) -> Result<bool, Error> {
    let mut portion = Vec::with_capacity(PORTION);
    file.by_ref().take(PORTION as u64).read_to_end(&mut portion)?;
    let ended = portion.is_empty();
    ready.extend(if ended { demuxer.end()? } else { demuxer.push(&portion)? });
    Ok(ended)
}

/// The last granule position of an Ogg file, for progress only.
fn last_granule(file: &mut File) -> io::Result<Option<Ticks>> {
    let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
    file.seek(SeekFrom::End(-TAIL.min(length)))?;
    let mut tail = Vec::new();
    file.by_ref().take(TAIL as u64).read_to_end(&mut tail)?;
    let granule = |page: &[u8]| {
        let field = page.strip_prefix(b"OggS")?.get(2..10)?;
        Some(u64::from_le_bytes(field.try_into().ok()?)).filter(|&granule| granule != u64::MAX)
    };
    Ok((0..tail.len()).rev().find_map(|at| granule(&tail[at..])).map(Ticks))
}
