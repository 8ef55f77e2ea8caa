//! How many windows at once, with how many threads each, a machine reads fastest: measured, because it
//! depends on the model, the cores and who else uses them.

use std::time::{Duration, Instant};

use crate::engine::{Error, Model, Session};
use crate::speech::RATE;

/// A window as recordings have them: so many seconds, in which so many tokens are said.
const SECONDS: usize = 8;
/// See [`SECONDS`].
const TOKENS: usize = 24;

/// Where one trial takes longer than this, no other is made: the time is better spent on work.
const TOO_LONG: Duration = Duration::from_secs(15);
/// Windows at once where that is so, if there are threads for them: a few, because each of a large
/// model takes much memory.
const UNTRIED: usize = 2;

/// How much faster one more window at once has to be: each takes memory of its own.
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

/// Tries to read 1, 2, 4, … windows at once with `threads` threads in all; `tried` is told of each
/// trial. Blocks for some windows' time.
///
/// # Errors
/// [`Error::Room`] where there is no memory for one window, [`Error::Decode`]. No memory for more than
/// some ends the trials.
pub fn tune(model: &Model, threads: usize, mut tried: impl FnMut(Trial)) -> Result<Tuning, Error> {
    let threads = threads.max(1);
    let mut sessions = vec![model.session()?];
    // The first pass makes room for the ones after it.
    sessions[0].drill(SECONDS * RATE as usize, 1, threads)?;
    let mut trials = Vec::new();
    let (mut windows, mut in_time) = (1, true);
    while windows <= threads && in_time {
        while sessions.len() < windows {
            match model.session() {
                Ok(session) => sessions.push(session),
                Err(Error::Room(_)) => break,
                Err(other) => return Err(other),
            }
        }
        if sessions.len() < windows {
            break;
        }
        let trial = try_out(&mut sessions, threads / windows)?;
        tried(trial);
        trials.push(trial);
        in_time = trial.speed * TOO_LONG.as_secs_f64() >= (windows * SECONDS) as f64;
        windows *= 2;
    }
    let Trial { windows, .. } = choose(&trials);
    let windows = if in_time { windows } else { windows.max(UNTRIED.min(threads)) };
    Ok(Tuning { windows, threads: (threads / windows).max(1), trials })
}

/// Each session reads one window, all at once.
fn try_out(sessions: &mut [Session], threads: usize) -> Result<Trial, Error> {
    let (windows, began) = (sessions.len(), Instant::now());
    std::thread::scope(|scope| {
        let drill = |session: &mut Session| session.drill(SECONDS * RATE as usize, TOKENS, threads);
        let running: Vec<_> =
            sessions.iter_mut().map(|session| scope.spawn(move || drill(session))).collect();
        running.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    let speed = (windows * SECONDS) as f64 / began.elapsed().as_secs_f64();
    Ok(Trial { windows, threads, speed })
}

/// The fewest windows at once that are about as fast as the fastest.
fn choose(trials: &[Trial]) -> Trial {
    let first = Trial { windows: 1, threads: 1, speed: 0.0 };
    trials.iter().fold(
        first,
        |best, trial| {
            if trial.speed > best.speed * WORTH { *trial } else { best }
        },
    )
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
        let trials = [trial(1, 10.0), trial(2, 17.0), trial(4, 17.2), trial(8, 9.0)];
        assert_eq!(choose(&trials), trials[1]);
        assert_eq!(choose(&trials[..1]), trials[0]);
    }

    #[test]
    fn a_model_is_tried_with_all_ways_of_sharing_the_threads() {
        let mut seen = Vec::new();
        let tuning =
            tune(&Model::open(&Weights::demo()).unwrap(), 2, |trial| seen.push(trial)).unwrap();
        assert_eq!(tuning.trials, seen);
        assert!(seen.iter().all(|trial| trial.speed > 0.0 && trial.windows * trial.threads == 2));
        assert_eq!(tuning.windows * tuning.threads, 2);
    }
}
