//! Programs run to their end.
//!
//! A kernel may preempt one (hooks on functions wherever the kernel preempts itself at all; tracepoints from
//! 7.0), and then does not run that program for any other task that comes to it on the same CPU: what
//! that task does is not seen. So every program begins by forbidding it, where the kernel offers that
//! (6.10); what is left are the few instructions around it.

use core::arch::asm;

use connect_ebpf::kfunc::{PREEMPT_DISABLE, PREEMPT_ENABLE};

/// While it lives, the program is not preempted.
pub(crate) struct Unpreempted;

impl Unpreempted {
    /// From here on.
    #[inline(always)]
    pub(crate) fn begin() -> Self {
        call::<PREEMPT_DISABLE>();
        Self
    }
}

impl Drop for Unpreempted {
    #[inline(always)]
    fn drop(&mut self) {
        call::<PREEMPT_ENABLE>();
    }
}

#[inline(always)]
fn call<const FUNCTION: i32>() {
    // SAFETY: the agent makes it a call that takes and returns nothing, or no call at all.
    unsafe {
        asm!(
            "call {function}",
            function = const FUNCTION,
            lateout("r0") _,
            lateout("r1") _,
            lateout("r2") _,
            lateout("r3") _,
            lateout("r4") _,
            lateout("r5") _,
            options(nostack),
        );
    }
}
