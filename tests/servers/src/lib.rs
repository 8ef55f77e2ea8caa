//! Real servers that tests and benchmarks start for themselves, once a process, on free ports of the
//! loopback address, in temporary folders. Each ends with the process that started it, however that
//! ends ([`Guarded`]). And what tests of whole processes need besides: children that end in time
//! ([`Process`], [`output`]) and links that can be broken ([`Link`]).

mod bounded;
mod garage;
mod guarded;
mod link;
mod pair;
mod postgres;

pub use bounded::{Process, output, status};
pub use garage::{Bucket, Garage, garage};
pub use guarded::{Guarded, free_port, steady_port};
pub use link::{Fault, Link};
pub use pair::{Pair, on_postgres, pair};
pub use postgres::{Postgres, postgres};
