//! Counts what a reader takes of its source, and stops one that takes without giving.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use symphonia::core::io::MediaSource;

/// What was read, shared between the source and whoever pulls packets out of it.
#[derive(Debug)]
pub(super) struct Meter {
    bytes: AtomicU64,
    /// What had been read when the last packet came.
    at_packet: AtomicU64,
    most: u64,
}

impl Meter {
    /// A meter that allows for `most` bytes without a packet.
    pub(super) fn new(most: u64) -> Self {
        Self { bytes: AtomicU64::new(0), at_packet: AtomicU64::new(0), most }
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// A packet came.
    pub(super) fn heard(&self) {
        self.at_packet.store(self.bytes(), Relaxed);
    }

    /// How much was read since the last packet, where that is too much.
    pub(super) fn overrun(&self) -> Option<u64> {
        let since = self.bytes() - self.at_packet.load(Relaxed);
        (since > self.most).then_some(since)
    }
}

/// A source whose reads are counted.
pub(super) struct Metered {
    source: Box<dyn MediaSource>,
    meter: Arc<Meter>,
}

impl Metered {
    pub(super) fn new(source: Box<dyn MediaSource>, meter: Arc<Meter>) -> Self {
        Self { source, meter }
    }
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.meter.overrun().is_some() {
            return Err(io::Error::other("too many bytes without a packet"));
        }
        let read = self.source.read(buffer)?;
        self.meter.bytes.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}

impl MediaSource for Metered {
    fn is_seekable(&self) -> bool {
        self.source.is_seekable()
    }

    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }
}
