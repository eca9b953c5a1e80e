//! Series: connects counted by the labels that somebody asked for.

use crate::record::{ADDRESS_MAX, COMM_LEN};

/// [`crate::counter::Counting::labels`]: by the name of the task.
pub const LABEL_PROCESS: u32 = 1 << 0;
/// [`crate::counter::Counting::labels`]: by cgroup v2 id.
pub const LABEL_CGROUP: u32 = 1 << 1;
/// [`crate::counter::Counting::labels`]: by the port of the address passed.
pub const LABEL_PEER_PORT: u32 = 1 << 2;
/// [`crate::counter::Counting::labels`]: by the address passed, without its port.
pub const LABEL_PEER_ADDRESS: u32 = 1 << 3;

/// Name of the per-CPU hash from [`Series`] to `u64`.
pub const SERIES_MAP: &str = "SERIES";
/// Name of the per-CPU array whose one element counts the connects whose [`Series`] found no room.
pub const SERIES_OVERFLOW_MAP: &str = "SERIES_OVERFLOW";

/// Bytes of an address that tell one series from another: `sizeof(struct sockaddr_un)`, rounded up.
pub const SERIES_ADDRESS_MAX: usize = 112;

/// Connects with the same labels. What was not asked for is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Series {
    /// cgroup v2 id.
    pub cgroup_id: u64,
    /// Task name when the call was entered, ended by a NUL.
    pub comm: [u8; COMM_LEN],
    /// [`crate::family::class_of`] of the address; an IPv4-mapped one is IPv4.
    pub family: u8,
    /// [`crate::counter::errno_code`].
    pub errno: u8,
    /// Number of a [`crate::code::Transport`].
    pub transport: u8,
    /// How many bytes of [`Self::address`] are the caller's.
    pub address_len: u8,
    /// Always 0.
    pub reserved: [u8; 4],
    /// The address passed, with zeros for the parts that were not asked for; of an IPv4-mapped one, the IPv4 address
    /// as a `sockaddr_in`.
    pub address: [u8; SERIES_ADDRESS_MAX],
}

const _: () = assert!(size_of::<Series>() == 144);
const _: () = assert!(SERIES_ADDRESS_MAX <= ADDRESS_MAX);

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya takes a map's keys and values only from a Pod type"
)]
// SAFETY: repr(C), holds a u64 and 136 bytes, a multiple of 8, and so has no padding.
unsafe impl aya::Pod for Series {}
