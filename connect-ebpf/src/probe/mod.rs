//! One file per way of seeing.

mod function;
mod handshake;
pub(crate) mod interruption;
pub(crate) mod io_uring;
mod lifetime;
mod lineage;
mod syscall;
