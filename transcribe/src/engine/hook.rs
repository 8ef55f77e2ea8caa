//! The three callbacks that whisper.cpp calls while it decodes: one hands it the spectrum, one reads the
//! probabilities of all times at each token, one tells it to stop.
#![expect(unsafe_code, reason = "callbacks from C with user data")]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use whisper_rs::whisper_rs_sys as sys;
use whisper_rs::{FullParams, WhisperSysContext, WhisperSysState, WhisperTokenData};

use super::Marks;
use super::spectrum::Columns;

/// Times are 0.00 to 30.00 s in steps of 20 ms, the last tokens of the vocabulary.
pub(super) const TIMES: usize = 1501;

/// Times less likely than this (natural logarithm, among times) are not kept.
const LIKELY: f32 = -9.0;

/// whisper.cpp 1.8.3 ends the process when it warps less than 8 steps of audio: it must not end a
/// window within these steps (0.02 to 0.16 s).
const TOO_EARLY: std::ops::RangeInclusive<usize> = 1..=8;

/// Text less likely than the likeliest by more than this (natural logarithm) is not thought of: no
/// probability is computed for it. That is most of the vocabulary, most of the time, and all of it
/// together is less likely than one in a million.
const FAR: f32 = 25.0;

/// Most tokens in a phrase that is looked for again and again …
const LONGEST_LOOP: usize = 16;
/// … so many times in a row …
const LOOPS: usize = 5;
/// … and so many tokens in all.
const LOOP_TOKENS: usize = 24;

/// For each token the likely times, in steps of 20 ms, with the natural logarithms of their probabilities.
pub(super) type Clocks = Vec<Vec<(u32, f32)>>;

/// What a decoding is to see and to heed.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) marks: Marks,
    /// Whether only text is let through, whatever the model would say: the decoding ends only where its
    /// parameters say.
    pub(super) text_only: bool,
    pub(super) stop: &'a AtomicBool,
    /// The spectrum to hear, in place of the one that whisper.cpp has computed.
    pub(super) spectrum: Option<&'a Columns>,
}

/// What the callbacks see. Lives on the stack of [`with`] while whisper.cpp runs.
pub(super) struct Hooks<'a> {
    setting: Setting<'a>,
    clocks: Clocks,
}

/// Runs `decode`, which installs the hooks in the parameters it decodes with; gives its result and the
/// likely times.
pub(super) fn with<'a, T>(
    setting: Setting<'a>,
    decode: impl FnOnce(&mut Hooks<'a>) -> T,
) -> (T, Clocks) {
    let mut hooks = Hooks { setting, clocks: Vec::new() };
    let result = decode(&mut hooks);
    (result, hooks.clocks)
}

impl Hooks<'_> {
    /// Has whisper.cpp call these hooks. The parameters must be used within the `decode` that was
    /// handed the hooks, and only there.
    pub(super) fn install(&mut self, params: &mut FullParams<'_, '_>) {
        let stop: *const AtomicBool = self.setting.stop;
        let user_data: *mut c_void = std::ptr::from_mut(self).cast();
        // SAFETY: the callbacks match whisper.cpp's types, and the hooks outlive `decode`, in which
        // the parameters are used. whisper.cpp calls the first two from the thread that decodes, for
        // one decoder (best_of is 1); the abort callback may come from another thread and reads the
        // atomic only.
        unsafe {
            params.set_start_encoder_callback(Some(hand_over_spectrum));
            params.set_start_encoder_callback_user_data(user_data);
            params.set_filter_logits_callback(Some(read_times));
            params.set_filter_logits_callback_user_data(user_data);
            params.set_abort_callback(Some(asked_to_stop));
            params.set_abort_callback_user_data(stop.cast_mut().cast());
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

/// Bars all but the likely text.
fn forget_the_unlikely(text: &mut [f32]) {
    const LANES: usize = 16;
    // Lane by lane, so that it is compiled to instructions that do them together.
    let (groups, rest) = text.as_chunks::<LANES>();
    let mut highest = [f32::NEG_INFINITY; LANES];
    for group in groups {
        for (highest, logit) in highest.iter_mut().zip(group) {
            *highest = if *logit > *highest { *logit } else { *highest };
        }
    }
    let highest = highest.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    for logit in text {
        *logit = if *logit < highest - FAR { f32::NEG_INFINITY } else { *logit };
    }
}

/// Has the encoder hear our spectrum. `false`, which ends the decoding, where whisper.cpp refuses it.
unsafe extern "C" fn hand_over_spectrum(
    context: *mut WhisperSysContext,
    state: *mut WhisperSysState,
    user_data: *mut c_void,
) -> bool {
    // SAFETY: `user_data` is the `Hooks` that `install` handed over, still alive and not otherwise
    // used while whisper.cpp runs.
    let hooks = unsafe { &*user_data.cast::<Hooks<'_>>() };
    let Some(Columns { bands, columns, values }) = hooks.setting.spectrum else { return true };
    let length = |length: &usize| c_int::try_from(*length).unwrap_or(0);
    // SAFETY: `context` and `state` are those that decode; there are `bands` times `columns` values,
    // of which a copy is made.
    let refused = unsafe {
        sys::whisper_set_mel_with_state(
            context,
            state,
            values.as_ptr(),
            length(columns),
            length(bands),
        )
    };
    refused == 0
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
        let entries = hooks.setting.marks.time_zero() + TIMES;
        // Where there are none, whisper.cpp may hand over no address either.
        let tokens = if count == 0 { &[][..] } else { std::slice::from_raw_parts(tokens, count) };
        (hooks, tokens, std::slice::from_raw_parts_mut(logits, entries))
    };
    if hooks.setting.text_only {
        logits[hooks.setting.marks.end_of_text()..].fill(f32::NEG_INFINITY);
    }
    let times = &mut logits[hooks.setting.marks.time_zero()..];
    hooks.read(count, times);
    let text = hooks.setting.marks.end_of_text();
    let said = tokens.iter().map(|token| token.id).filter(|&id| (id as usize) < text);
    if !hooks.setting.text_only && loops(said.rev()) {
        logits.fill(f32::NEG_INFINITY);
        logits[text] = 0.0;
    }
    forget_the_unlikely(&mut logits[..text]);
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
    fn text_that_is_far_from_likely_is_barred_wherever_the_likeliest_stands() {
        for likeliest in [0, 7, 15, 16, 36] {
            let mut text = vec![-30.0; 37];
            text[20] = -24.9;
            text[likeliest] = 0.0;
            forget_the_unlikely(&mut text);
            let left: Vec<usize> = (0..37).filter(|&at| text[at] > f32::NEG_INFINITY).collect();
            let mut expected = vec![likeliest, 20];
            expected.sort_unstable();
            assert_eq!(left, expected);
        }
        // Where there is nothing, nothing happens.
        let mut none = [f32::NEG_INFINITY; 20];
        forget_the_unlikely(&mut none);
        assert_eq!(none, [f32::NEG_INFINITY; 20]);
    }

    #[test]
    fn the_same_few_tokens_again_and_again_are_a_loop() {
        let phrase = |n: usize, times: usize| (0..n * times).map(move |i| (i % n) as i32);
        assert!(loops(phrase(1, 24)) && loops(phrase(5, 5)) && loops(phrase(16, 5)));
        assert!(!loops(phrase(1, 23)) && !loops(phrase(8, 4)) && !loops(0..200));
        // What was said before the loop does not matter.
        assert!(loops(phrase(3, 8).chain(100..150)) && !loops((100..103).chain(phrase(3, 8))));
    }
}
