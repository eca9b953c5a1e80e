//! One file per way of seeing.

mod handshake;
mod interruption;
mod lifetime;
mod lineage;
mod syscall;
