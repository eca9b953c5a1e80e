//! The kernel object of connect-observer.
//!
//! From the top down: `probe/` holds one file per way of seeing, whose hooks read their context and hand
//! over; `state/` is what is kept between hooks; `output/` is how it leaves the kernel; `fact/` is what is
//! read of tasks, sockets, registers and memory. Each imports only what stands below it.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "helpers and contexts pack two 32-bit values into 64 bits; each place names the half that it means"
)]
#![expect(
    clippy::inline_always,
    reason = "a call between BPF functions costs, and takes no more than five words"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya-ebpf's macros hand the context over by value"
)]

mod fact;
mod output;
mod probe;
mod state;

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
