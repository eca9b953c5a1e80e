//! Kernel functions that programs call (kfuncs), which not every kernel has: how a call is marked in the
//! kernel object, so that the agent can make it one of the running kernel's, or nothing.
//!
//! The mark is a call of a helper that no kernel has.

/// `bpf_preempt_disable` (`kernel/bpf/helpers.c`, from kernel 6.10).
pub const PREEMPT_DISABLE: i32 = 0x6370_0001;
/// `bpf_preempt_enable`.
pub const PREEMPT_ENABLE: i32 = 0x6370_0002;
