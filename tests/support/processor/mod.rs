//! What differs between processors: system calls that are made by hand, and the registers of a thread
//! that a signal has interrupted. One file per processor, with the same items.

use std::sync::atomic::AtomicU64;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::{
    CONNECT_CODE, connect_by, connect_or_land, land, set_instruction_pointer, set_result,
    set_stack_pointer,
};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{
    CONNECT_CODE, connect_by, connect_or_land, land, set_instruction_pointer, set_result,
    set_stack_pointer,
};

/// What [`connect_or_land`] returns after [`land`], negated.
pub(crate) const LANDED: i32 = 1000;

/// Where to jump to: a stack pointer and an instruction.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Landing {
    pub(crate) stack_pointer: AtomicU64,
    pub(crate) instruction: AtomicU64,
}
