//! One file per way of seeing.

mod interruption;
mod lifetime;
mod lineage;
mod syscall;
