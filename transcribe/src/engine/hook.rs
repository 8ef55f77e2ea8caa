//! The two callbacks that whisper.cpp calls while it decodes: one reads the probabilities of all
//! times at each token, one tells it to stop. The only unsafe code of this crate.
#![expect(unsafe_code, reason = "callbacks from C with user data")]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Marks;

use whisper_rs::{FullParams, WhisperSysContext, WhisperSysState, WhisperTokenData};

/// Times are 0.00 to 30.00 s in steps of 20 ms, the last tokens of the vocabulary.
pub(super) const TIMES: usize = 1501;

/// Times less likely than this (natural logarithm, among times) are not kept.
const LIKELY: f32 = -9.0;

/// whisper.cpp 1.8.3 ends the process when it warps less than 8 steps of audio: it must not end a
/// window within these steps (0.02 to 0.16 s).
const TOO_EARLY: std::ops::RangeInclusive<usize> = 1..=8;

/// Most tokens in a phrase that is looked for again and again …
const LONGEST_LOOP: usize = 16;
/// … so many times in a row …
const LOOPS: usize = 5;
/// … and so many tokens in all.
const LOOP_TOKENS: usize = 24;

/// What the callbacks see. Lives on the stack of [`with`] while whisper.cpp runs.
pub(super) struct Hooks<'a> {
    marks: Marks,
    /// Whether only text is let through, whatever the model would say.
    text_only: bool,
    stop: &'a AtomicBool,
    clocks: Vec<Vec<(u32, f32)>>,
}

/// Runs `decode`, which installs the hooks in the parameters it decodes with; gives its result and, for
/// each token, the likely times with the natural logarithms of their probabilities. With `text_only` the
/// decoding ends only where its parameters say.
pub(super) fn with<T>(
    marks: Marks,
    text_only: bool,
    stop: &AtomicBool,
    decode: impl FnOnce(&mut Hooks<'_>) -> T,
) -> (T, Vec<Vec<(u32, f32)>>) {
    let mut hooks = Hooks { marks, text_only, stop, clocks: Vec::new() };
    let result = decode(&mut hooks);
    (result, hooks.clocks)
}

impl Hooks<'_> {
    /// Has whisper.cpp call these hooks. The parameters must be used within the `decode` that was
    /// handed the hooks, and only there.
    pub(super) fn install(&mut self, params: &mut FullParams<'_, '_>) {
        let user_data: *mut c_void = std::ptr::from_mut(self).cast();
        // SAFETY: the callbacks match whisper.cpp's types, and the hooks outlive `decode`, in which
        // the parameters are used. whisper.cpp calls the logits filter from one thread at a time
        // for one decoder (best_of is 1); the abort callback may come from another thread and reads
        // the atomic only.
        unsafe {
            params.set_filter_logits_callback(Some(read_times));
            params.set_filter_logits_callback_user_data(user_data);
            params.set_abort_callback(Some(asked_to_stop));
            params.set_abort_callback_user_data(std::ptr::from_ref(self.stop).cast_mut().cast());
        }
    }

    /// Notes the times among `logits` for token `index`, and bars those that whisper.cpp must not
    /// choose.
    fn read(&mut self, index: usize, logits: &mut [f32]) {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = logits.iter().map(|logit| (logit - highest).exp()).sum();
        let normal = highest + sum.ln();
        let likely = logits.iter().map(|logit| logit - normal).enumerate();
        let clock = likely.filter(|(_, p)| *p > LIKELY).map(|(step, p)| (step as u32, p)).collect();
        // A decoding that begins again overwrites the one before.
        self.clocks.truncate(index);
        self.clocks.push(clock);
        logits[TOO_EARLY].fill(f32::NEG_INFINITY);
    }
}

unsafe extern "C" fn read_times(
    _: *mut WhisperSysContext,
    _: *mut WhisperSysState,
    tokens: *const WhisperTokenData,
    count: c_int,
    logits: *mut f32,
    user_data: *mut c_void,
) {
    // SAFETY: `user_data` is the `Hooks` that `install` handed over, still alive and not otherwise
    // used while whisper.cpp runs; `tokens` has `count` entries; `logits` has one entry for each token
    // of the vocabulary, whose last `TIMES` are the times (whisper.cpp's `token_beg` + 0 ..= 1500),
    // which `Model::open` made sure of.
    let count = usize::try_from(count).unwrap_or(0);
    let (hooks, tokens, logits) = unsafe {
        let hooks = &mut *user_data.cast::<Hooks<'_>>();
        let entries = hooks.marks.time_zero() + TIMES;
        // Where there are none, whisper.cpp may hand over no address either.
        let tokens = if count == 0 { &[][..] } else { std::slice::from_raw_parts(tokens, count) };
        (hooks, tokens, std::slice::from_raw_parts_mut(logits, entries))
    };
    if hooks.text_only {
        logits[hooks.marks.end_of_text()..].fill(f32::NEG_INFINITY);
    }
    let times = &mut logits[hooks.marks.time_zero()..];
    hooks.read(count, times);
    let text = hooks.marks.end_of_text();
    let said = tokens.iter().map(|token| token.id).filter(|&id| (id as usize) < text);
    if !hooks.text_only && loops(said.rev()) {
        logits.fill(f32::NEG_INFINITY);
        logits[text] = 0.0;
    }
}

/// Whether the last tokens (the last one first) are the same few again and again: the decoder would
/// go on like that to its end, which takes long, and what it says is hidden anyway.
fn loops(last: impl Iterator<Item = i32>) -> bool {
    let last: Vec<i32> = last.take(LONGEST_LOOP * LOOPS).collect();
    (1..=LONGEST_LOOP).any(|period| {
        let length = (period * LOOPS).max(LOOP_TOKENS);
        let tail = last.get(..length);
        tail.is_some_and(|tail| (period..length).all(|at| tail[at] == tail[at - period]))
    })
}

unsafe extern "C" fn asked_to_stop(user_data: *mut c_void) -> bool {
    // SAFETY: `user_data` is the atomic that `install` handed over; it outlives the decoding.
    unsafe { &*user_data.cast::<AtomicBool>() }.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_few_tokens_again_and_again_are_a_loop() {
        let phrase = |n: usize, times: usize| (0..n * times).map(move |i| (i % n) as i32);
        assert!(loops(phrase(1, 24)) && loops(phrase(5, 5)) && loops(phrase(16, 5)));
        assert!(!loops(phrase(1, 23)) && !loops(phrase(8, 4)) && !loops(0..200));
        // What was said before the loop does not matter.
        assert!(loops(phrase(3, 8).chain(100..150)) && !loops((100..103).chain(phrase(3, 8))));
    }
}
