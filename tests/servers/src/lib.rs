//! Real servers that tests and benchmarks start for themselves, once a process, on free ports of the
//! loopback address, in temporary folders. Each ends with the process that started it, however that
//! ends ([`Guarded`]).

mod garage;
mod guarded;
mod pair;
mod postgres;

pub use garage::{Bucket, Garage, garage};
pub use guarded::{Guarded, free_port};
pub use pair::{Pair, on_postgres, pair};
pub use postgres::{Postgres, postgres};
