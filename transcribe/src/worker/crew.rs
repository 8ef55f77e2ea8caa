//! Threads that decode: the async threads never do.
//!
//! Each member of a crew has a place of its own to decode in, over one set of weights, and takes the
//! next clip as soon as it is done with the last. It makes its place with its first clip, and a clip
//! goes to a member that has one where any is idle: memory is taken for what runs at once, not for
//! what might.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::engine::{Decoding, Error, Model, Prompt, Session};
use crate::listen::Clip;
use crate::reading::{self, Reading};

type Answer = Result<Reading, Error>;

struct Request {
    clip: Clip,
    prompt: Prompt,
    threads: usize,
    stop: Arc<AtomicBool>,
    answer: oneshot::Sender<Answer>,
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

/// Some threads that decode with one model.
pub(super) struct Crew {
    model: Model,
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Crew {
    /// Starts so many threads.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn new(model: Model, members: usize) -> io::Result<Self> {
        let mut crew = Self { model, queue: Arc::default(), threads: Vec::new() };
        for _ in 0..members.max(1) {
            let (model, queue) = (crew.model.clone(), Arc::clone(&crew.queue));
            crew.queue.lock().members += 1;
            let thread = std::thread::Builder::new().name("engine".to_owned());
            crew.threads.push(thread.spawn(move || serve(&model, &queue))?);
        }
        Ok(crew)
    }

    /// A job's handle on the crew.
    pub(super) fn sit(&self) -> Sitting {
        Sitting { model: self.model.clone(), queue: Arc::clone(&self.queue), stop: Arc::default() }
    }

    /// Whether a thread ended in a panic.
    pub(super) fn is_broken(&self) -> bool {
        self.queue.lock().broken
    }

    /// Ends the threads and waits for them. Blocks, at most for one pass of the model: a process must
    /// not end under whisper.cpp's feet.
    pub(super) fn close(self) {
        self.queue.lock().closed = true;
        self.queue.news.notify_all();
        for thread in self.threads {
            // One that ended in a panic has been reported.
            let _ = thread.join();
        }
    }
}

/// A job at work with a crew. When it is dropped, what is being read for it is broken off.
pub(super) struct Sitting {
    model: Model,
    queue: Arc<Queue>,
    stop: Arc<AtomicBool>,
}

impl Sitting {
    /// The engine's form of a room's vocabulary.
    pub(super) fn prompt(&self, vocabulary: &str) -> Prompt {
        self.model.prompt(vocabulary)
    }

    /// Reads a clip with so many threads, after those that were handed in before it. May be asked for
    /// several clips at once.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) async fn read(
        &self,
        clip: Clip,
        prompt: Prompt,
        threads: usize,
    ) -> Result<Reading, Refusal> {
        let (answer, answered) = oneshot::channel();
        let request = Request { clip, prompt, threads, stop: Arc::clone(&self.stop), answer };
        self.queue.lock().waiting.push_back(request);
        self.queue.news.notify_all();
        Ok(answered.await.map_err(|_| Refusal::Gone)??)
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Clips that wait, and who waits for clips.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Request>,
    members: usize,
    /// Members that have a place to decode in and nothing to do.
    idle: usize,
    closed: bool,
    broken: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a clip for a member that has a place to decode in, or would have to make one; `None`
    /// when there are to be no more.
    fn next(&self, placed: bool) -> Option<Request> {
        let mut state = self.lock();
        state.idle += usize::from(placed);
        loop {
            let enough = if placed { 1 } else { state.idle + 1 };
            if state.closed || state.waiting.len() >= enough {
                state.idle -= usize::from(placed);
                return if state.closed { None } else { state.waiting.pop_front() };
            }
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Leaves the crew because there is no memory for one more, and a clip to the others; gives it
    /// back where there are none.
    fn resign(&self, request: Request) -> Option<Request> {
        let mut state = self.lock();
        if state.members <= 1 {
            return Some(request);
        }
        state.members -= 1;
        state.waiting.push_front(request);
        self.news.notify_all();
        None
    }
}

/// Notes a panic.
struct Watch<'a>(&'a Queue);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().broken = true;
        }
    }
}

fn serve(model: &Model, queue: &Queue) {
    let _watch = Watch(queue);
    let mut place: Option<Session> = None;
    while let Some(mut request) = queue.next(place.is_some()) {
        // Nobody waits any more for what an ended job had asked.
        if request.answer.is_closed() {
            continue;
        }
        if place.is_none() {
            match model.session() {
                Ok(session) => place = Some(session),
                Err(error) => {
                    let Some(last) = queue.resign(request) else {
                        let error: &dyn std::error::Error = &error;
                        let what = "no memory for one more window at once; going on with fewer";
                        return tracing::warn!(error, "{what}");
                    };
                    match on_processor(model, &error) {
                        Some(session) => (place, request) = (Some(session), last),
                        None => {
                            drop(last.answer.send(Err(error)));
                            continue;
                        }
                    }
                }
            }
        }
        let Some(session) = &mut place else { continue };
        let Request { clip, prompt, threads, stop, answer } = request;
        let mut decoding = Decoding { threads, temperature: 0.0, prompt };
        let words = reading::read(&clip, |samples, temperature| {
            decoding.temperature = temperature;
            session.hear(samples, &decoding, &stop)
        });
        drop(answer.send(words));
    }
}

/// A place to decode in on the processor, where a graphics card has memory for none.
fn on_processor(model: &Model, error: &Error) -> Option<Session> {
    model.gpu()?;
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, "no memory for a window on the graphics card; using the processor");
    let session = model.on_processor().and_then(|model| model.session());
    session
        .inspect_err(|error| {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, "nor is there any on the processor");
        })
        .ok()
}
