//! Icecast sources: ffmpeg, Liquidsoap, BUTT, OBS and whatever else can send to an Icecast server.
//!
//! ```text
//! socket ─► head (who, what, where) ─► answer
//!        └► body (chunks off) ─┬─► Ogg Opus: demuxed, kept as it came ─────────────► Feed
//!                              └► anything else: a thread that decodes and encodes ─► Feed
//! ```
//!
//! The tap reads its own sockets: the body that most sources send has neither a length nor chunks,
//! which HTTP servers take for an empty one. The mount is the room's slug, the password its source
//! key; the user name does not matter.
//!
//! | Answer | When |
//! |---|---|
//! | 100, then 200 | the source waits for `100 Continue`; 200 alone where it does not |
//! | 400, 431 | the head cannot be read; it is too long |
//! | 401 | no password, or a wrong one |
//! | 403 | the room must not be recorded; another source is sending to it; the content type |
//! | 404 | there is no such room, or it takes no Icecast source |
//! | 405 | neither `PUT` nor `SOURCE` |
//! | 408 | the head took too long |
//! | 503 | every place is taken; we are stopping, or the database does not answer |
//! | 507 | the disk is too full for a new recording |
//!
//! A refused source is answered before any of its body is read. What cannot be decoded ends its
//! connection with one line in the log; what was recorded stays. What a connection may take of us, and
//! what a body may claim, stands in [`bounds`](crate::bounds).

mod answer;
mod body;
mod head;
mod pace;
mod run;
mod source;
#[cfg(test)]
mod tests;
mod thread;

pub use body::{Bad, Body, Framing, Step};
pub use head::{Head, Login, MAX_HEAD_BYTES, Method, Parsed, Version};
pub(crate) use run::run;
