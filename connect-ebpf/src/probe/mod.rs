//! One file per way of seeing.

mod lifetime;
mod lineage;
mod syscall;
