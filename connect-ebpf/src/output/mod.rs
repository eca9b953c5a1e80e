//! The ways out of the kernel: records into the ring buffer, and counters, which are exact however full it
//! is.

mod atomic;
pub(crate) mod count;
mod keyed;
pub(crate) mod loss;
pub(crate) mod ring;
mod series;
