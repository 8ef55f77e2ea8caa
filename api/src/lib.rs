//! HTTP: rooms, recordings, their sound and their words, for programs and for people.
//!
//! What may be asked stands in [`routes`], one file a group; the OpenAPI document is generated from
//! the same code. Pages are files of `web/`, embedded in the binary. Pure parts stand alone: the
//! playlist ([`hls`]), byte ranges ([`range`]), entity tags ([`conditional`]), file names
//! ([`disposition`]).
//!
//! Invariants: every route of a recording asks [`models::room::Audience::admits`], and what one may
//! not hear answers like what does not exist; every error is a problem document with a stable code;
//! what failed inside is logged under the request's id and never returned; a file is streamed piece
//! by piece, never held whole.
//!
//! Deliberately unknown here: how sound arrives and how words are recognised. Changes to a live
//! recording are requests left in its row, which ingest acts on.

pub mod conditional;
pub mod disposition;
pub mod error;
pub mod hls;
pub mod problem;
pub mod range;
pub mod routes;

mod auth;
mod elsewhere;
mod extract;
mod guard;
mod headers;
mod listen;
mod readiness;
mod respond;
mod router;
mod state;

#[cfg(test)]
mod tests;

pub use listen::serve;
pub use readiness::{Probe, Pulse, health_router};
pub use router::{openapi, router};

/// What the operator decides.
#[derive(Clone, Default)]
pub struct Config {
    /// With it, changes and what is not for everyone need `Authorization: Bearer` and this token.
    /// Without it, everyone who can reach the server is the operator: bind it to loopback.
    pub operator_token: Option<String>,
    /// Host names, besides localhost, that the server answers to while it has no token; without a
    /// port.
    pub allowed_hosts: Vec<String>,
    /// How long addresses are good that send clients to the object store for sound, where it can
    /// give any; `None`: all sound goes through this server. Seven days at most.
    pub presign: Option<std::time::Duration>,
    /// Where the process stands, for `/readyz`.
    pub pulse: Pulse,
    /// What the process counts, for `/metrics`; `None`: nothing, and there is no such address.
    pub metrics: Option<Metrics>,
}

/// Says what a process counts, in Prometheus' text format.
pub type Metrics = std::sync::Arc<dyn Fn() -> String + Send + Sync>;

/// Shows whether there is a token, not the token.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("operator_token", &self.operator_token.as_ref().map(|_| "(set)"))
            .field("allowed_hosts", &self.allowed_hosts)
            .field("presign", &self.presign)
            .finish_non_exhaustive()
    }
}
