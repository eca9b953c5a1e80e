//! Counts connects by the labels that somebody asked for: a bounded number of series, and what goes beyond.

use core::{
    cell::{Cell, UnsafeCell},
    mem::offset_of,
};

use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str},
    macros::map,
    maps::{PerCpuArray, PerCpuHashMap},
};
use connect_ebpf::{
    counter::{ERRNO_NONE, errno_code},
    record::{Call, Connect},
    series::{
        LABEL_CGROUP, LABEL_PEER_ADDRESS, LABEL_PEER_PORT, LABEL_PROCESS, SERIES_ADDRESS_MAX,
        Series,
    },
    uapi::family::{AF_INET, AF_INET6, AF_UNIX, AF_VSOCK},
};

use super::{atomic::increment_in, keyed};
use crate::fact::{address, setting::counting, words};

// The agent makes these maps as large as they must be.

/// Connects by the labels that were asked for.
#[map]
static SERIES: PerCpuHashMap<Series, u64> = PerCpuHashMap::with_max_entries(1, 0);

/// Connects whose series found no room.
#[map]
static SERIES_OVERFLOW: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Where a [`Series`] is put together: it is too large for the stack.
#[map]
static SERIES_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// A key that is put together. Cells, as a program may be preempted for another that looks here too.
#[repr(C)]
struct Scratch {
    /// Not 0: a program is putting a key together here.
    taken: Cell<u64>,
    series: UnsafeCell<Series>,
}

// SAFETY: it stands only in a map, where each CPU has its own.
unsafe impl Sync for Scratch {}

/// Counts a call under its labels, or as overflow.
#[inline(never)]
pub(super) fn count(connect: &Connect) {
    let Some(scratch) = SERIES_SCRATCH.get_ptr(0) else {
        return;
    };
    // SAFETY: the pointer is the map's own and this CPU's.
    let scratch = unsafe { &*scratch };
    if scratch.taken.replace(1) != 0 {
        increment_in(&SERIES_OVERFLOW, 0);
        return;
    }
    // SAFETY: nobody else on this CPU has taken it.
    count_under_labels(connect, unsafe { &mut *scratch.series.get() });
    scratch.taken.set(0);
}

#[inline(always)]
fn count_under_labels(connect: &Connect, series: &mut Series) {
    let Connect {
        call,
        ret,
        transport,
        ..
    } = connect;
    let labels = counting!(labels);
    // SAFETY: an element of a map, which begins at a multiple of eight, and of integers only.
    unsafe { words::zero(&raw mut *series) }
    series.family = address::class(call);
    series.transport = *transport;
    series.errno = if *ret < 0 {
        errno_code(ret.unsigned_abs())
    } else {
        ERRNO_NONE
    };
    if labels & LABEL_PROCESS != 0 {
        // SAFETY: both lie at multiples of eight.
        unsafe { words::copy(&raw mut series.comm, &raw const call.comm) }
    }
    if labels & LABEL_CGROUP != 0 {
        series.cgroup_id = call.cgroup_id;
    }
    if labels & (LABEL_PEER_ADDRESS | LABEL_PEER_PORT) != 0 || counting!(own_port) != 0 {
        let parts = Parts {
            port: labels & LABEL_PEER_PORT != 0,
            address: labels & LABEL_PEER_ADDRESS != 0,
        };
        if !set_address(series, call, parts) {
            return;
        }
    }
    if !keyed::count(&SERIES, series) {
        increment_in(&SERIES_OVERFLOW, 0);
    }
}

const _: () =
    assert!(offset_of!(Series, comm).is_multiple_of(8) && offset_of!(Call, comm).is_multiple_of(8));

/// Which parts of an address are asked for.
#[derive(Clone, Copy)]
struct Parts {
    port: bool,
    address: bool,
}

/// Puts the parts that are asked for into the series, in the layout of their family; false for a call
/// to the agent itself.
#[inline(always)]
fn set_address(series: &mut Series, call: &Call, parts: Parts) -> bool {
    let length = u64::from(call.address_len);
    let passed = &call.address;
    let to = &mut series.address;
    match u16::try_from(address::family(call)).ok() {
        // struct sockaddr_in: family 2, port 2, address 4, zeros. An IPv4-mapped address becomes one.
        Some(AF_INET) if length >= 8 => {
            let address = if address::is_mapped(call) {
                [passed[20], passed[21], passed[22], passed[23]]
            } else {
                [passed[4], passed[5], passed[6], passed[7]]
            };
            if is_own_port([passed[2], passed[3]])
                && (address[0] == 127
                    || u32::from_ne_bytes(address) == 0
                    || u32::from_ne_bytes(address) == counting!(own_address))
            {
                return false;
            }
            to[..2].copy_from_slice(&AF_INET.to_ne_bytes());
            if parts.port {
                to[2..4].copy_from_slice(&passed[2..4]);
            }
            if parts.address {
                to[4..8].copy_from_slice(&address);
            }
            series.address_len = 16;
        }
        // struct sockaddr_in6: family 2, port 2, flow 4, address 16, scope 4.
        Some(AF_INET6) if length >= 24 => {
            if is_own_port([passed[2], passed[3]]) && is_own_address6(passed) {
                return false;
            }
            to[..2].copy_from_slice(&passed[..2]);
            if parts.port {
                to[2..4].copy_from_slice(&passed[2..4]);
            }
            if parts.address {
                to[8..24].copy_from_slice(&passed[8..24]);
                if length >= 28 {
                    to[24..28].copy_from_slice(&passed[24..28]);
                }
            }
            series.address_len = 28;
        }
        // struct sockaddr_vm: family 2, reserved 2, port 4, cid 4, flags and zeros 4.
        Some(AF_VSOCK) if length >= 12 => {
            to[..2].copy_from_slice(&passed[..2]);
            if parts.port {
                to[4..8].copy_from_slice(&passed[4..8]);
            }
            if parts.address {
                to[8..12].copy_from_slice(&passed[8..12]);
            }
            series.address_len = 16;
        }
        // struct sockaddr_un: family 2, path, of which nothing counts from its NUL on. An abstract
        // name begins with one.
        Some(AF_UNIX) if length >= 3 && passed[2] != 0 => {
            if parts.address {
                // As many bytes as the path can have, and one for a NUL.
                let most = (length as u32 - 1) & 127;
                let most = if most > SERIES_ADDRESS_MAX as u32 - 2 {
                    SERIES_ADDRESS_MAX as u32 - 2
                } else {
                    most
                };
                // SAFETY: `most` is at most the size of what is left of either array.
                let copied = unsafe {
                    bpf_probe_read_kernel_str(
                        to.as_mut_ptr().wrapping_add(2).cast(),
                        most,
                        passed.as_ptr().wrapping_add(2).cast(),
                    )
                };
                if copied > 0 {
                    to[..2].copy_from_slice(&passed[..2]);
                    series.address_len = copied.cast_unsigned() as u8 + 1;
                }
            }
        }
        _ if parts.address => {
            let length = if length > SERIES_ADDRESS_MAX as u64 {
                SERIES_ADDRESS_MAX as u64
            } else {
                length
            };
            // SAFETY: `length` is at most the size of either array.
            let failed = unsafe {
                bpf_probe_read_kernel(
                    to.as_mut_ptr().cast(),
                    length as u32,
                    passed.as_ptr().cast(),
                )
            };
            if failed == 0 {
                series.address_len = length as u8;
            }
        }
        _ => {}
    }
    true
}

/// Whether the agent listens on this port, which is in network byte order.
#[inline(always)]
fn is_own_port(port: [u8; 2]) -> bool {
    u32::from(u16::from_be_bytes(port)) == counting!(own_port) && counting!(own_port) != 0
}

/// Whether the address of a `sockaddr_in6` is loopback or unspecified.
#[inline(always)]
fn is_own_address6(passed: &[u8; 128]) -> bool {
    let mut others = passed[23] & 0xfe;
    for &byte in &passed[8..23] {
        others |= byte;
    }
    others == 0
}
