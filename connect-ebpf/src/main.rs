//! The kernel object of connect-observer.
//!
//! `probe/` holds one file per way of seeing; everything else serves it: [`filter`] decides who is
//! reported, [`inflight`] keeps a call between its entry and its return, [`emit`] fills the record
//! in the ring buffer and counts what did not fit.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "every kernel helper is an unsafe call")]

mod emit;
mod filter;
mod inflight;
mod maps;
mod probe;
mod task;

/// bpf_probe_read_kernel and others are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic, and the verifier would refuse an object in which this is reachable.
    loop {}
}
