//! A thread that decodes: the async threads never do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::engine::{Decoding, Error, Model, Session};
use crate::listen::Clip;
use crate::reading::{self, Judged};

type Answer = Result<Vec<Judged>, Error>;

struct Request {
    clip: Clip,
    threads: usize,
    stop: Arc<AtomicBool>,
    answer: oneshot::Sender<Answer>,
}

/// A handle on the thread. It ends some time after the handle is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    requests: mpsc::Sender<Request>,
    thread: JoinHandle<()>,
}

/// Why a clip was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The engine failed.
    #[error("reading the words of a window")]
    Engine(#[from] Error),
    /// The thread ended in a panic.
    #[error("the engine's thread is gone")]
    Gone,
}

impl Seat {
    /// Starts the thread. The memory to decode in is taken with the first clip.
    pub(super) fn new(model: Model) -> io::Result<Self> {
        let (requests, queue) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || serve(&model, &queue))?;
        Ok(Self { requests, thread })
    }

    /// One job takes the seat.
    pub(super) fn sit(&self) -> Sitting<'_> {
        Sitting { seat: self, stop: Arc::default() }
    }

    /// Ends the thread and waits for it. Blocks, at most for one pass of the model: a process must
    /// not end under whisper.cpp's feet.
    pub(super) fn close(self) {
        drop(self.requests);
        // One that ended in a panic has been reported.
        let _ = self.thread.join();
    }

    /// Whether the thread ended in a panic.
    pub(super) fn is_gone(&self) -> bool {
        self.thread.is_finished()
    }
}

/// A job at a seat. When it is dropped, what is being read for it is broken off, and the seat may be
/// taken by the next at once.
#[derive(Debug)]
pub(super) struct Sitting<'a> {
    seat: &'a Seat,
    stop: Arc<AtomicBool>,
}

impl Sitting<'_> {
    /// Reads a clip with so many threads.
    pub(super) async fn read(&self, clip: Clip, threads: usize) -> Result<Vec<Judged>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let request = Request { clip, threads, stop: Arc::clone(&self.stop), answer };
        self.seat.requests.send(request).map_err(|_| Refusal::Gone)?;
        Ok(answered.await.map_err(|_| Refusal::Gone)??)
    }
}

impl Drop for Sitting<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(model: &Model, queue: &mpsc::Receiver<Request>) {
    let mut session = None;
    for Request { clip, threads, stop, answer } in queue {
        // Nobody waits any more for what an ended job had asked.
        if answer.is_closed() {
            continue;
        }
        let words = room(&mut session, model).and_then(|session| {
            reading::read(&clip, |samples, temperature| {
                session.hear(samples, Decoding { threads, temperature }, &stop)
            })
        });
        drop(answer.send(words));
    }
}

fn room<'a>(session: &'a mut Option<Session>, model: &Model) -> Result<&'a mut Session, Error> {
    match session {
        Some(session) => Ok(session),
        none => Ok(none.insert(model.session()?)),
    }
}
