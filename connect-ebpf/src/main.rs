//! The kernel object of connect-observer.
//!
//! `probe/` holds one file per way of seeing; everything else serves it: [`filter`] decides who is
//! reported, [`call`] is what every way of calling has in common, [`inflight`] keeps a call between its
//! entry and its end, [`report`] makes a record of
//! it, [`settlement`] follows what becomes of it, [`count`] counts both, [`emit`] puts the record into
//! the ring buffer and counts what did not fit.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "helpers and contexts pack two 32-bit values into 64 bits; which half is meant is said"
)]
#![expect(
    clippy::inline_always,
    reason = "a call between BPF functions costs, and takes no more than five words"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya-ebpf's macros hand the context over by value"
)]

#[cfg_attr(bpf_target_arch = "aarch64", path = "architecture/aarch64.rs")]
#[cfg_attr(bpf_target_arch = "x86_64", path = "architecture/x86_64.rs")]
mod architecture;
mod atomic;
mod call;
mod count;
mod emit;
mod filter;
mod inflight;
mod maps;
mod memory;
mod probe;
mod registers;
mod report;
mod settlement;
mod socket;
mod task;
mod words;

/// `bpf_probe_read_kernel` and others are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
#[expect(clippy::missing_const_for_fn, reason = "a panic handler is not const")]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic, and the verifier would refuse an object in which this is reachable.
    loop {}
}
