//! A connect call between its entry and its return.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use connect_ebpf::record::{ADDRESS_MAX, COMM_LEN};

use crate::maps::INFLIGHT;

/// What a thread's call has shown so far. One entry per thread, reused.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Call {
    /// `CLOCK_MONOTONIC` at entry, in ns; 0 while the thread is in no call.
    pub(crate) entered_ns: u64,
    /// The caller's pointer, for another try at the return.
    pub(crate) address_pointer: u64,
    /// First argument.
    pub(crate) fd: i32,
    /// Third argument.
    pub(crate) addrlen: i32,
    /// Bytes read into `address`; 0 where the read failed.
    pub(crate) address_len: u64,
    /// Task name at entry.
    pub(crate) comm: [u8; COMM_LEN],
    /// The address at entry.
    pub(crate) address: [u8; ADDRESS_MAX],
}

/// Inserted for a thread's first call; in read-only data, to keep it off the 512-byte stack.
static IDLE: Call = Call {
    entered_ns: 0,
    address_pointer: 0,
    fd: 0,
    addrlen: 0,
    address_len: 0,
    comm: [0; COMM_LEN],
    address: [0; ADDRESS_MAX],
};

/// The entry of a thread, made where it has none. The error is the kernel's, negated: -E2BIG
/// where the table is full.
#[inline(always)]
pub(crate) fn of_thread(tid: u32) -> Result<&'static mut Call, i32> {
    const MISSING: i32 = 0;
    if let Some(call) = existing(tid) {
        return Ok(call);
    }
    INFLIGHT.insert(&tid, &IDLE, 0)?;
    existing(tid).ok_or(MISSING)
}

#[inline(always)]
fn existing(tid: u32) -> Option<&'static mut Call> {
    let call = INFLIGHT.get_ptr_mut(&tid)?;
    // SAFETY: the pointer is the map's own. Only the thread itself, with preemption off, uses its
    // entry, and only the thread's own end removes it.
    unsafe { call.as_mut() }
}

/// Reads exactly `addrlen` bytes at `pointer` in the caller's memory: more could reach into an
/// unmapped page, and a read is all or nothing. Returns how many bytes were read, 0 where there is
/// nothing to read or the page is not there (never touched, or unmapped).
#[inline(always)]
pub(crate) fn read_address(address: &mut [u8; ADDRESS_MAX], pointer: u64, addrlen: i32) -> u64 {
    if addrlen <= 0 {
        return 0;
    }
    // Hidden from the optimiser, which would join both comparisons into one on another register
    // than the one that the verifier has to see bounded.
    let length = core::hint::black_box(addrlen.cast_unsigned());
    if length > ADDRESS_MAX as u32 {
        return 0;
    }
    // SAFETY: `length` is at most the size of `address`; the helper checks the user's pointer.
    let failed = unsafe {
        bpf_probe_read_user(
            address.as_mut_ptr().cast(),
            length,
            core::ptr::with_exposed_provenance(pointer as usize),
        )
    };
    if failed == 0 { u64::from(length) } else { 0 }
}
