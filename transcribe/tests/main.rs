//! The crate from outside, with the demo weights: how near its words come to the truth, and what its
//! worker leaves behind.

mod accuracy;
mod support;
mod worker;
