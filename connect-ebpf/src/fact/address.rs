//! The family of an address, as filters, counters and labels take it.
//!
//! An IPv4-mapped address of IPv6 (`::ffff:a.b.c.d`, RFC 4291) is how a program of both families, as Java's and Go's
//! are, names an IPv4 peer. What it sends is IPv4, so for all of these it is IPv4.

use core::mem::offset_of;

use connect_ebpf::{
    family::{CLASS_UNKNOWN, class_of},
    record::{ADDRESS_MAX, Call, Endpoints},
    uapi::family::{AF_INET, AF_INET6},
};

/// Bytes of a `sockaddr_in6` up to the end of its address: family 2, port 2, flow 4, address 16.
const WITH_ADDRESS: u32 = 24;

/// Bytes 8 to 11 of an IPv4-mapped address, behind eight zeros.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

/// In place of a family, where the address has too few bytes for one. A number, as an `Option` would be put together
/// of parts again, of which the verifier knows less.
pub(crate) const NO_FAMILY: u32 = u32::MAX;

/// Family of the address passed, or [`NO_FAMILY`].
#[inline(always)]
pub(crate) fn family(call: &Call) -> u32 {
    // The lower half of the second has its first four bytes, as every processor that runs this is little-endian.
    let (first, second) = (word::<1>(call), word::<2>(call) as u32);
    family_of(passed(call).into(), first, second, call.address_len.into())
}

/// Class of the family of the address passed.
#[inline(always)]
pub(crate) fn class(call: &Call) -> u8 {
    class_of_family(family(call)) as u8
}

const _: () = assert!(offset_of!(Call, address).is_multiple_of(8));

/// Eight bytes of the address passed.
#[inline(always)]
fn word<const NUMBER: usize>(call: &Call) -> u64 {
    const { assert!((NUMBER + 1) * size_of::<u64>() <= ADDRESS_MAX) };
    let words = (&raw const *call).cast::<u64>();
    let number = const { offset_of!(Call, address) / size_of::<u64>() + NUMBER };
    // SAFETY: within the address, which begins at a multiple of eight. Volatile, or the compiler would look at each
    // byte alone.
    unsafe { words.wrapping_add(number).read_volatile() }
}

/// Whether the address passed is an IPv4-mapped one.
#[inline(always)]
pub(crate) fn is_mapped(call: &Call) -> bool {
    passed(call) == AF_INET6 && family(call) == u32::from(AF_INET)
}

/// Family of a socket's peer; 0 where there is none.
#[inline(always)]
pub(crate) fn peers_family(endpoints: &Endpoints) -> u32 {
    let a = &endpoints.peer_address;
    let first = u64::from_ne_bytes([a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]]);
    let second = u32::from_ne_bytes([a[8], a[9], a[10], a[11]]);
    family_of(endpoints.family.into(), first, second, WITH_ADDRESS)
}

/// The family that was passed, if that was passed at all.
#[inline(always)]
const fn passed(call: &Call) -> u16 {
    let [low, high, ..] = call.address;
    u16::from_ne_bytes([low, high])
}

/// Class of a family, or of none.
///
/// A global function for the kernel, of numbers only, so that the verifier looks at it once per program.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn class_of_family(family: u32) -> u32 {
    match family {
        NO_FAMILY => CLASS_UNKNOWN,
        // Of 16 bits.
        family => class_of(family as u16),
    }
    .into()
}

/// Family of an address of so many bytes that was passed as one of this family, and begins with these eight bytes and
/// these four behind its port.
///
/// A global function for the kernel, of numbers only, so that the verifier looks at it once per program.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn family_of(passed: u32, first: u64, second: u32, length: u32) -> u32 {
    if length < 2 {
        NO_FAMILY
    } else if length >= WITH_ADDRESS
        && passed == u32::from(AF_INET6)
        && first == 0
        && second == MAPPED
    {
        AF_INET.into()
    } else {
        passed
    }
}
