//! Recordings to words.
//!
//! A worker ([`run`]) claims jobs and works through a recording chunk by chunk: [`pcm`] decodes,
//! [`speech`] finds where somebody speaks, [`window`] packs that into windows cut in pauses
//! ([`listen`] does both and keeps the samples), [`engine`] hears tokens ([`heard`]), [`align`] gives
//! words their place in media time, [`guard`] hides what was made up, [`coverage`] finds what was
//! left out ([`reading`] does all four for one window), and [`stitch`] joins windows into segments.
//! [`score`] compares words with the truth; [`weights`] knows models.
//!
//! Invariants: everything a job has done is committed window by window, fenced by its lease, so that
//! a killed job goes on where it was and says nothing twice; word starts never go back; nothing is
//! hidden without a reason and nothing is dropped; no more audio is in memory than about one window
//! and one chunk for each job; nothing computes on the async threads.
//!
//! Deliberately unknown here: where audio comes from, who may read the words, and HTTP.

pub mod weights;

pub mod pcm;
pub mod speech;
pub mod window;

pub mod listen;

pub mod engine;
pub mod heard;

pub mod align;
pub mod coverage;
pub mod guard;

pub mod reading;
pub mod stitch;

pub mod score;

mod squeeze;
mod worker;

pub use worker::{Config, Error, LEASE, Trial, Tuning, run, tune};
