//! The crate from outside, with the demo weights: how near its words come to the truth, and what its
//! worker leaves behind.

#[cfg(test)]
mod accuracy;
#[cfg(test)]
mod multilingual;
#[cfg(test)]
mod support;
#[cfg(test)]
mod worker;
