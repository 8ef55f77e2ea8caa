//! The two callbacks that whisper.cpp calls while it decodes: one reads the probabilities of all
//! times at each token, one tells it to stop. The only unsafe code of this crate.
#![expect(unsafe_code, reason = "callbacks from C with user data")]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use whisper_rs::{FullParams, WhisperSysContext, WhisperSysState, WhisperTokenData};

/// Times are 0.00 to 30.00 s in steps of 20 ms, the last tokens of the vocabulary.
pub(super) const TIMES: usize = 1501;

/// Times less likely than this (natural logarithm, among times) are not kept.
const LIKELY: f32 = -9.0;

/// whisper.cpp 1.8.3 ends the process when it warps less than 8 steps of audio: it must not end a
/// window within these steps (0.02 to 0.16 s).
const TOO_EARLY: std::ops::RangeInclusive<usize> = 1..=8;

/// What the callbacks see. Lives on the stack of [`with`] while whisper.cpp runs.
pub(super) struct Hooks<'a> {
    time_zero: usize,
    stop: &'a AtomicBool,
    clocks: Vec<Vec<(u32, f32)>>,
}

/// Runs `decode`, which installs the hooks in the parameters it decodes with; gives its result and,
/// for each token, the likely times with the natural logarithms of their probabilities.
pub(super) fn with<T>(
    time_zero: i32,
    stop: &AtomicBool,
    decode: impl FnOnce(&mut Hooks<'_>) -> T,
) -> (T, Vec<Vec<(u32, f32)>>) {
    let time_zero = usize::try_from(time_zero).unwrap_or(0);
    let mut hooks = Hooks { time_zero, stop, clocks: Vec::new() };
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
    _: *const WhisperTokenData,
    tokens: c_int,
    logits: *mut f32,
    user_data: *mut c_void,
) {
    // SAFETY: `user_data` is the `Hooks` that `install` handed over, still alive and not otherwise
    // used while whisper.cpp runs; `logits` has one entry for each token of the vocabulary, whose
    // last `TIMES` are the times (whisper.cpp's `token_beg` + 0 ..= 1500).
    let (hooks, times) = unsafe {
        let hooks = &mut *user_data.cast::<Hooks<'_>>();
        let times = std::slice::from_raw_parts_mut(logits.add(hooks.time_zero), TIMES);
        (hooks, times)
    };
    hooks.read(usize::try_from(tokens).unwrap_or(0), times);
}

unsafe extern "C" fn asked_to_stop(user_data: *mut c_void) -> bool {
    // SAFETY: `user_data` is the atomic that `install` handed over; it outlives the decoding.
    unsafe { &*user_data.cast::<AtomicBool>() }.load(Ordering::Relaxed)
}
