//! The thread on which a source's audio is decoded and encoded: both take time that the runtime's
//! threads must not wait, and the decoder reads when it likes.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use crate::decode::Decoder;
use crate::tap::Event;
use crate::transcode::{self, Transcoder};

/// Portions of the body (of up to 16 KiB) that may wait for the thread: a second or more of any
/// compressed audio. What waits here is lost with the process.
const BYTES_AHEAD: usize = 4;
/// Batches of events (of one coded frame each) that may wait for the room.
const EVENTS_AHEAD: usize = 16;

/// What the thread says.
pub(super) enum Outcome {
    /// It knows what it reads.
    Opened {
        /// Container and codec.
        name: String,
        /// Channels it encodes.
        channels: u8,
    },
    /// Audio.
    Events(Vec<Event>),
    /// The last thing it says. All that could be decoded came before.
    Ended(Result<(), transcode::Error>),
}

/// Starts a thread that reads bytes from the sender returned until that is dropped. It ends when
/// the receiver is dropped, too.
pub(super) fn start() -> io::Result<(mpsc::Sender<Bytes>, mpsc::Receiver<Outcome>)> {
    let (bytes, input) = mpsc::channel(BYTES_AHEAD);
    let (output, outcomes) = mpsc::channel(EVENTS_AHEAD);
    std::thread::Builder::new().name("decode".into()).spawn(move || {
        let ended = run(input, &output);
        // Nobody may be there to hear it.
        let _ = output.blocking_send(Outcome::Ended(ended));
    })?;
    Ok((bytes, outcomes))
}

fn run(
    input: mpsc::Receiver<Bytes>,
    output: &mpsc::Sender<Outcome>,
) -> Result<(), transcode::Error> {
    let decoder = Decoder::open_stream(Input { input, portion: Bytes::new() })?;
    // Where the header does not say, it is fixed before the first sample: two hold everything.
    let channels = if decoder.channels() == 1 { 1 } else { 2 };
    let opened = Outcome::Opened { name: decoder.name().to_owned(), channels };
    let mut transcoder = Transcoder::new(decoder, channels);
    let mut heard = output.blocking_send(opened).is_ok();
    while heard && let Some(events) = transcoder.next_events()? {
        heard = output.blocking_send(Outcome::Events(events)).is_ok();
    }
    Ok(())
}

/// The body as a blocking reader.
struct Input {
    input: mpsc::Receiver<Bytes>,
    portion: Bytes,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.portion.is_empty() {
            match self.input.blocking_recv() {
                Some(portion) => self.portion = portion,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.portion.len());
        self.portion.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
