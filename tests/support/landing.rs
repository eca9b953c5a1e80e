//! Where a system call can be left to, as `siglongjmp(3)` leaves one.

use std::sync::atomic::AtomicU64;

/// What a call returns, negated, that has been left.
pub(crate) const LANDED: i32 = 1000;

/// Where to jump to: a stack pointer and an instruction.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Landing {
    pub(crate) stack_pointer: AtomicU64,
    pub(crate) instruction: AtomicU64,
}
