//! Records: what the kernel object writes into the ring buffer.
//!
//! A record is a [`Header`] and the struct of its kind. Integers are in the host's byte order.
//! There is no padding, no `bool` and no enum on the wire: a code ([`crate::code`]) is an integer that
//! the decoder matches, and any bytes are a valid value of every struct here.

#![cfg_attr(
    feature = "user",
    expect(unnameable_types, reason = "zerocopy's derive makes such types")
)]

use crate::code::Kind;
#[cfg(doc)]
use crate::code::{AddressSource, Settlement, SocketType, Transport, Via};

/// Name of the ring buffer map that carries the records.
pub const RECORDS_MAP: &str = "RECORDS";

/// Version of the layouts in this file; a record of another version is not decoded.
pub const VERSION: u16 = 4;

/// Largest address that `connect(2)` accepts, in bytes: `sizeof(struct sockaddr_storage)`
/// (`_K_SS_MAXSIZE` in the kernel's `include/uapi/linux/socket.h`).
pub const ADDRESS_MAX: usize = 128;

/// Size of a task name with its NUL, in bytes (`TASK_COMM_LEN` in the kernel).
pub const COMM_LEN: usize = 16;

/// [`Call::known`]: the entry of the call was seen, so [`Call::entered_ns`] and
/// [`Connect::duration_ns`] are true.
pub const KNOWN_ENTRY: u8 = 1 << 0;
/// [`Call::known`]: [`Call::fd`] and [`Call::addrlen`] are true.
pub const KNOWN_ARGUMENTS: u8 = KNOWN_FD | KNOWN_ADDRLEN;
/// [`Call::known`]: [`Call::fd`] is true.
pub const KNOWN_FD: u8 = 1 << 1;
/// [`Call::known`]: [`Call::addrlen`] is true.
pub const KNOWN_ADDRLEN: u8 = 1 << 2;

/// Declares structs whose bytes cross the boundary.
macro_rules! wire {
    ($($(#[$attribute:meta])* pub struct $name:ident $fields:tt)*) => {$(
        $(#[$attribute])*
        #[cfg_attr(
            feature = "user",
            derive(
                zerocopy::FromBytes,
                zerocopy::IntoBytes,
                zerocopy::KnownLayout,
                zerocopy::Immutable
            )
        )]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name $fields
    )*};
}

wire! {
    /// First bytes of every record.
    pub struct Header {
        /// Which struct this is: a [`Kind`].
        pub kind: u16,
        /// [`VERSION`] of the layout.
        pub version: u16,
        /// Length of the whole record, this header included, in bytes.
        pub length: u32,
    }

    /// A connect call: who made it, and with which arguments. The same in every record.
    pub struct Call {
        /// When the call was entered, `CLOCK_MONOTONIC` in ns; without [`KNOWN_ENTRY`], when its attempt
        /// began, or else when it returned.
        pub entered_ns: u64,
        /// cgroup v2 id of the calling task (`bpf_get_current_cgroup_id`).
        pub cgroup_id: u64,
        /// Process id (the kernel's tgid), in the initial pid namespace.
        pub pid: u32,
        /// Thread id (the kernel's pid), in the initial pid namespace.
        pub tid: u32,
        /// Real user id, in the initial user namespace.
        pub uid: u32,
        /// First argument of the call.
        pub fd: i32,
        /// Third argument of the call, as passed.
        pub addrlen: i32,
        /// How many bytes of [`Self::address`] are the caller's: 0 to [`ADDRESS_MAX`].
        pub address_len: u8,
        /// Whose copy of the address was read, and when: an [`AddressSource`].
        pub address_source: u8,
        /// How the call was made: a [`Via`].
        pub via: u8,
        /// Which fields could be learned: `KNOWN_*`, or-ed.
        pub known: u8,
        /// Task name when the call was entered, ended by a NUL.
        pub comm: [u8; COMM_LEN],
        /// The address passed; bytes from [`Self::address_len`] on mean nothing.
        pub address: [u8; ADDRESS_MAX],
    }

    /// Both ends of an internet socket, as the kernel has them.
    ///
    /// Source: `struct sock_common` and `struct inet_sock` (`include/net/sock.h`,
    /// `include/net/inet_sock.h`), or tracepoint `sock:inet_sock_set_state`.
    pub struct Endpoints {
        /// Family of the socket: `AF_INET` (2) or `AF_INET6` (10); 0 where nothing is known.
        pub family: u16,
        /// Local port, in host byte order; 0 if none is bound.
        pub local_port: u16,
        /// Peer's port, in host byte order.
        pub peer_port: u16,
        /// Always 0.
        pub reserved: u16,
        /// Local address, in network byte order: 4 bytes of IPv4, or 16 of IPv6.
        pub local_address: [u8; 16],
        /// The peer's, which may not be the one that was passed.
        pub peer_address: [u8; 16],
    }

    /// One connect call of the application that is over, however often the kernel restarted it.
    ///
    /// Source: tracepoints `syscalls:sys_enter_connect` and `syscalls:sys_exit_connect`; for a call that a
    /// signal interrupted, also `signal:signal_deliver`, `syscalls:sys_enter_rt_sigreturn` and
    /// `sched:sched_process_exit`; for TCP, also `sock:inet_sock_set_state`.
    pub struct Connect {
        /// Kind [`Kind::Connect`].
        pub header: Header,
        /// The call.
        pub call: Call,
        /// Time from the first entry to the last return, in ns; 0 without [`KNOWN_ENTRY`].
        pub duration_ns: u64,
        /// What the application got: 0, or a negated errno.
        pub ret: i64,
        /// Time from the first segment's SYN to the established connection, in ns; 0 where the call did
        /// not establish one.
        pub handshake_ns: u64,
        /// [`Call::entered_ns`] of the call that began the attempt that this call began, or asks for;
        /// 0 where there is none.
        pub attempt_entered_ns: u64,
        /// [`Call::tid`] of the call that began the attempt.
        pub attempt_tid: u32,
        /// How often the kernel restarted the call after a signal.
        pub restarts: u32,
        /// 1: the call never returned to the application; [`Self::ret`] is what the kernel would have
        /// looked at next. Otherwise 0.
        pub killed: u8,
        /// What the socket is: a [`Transport`].
        pub transport: u8,
        /// 1: the attempt goes on, and an [`Outcome`] will follow. Otherwise 0.
        pub unsettled: u8,
        /// What kind of socket it is: a [`SocketType`].
        pub socket_type: u8,
        /// Always 0.
        pub reserved: [u8; 4],
        /// Both ends of the socket.
        pub endpoints: Endpoints,
    }

    /// What became of an attempt that its connect call left unsettled.
    ///
    /// Source: tracepoint `sock:inet_sock_set_state`, and `sk_err` of the socket.
    pub struct Outcome {
        /// Kind [`Kind::Outcome`].
        pub header: Header,
        /// The call that began the attempt.
        pub call: Call,
        /// When the attempt was settled, `CLOCK_MONOTONIC` in ns.
        pub settled_ns: u64,
        /// What that call returned: 0, or a negated errno.
        pub ret: i64,
        /// Why it failed; 0 where that is not known, or it did not fail.
        pub errno: u32,
        /// What became of it: a [`Settlement`] that ends it.
        pub outcome: u8,
        /// What the socket is: a [`Transport`].
        pub transport: u8,
        /// Always 0.
        pub reserved: [u8; 2],
        /// Both ends of the socket when it was settled.
        pub endpoints: Endpoints,
    }
}

impl Header {
    /// Of a record of this kind that is one `T`.
    #[must_use]
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        clippy::cast_possible_truncation,
        reason = "a call between BPF functions costs; no record is longer than a page"
    )]
    pub const fn of<T>(kind: Kind) -> Self {
        Self {
            kind: kind.number() as u16,
            version: VERSION,
            length: size_of::<T>() as u32,
        }
    }
}

impl Endpoints {
    /// Of a socket that has none, or of which nothing is known.
    pub const UNKNOWN: Self = Self {
        family: 0,
        local_port: 0,
        peer_port: 0,
        reserved: 0,
        local_address: [0; 16],
        peer_address: [0; 16],
    };
}

const _: () = assert!(size_of::<Header>() == 8);
const _: () = assert!(size_of::<Call>() == 184);
const _: () = assert!(size_of::<Endpoints>() == 40);
const _: () = assert!(size_of::<Connect>() == 280);
const _: () = assert!(align_of::<Connect>() == 8);
const _: () = assert!(size_of::<Outcome>() == 256);
const _: () = assert!(align_of::<Outcome>() == 8);
