//! Anything symphonia reads to events: decoded, mixed, resampled and encoded once; Opus kept as it
//! came.

use models::{GapCause, Ticks};

use crate::decode::{self, Decoder, Piece};
use crate::encode::{self, Encoder};
use crate::mix::Mix;
use crate::resample::{self, Resampler};
use crate::tap::Event;
use symphonia::core::audio::Channels;

/// Why it stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What came in.
    #[error(transparent)]
    Decode(#[from] decode::Error),
    /// Its sampling rate.
    #[error(transparent)]
    Resample(#[from] resample::Error),
    /// What goes out.
    #[error(transparent)]
    Encode(#[from] encode::Error),
    /// Setting up for each takes longer than it lasts.
    #[error("its sampling rate or channels change all the time")]
    Fickle,
}

/// Changes of rate or channels that are followed whatever comes, and bytes that buy another one: a radio's
/// songs may all differ.
const CHANGES_FREE: u64 = 16;
const BYTES_PER_CHANGE: u64 = 16 * 1024;
/// Frames worked on at a time, so that a packet of any length takes as little memory as a short one.
const PORTION_FRAMES: usize = 16 * 1024;

/// Pulls events out of a [`Decoder`]. Blocks as its source does.
pub struct Transcoder {
    decoder: Decoder,
    path: Option<Path>,
    changes: u64,
    coder: Coder,
    failed: Option<Error>,
    ended: bool,
}

/// The way from 48 kHz to packets.
struct Coder {
    channels: u8,
    encoder: Option<Encoder>,
    /// Samples for each channel still to be left out.
    skip: u64,
    /// Samples for each channel still to be taken; `None`: all.
    left: Option<u64>,
}

/// The way of one sampling rate and layout to the encoder.
struct Path {
    rate: u32,
    layout: Channels,
    mix: Mix,
    resampler: Resampler,
}

impl Transcoder {
    /// Events of what `decoder` reads. `channels` (1 or 2) are given where it has to be encoded.
    #[must_use]
    pub fn new(decoder: Decoder, channels: u8) -> Self {
        let coder = Coder { channels, encoder: None, skip: 0, left: None };
        Self { decoder, path: None, changes: 0, coder, failed: None, ended: false }
    }

    /// Leaves out the first `skip` of what is decoded, and what is left after `length` more. Opus is
    /// kept whole.
    pub fn cut(&mut self, skip: Ticks, length: Option<Ticks>) {
        (self.coder.skip, self.coder.left) = (skip.0, length.map(|length| length.0));
    }

    /// What it reads from.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The next events; `None` at the end. All that could be decoded is handed out before an error.
    ///
    /// # Errors
    /// The rest cannot be read.
    pub fn next_events(&mut self) -> Result<Option<Vec<Event>>, Error> {
        while !self.ended {
            let mut events = Vec::new();
            match self.step(&mut events) {
                Ok(true) => {}
                Ok(false) => {
                    self.ended = true;
                    self.flush(&mut events)?;
                }
                Err(error) => {
                    self.ended = true;
                    self.failed = Some(error);
                    self.flush(&mut events)?;
                }
            }
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
        self.failed.take().map_or(Ok(None), Err)
    }

    /// Takes one piece through; false at the end.
    fn step(&mut self, events: &mut Vec<Event>) -> Result<bool, Error> {
        let changes_paid = CHANGES_FREE + self.decoder.bytes() / BYTES_PER_CHANGE;
        let Some(piece) = self.decoder.next_piece()? else { return Ok(false) };
        match piece {
            Piece::Opus(packet) => events.push(Event::Packet(packet)),
            Piece::Hole(duration) => {
                events.push(Event::Lost { duration, cause: GapCause::Broken });
            }
            Piece::Samples { rate, layout, samples } => {
                let fits = |path: &&mut Path| path.rate == rate && path.layout == *layout;
                let mut ready = Vec::new();
                let path = match self.path.as_mut().filter(fits) {
                    Some(path) => path,
                    None => {
                        self.changes += 1;
                        if self.changes > changes_paid {
                            return Err(Error::Fickle);
                        }
                        let path = Path::new(rate, layout, self.coder.channels)?;
                        if let Some(old) = self.path.take() {
                            old.resampler.finish(&mut ready)?;
                        }
                        self.path.insert(path)
                    }
                };
                for portion in samples.chunks(PORTION_FRAMES * layout.count().max(1)) {
                    path.push(portion, &mut ready)?;
                    self.coder.encode(&ready, events)?;
                    ready.clear();
                }
            }
        }
        Ok(true)
    }

    /// Brings out what resampler and encoder still hold.
    fn flush(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        let mut rest = Vec::new();
        if let Some(path) = self.path.take() {
            path.resampler.finish(&mut rest)?;
            self.coder.encode(&rest, events)?;
        }
        if let Some(encoder) = self.coder.encoder.take() {
            events.extend(encoder.finish()?.into_iter().map(Event::Packet));
        }
        Ok(())
    }
}

impl Path {
    fn new(rate: u32, layout: &Channels, channels: u8) -> Result<Self, resample::Error> {
        let resampler = Resampler::new(rate, channels)?;
        Ok(Self { rate, layout: layout.clone(), mix: Mix::new(layout, channels), resampler })
    }

    fn push(&mut self, samples: &[f32], ready: &mut Vec<f32>) -> Result<(), resample::Error> {
        let mut mixed = Vec::with_capacity(samples.len());
        self.mix.push(samples, &mut mixed);
        self.resampler.push(&mixed, ready)
    }
}

impl Coder {
    fn encode(&mut self, samples: &[f32], events: &mut Vec<Event>) -> Result<(), Error> {
        let channels = usize::from(self.channels);
        let frames = (samples.len() / channels) as u64;
        let skipped = self.skip.min(frames);
        let taken = (frames - skipped).min(self.left.unwrap_or(u64::MAX));
        self.skip -= skipped;
        self.left = self.left.map(|left| left - taken);
        let samples = &samples[skipped as usize * channels..(skipped + taken) as usize * channels];
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new(self.channels)?),
        };
        events.extend(encoder.push(samples)?.into_iter().map(Event::Packet));
        Ok(())
    }
}

/// The media time of events.
#[must_use]
pub fn length(events: &[Event]) -> Ticks {
    events.iter().map(Event::duration).sum()
}

#[cfg(test)]
mod tests;
