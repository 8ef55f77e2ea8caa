//! How many windows at once, with how many threads each, a machine reads fastest: measured, because it
//! depends on the model, the cores and who else uses them.
//!
//! Threads of one window wait for each other after every step, and spin while they do: beside anything
//! else that computes they are ten times slower and more. So nothing is measured beside the work, the
//! trials begin with the most windows, and one that cannot win any more is broken off.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::engine::{Error, Model, Session};
use crate::speech::RATE;

/// A window, shorter than recordings have them so that trials end soon: so many seconds, in which so many
/// tokens are said.
const SECONDS: usize = 4;
/// See [`SECONDS`].
const TOKENS: usize = 12;

/// Windows at once that are tried first, or as many as there are threads: each takes memory of its own.
const FIRST: usize = 8;

/// A model that takes longer than this for one second is not tried: the time is better spent on work.
const SLOW: Duration = Duration::from_millis(500);
/// Windows at once where that is so, if there are threads for them: a few, because each of a large
/// model takes much memory.
const UNTRIED: usize = 2;

/// How much faster more windows at once have to be: each takes memory of its own.
const WORTH: f64 = 1.05;

/// One way of sharing the threads, tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Windows at once.
    pub windows: usize,
    /// Threads for each.
    pub threads: usize,
    /// Seconds of audio a second.
    pub speed: f64,
}

/// The fastest way of sharing the threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Windows at once.
    pub windows: usize,
    /// Threads for each.
    pub threads: usize,
    /// What was tried.
    pub trials: Vec<Trial>,
}

impl Tuning {
    /// So many windows share the threads.
    fn of(windows: usize, threads: usize, trials: Vec<Trial>) -> Self {
        let windows = windows.min(threads).max(1);
        Self { windows, threads: (threads / windows).max(1), trials }
    }

    /// What is best where nothing was found out.
    #[must_use]
    pub fn untried(threads: usize) -> Self {
        Self::of(UNTRIED, threads, Vec::new())
    }
}

/// Tries several ways of reading windows at once with `threads` threads in all; `tried` is told of each
/// trial that was not broken off. Blocks for some windows' time.
///
/// # Errors
/// [`Error::Room`] where there is no memory for one window, [`Error::Decode`]. No memory for more than
/// some ends the trials of more.
pub fn tune(model: &Model, threads: usize, mut tried: impl FnMut(Trial)) -> Result<Tuning, Error> {
    let mut sessions = vec![model.session()?];
    let began = Instant::now();
    sessions[0].drill(RATE as usize, 1, 1, &AtomicBool::new(false))?;
    if threads <= 1 || began.elapsed() > SLOW {
        return Ok(Tuning::untried(threads));
    }
    let mut trials: Vec<Trial> = Vec::new();
    for windows in ways(threads) {
        make_places(model, &mut sessions, windows)?;
        let Some(sessions) = sessions.get_mut(..windows) else { continue };
        let speed = trials.iter().map(|trial| trial.speed).fold(0.0, f64::max);
        if let Some(trial) = try_out(sessions, threads / windows, speed / WORTH)? {
            tried(trial);
            trials.push(trial);
        }
    }
    Ok(Tuning::of(choose(&trials).map_or(1, |best| best.windows), threads, trials))
}

/// Windows at once, in the order in which they are tried.
fn ways(threads: usize) -> Vec<usize> {
    let all = || std::iter::successors(Some(1), |windows| Some(windows * 2));
    let few: Vec<_> = all().take_while(|windows| *windows <= threads.min(FIRST)).collect();
    let many = all().skip(few.len()).take_while(|windows| *windows <= threads);
    few.iter().rev().copied().chain(many).collect()
}

/// Makes places until there are so many, or no memory for more.
fn make_places(model: &Model, sessions: &mut Vec<Session>, windows: usize) -> Result<(), Error> {
    while sessions.len() < windows {
        match model.session() {
            Ok(session) => sessions.push(session),
            Err(Error::Room(_)) => break,
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// Each session reads one window, all at once; `None` where that is slower than `at_least`.
fn try_out(
    sessions: &mut [Session],
    threads: usize,
    at_least: f64,
) -> Result<Option<Trial>, Error> {
    let (windows, stop) = (sessions.len(), &AtomicBool::new(false));
    let audio_s = (windows * SECONDS) as f64;
    let limit = Duration::try_from_secs_f64(audio_s / at_least).unwrap_or(Duration::MAX);
    let began = Instant::now();
    let read = std::thread::scope(|scope| {
        let (done, ended) = channel::<()>();
        let running: Vec<_> = sessions
            .iter_mut()
            .map(|session| {
                let done = done.clone();
                scope.spawn(move || {
                    let read = session.drill(SECONDS * RATE as usize, TOKENS, threads, stop);
                    drop(done);
                    read
                })
            })
            .collect();
        drop(done);
        // Told when nobody is left to tell anything.
        if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            stop.store(true, Ordering::Relaxed);
        }
        running.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    });
    match read {
        Ok(()) => {
            let speed = audio_s / began.elapsed().as_secs_f64();
            Ok(Some(Trial { windows, threads, speed }))
        }
        Err(Error::Stopped) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The fewest windows at once that are about as fast as the fastest.
fn choose(trials: &[Trial]) -> Option<Trial> {
    let fastest = trials.iter().map(|trial| trial.speed).fold(0.0, f64::max);
    let enough = trials.iter().copied().filter(|trial| trial.speed * WORTH >= fastest);
    enough.min_by_key(|trial| trial.windows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Weights;

    fn trial(windows: usize, speed: f64) -> Trial {
        Trial { windows, threads: 8 / windows, speed }
    }

    #[test]
    fn more_windows_have_to_be_worth_their_memory() {
        let trials = [trial(8, 9.0), trial(4, 17.2), trial(2, 17.0), trial(1, 10.0)];
        assert_eq!(choose(&trials), Some(trials[2]));
        assert_eq!(choose(&trials[..1]), Some(trials[0]));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn a_few_windows_are_tried_before_one_and_many() {
        assert_eq!(ways(1), [1]);
        assert_eq!(ways(6), [4, 2, 1]);
        assert_eq!(ways(32), [8, 4, 2, 1, 16, 32]);
        let untried = Tuning::untried(32);
        assert_eq!((untried.windows, untried.threads), (2, 16));
        assert_eq!(Tuning::untried(1).windows, 1);
    }

    #[test]
    fn a_model_is_tried_with_several_ways_of_sharing_the_threads() {
        let model = Model::open(&Weights::demo()).unwrap();
        let mut seen = Vec::new();
        let tuning = tune(&model, 2, |trial| seen.push(trial)).unwrap();
        assert_eq!(tuning.trials, seen);
        assert!(seen.iter().all(|trial| trial.speed > 0.0 && trial.windows * trial.threads == 2));
        assert_eq!(tuning.windows * tuning.threads, 2);
        // What cannot win is broken off, and the place is as good as new.
        let mut sessions = [model.session().unwrap()];
        assert_eq!(try_out(&mut sessions, 1, 1e9).unwrap(), None);
        assert!(try_out(&mut sessions, 1, 0.0).unwrap().is_some());
    }
}
