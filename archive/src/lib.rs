//! A recording at rest: Opus packets in CMAF chunks, where they lie, and how they are heard again.
//!
//! [`opus`] reads what an Opus packet says of itself; [`cmaf`] writes and reads fragments and cuts a
//! torn tail; [`key`] names objects and [`store`] keeps them; [`chunk`] opens one and checks it
//! against its row; [`mod@concat`] serves all of them as one file; [`pcm`] and [`wav`] decode;
//! [`receipt`] says what was kept, [`verify`] whether it still is, [`repair`] what can be done.
//!
//! Invariants: the bytes of an Opus packet are never changed; an object, once published, never
//! changes either, and a second write of other bytes under its name is an error; everything read
//! back is checked (sizes, offsets, continuity, hash) and is treated as hostile, so that no stored
//! byte can make this crate panic or allocate more than the input's own size; media time is exact
//! to the 48 kHz tick.
//!
//! Deliberately unknown here: where packets come from, the database, words, and HTTP.

pub mod opus;

pub mod cmaf;

pub mod key;
pub mod store;

pub mod chunk;
pub mod concat;

pub mod receipt;
pub mod repair;
pub mod verify;

pub mod pcm;
pub mod wav;

#[cfg(test)]
mod tests;

pub use key::Key;
pub use opus::Packet;
pub use store::Store;
