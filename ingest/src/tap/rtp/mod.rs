//! RTP over UDP, as Janus AudioBridge's `rtp_forward` and other mixers send it: one port a room.
//!
//! ```text
//! socket ─► packet (one datagram) ─► timeline (order, place) ─► receiver (whose, when away) ─► Feed
//!                                                     G.711 only: └► g711 (decoded, encoded once)
//! ```
//!
//! [`Receiver`] is the whole protocol as a value; the driver owns the sockets. Opus packets are handed
//! on as they came. Whoever can send to the port can be the source: bind it where only the mixer
//! reaches it.

mod driver;
mod g711;
mod packet;
mod port;
mod receiver;
#[cfg(test)]
mod tests;
mod trouble;

pub(crate) use driver::run;
pub use packet::Rejected;
pub use receiver::{AWAY, Output, QUIET, Receiver, Summary};
pub use trouble::{TROUBLE_EVERY, Trouble};
