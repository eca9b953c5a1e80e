//! Records: what the kernel object writes into the ring buffer.
//!
//! A record is a [`Header`] and the struct of its kind. Integers are in the host's byte order.
//! There is no padding, no `bool` and no enum on the wire: a discriminant is an integer that the
//! decoder matches, and any bytes are a valid value of every struct here.

/// Name of the ring buffer map that carries the records.
pub const RECORDS_MAP: &str = "RECORDS";

/// Version of the layouts in this file; a record of another version is not decoded.
pub const VERSION: u16 = 1;

/// Largest address that `connect(2)` accepts, in bytes: `sizeof(struct sockaddr_storage)`
/// (`_K_SS_MAXSIZE` in the kernel's `include/uapi/linux/socket.h`).
pub const ADDRESS_MAX: usize = 128;

/// Size of a task name with its NUL, in bytes (`TASK_COMM_LEN` in the kernel).
pub const COMM_LEN: usize = 16;

/// [`Header::kind`] of a [`Connect`].
pub const KIND_CONNECT: u16 = 1;

/// First bytes of every record.
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
pub struct Header {
    /// Which struct this is: [`KIND_CONNECT`].
    pub kind: u16,
    /// [`VERSION`] of the layout.
    pub version: u16,
    /// Length of the whole record, this header included, in bytes.
    pub length: u32,
}

/// [`Connect::via`]: the native `connect` system call.
pub const VIA_SYSCALL: u8 = 1;

/// Transport of a socket: not known.
pub const TRANSPORT_UNKNOWN: u8 = 0;
/// Transport of a socket: TCP.
pub const TRANSPORT_TCP: u8 = 1;
/// Transport of a socket: UDP.
pub const TRANSPORT_UDP: u8 = 2;
/// Transport of a socket: `AF_UNIX`.
pub const TRANSPORT_UNIX: u8 = 3;
/// Transport of a socket: MPTCP.
pub const TRANSPORT_MPTCP: u8 = 4;
/// Transport of a socket: SCTP.
pub const TRANSPORT_SCTP: u8 = 5;

/// What became of an attempt: the connection was made.
pub const OUTCOME_ESTABLISHED: u8 = 1;
/// What became of an attempt: it failed, with an errno.
pub const OUTCOME_FAILED: u8 = 2;
/// What became of an attempt: the application gave up.
pub const OUTCOME_ABANDONED: u8 = 3;

/// [`Connect::address_source`]: the address was not read; [`Connect::address_len`] is 0.
pub const ADDRESS_NOT_READ: u8 = 0;
/// [`Connect::address_source`]: read from the caller's memory when the call was entered.
pub const ADDRESS_AT_ENTRY: u8 = 1;
/// [`Connect::address_source`]: read from the caller's memory when the call returned.
pub const ADDRESS_AT_EXIT: u8 = 2;

/// [`Connect::known`]: the entry of the call was seen, so [`Connect::entered_ns`] and
/// [`Connect::duration_ns`] are true.
pub const KNOWN_ENTRY: u8 = 1 << 0;
/// [`Connect::known`]: [`Connect::fd`] and [`Connect::addrlen`] are true.
pub const KNOWN_ARGUMENTS: u8 = 1 << 1;

/// One connect call of the application that is over, however often the kernel restarted it.
///
/// Source: tracepoints `syscalls:sys_enter_connect` and `syscalls:sys_exit_connect`; for a call that a
/// signal interrupted, also `signal:signal_deliver`, `syscalls:sys_enter_rt_sigreturn` and
/// `sched:sched_process_exit`.
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
pub struct Connect {
    /// Kind [`KIND_CONNECT`].
    pub header: Header,
    /// When the call was entered, `CLOCK_MONOTONIC` in ns; when it returned, without
    /// [`KNOWN_ENTRY`].
    pub entered_ns: u64,
    /// Time from the first entry to the last return, in ns; 0 without [`KNOWN_ENTRY`].
    pub duration_ns: u64,
    /// What the application got: 0, or a negated errno.
    pub ret: i64,
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
    /// How often the kernel restarted the call after a signal.
    pub restarts: u32,
    /// How many bytes of [`Self::address`] are the caller's: 0 to [`ADDRESS_MAX`].
    pub address_len: u8,
    /// When the address was read: `ADDRESS_*`.
    pub address_source: u8,
    /// How the call was made: `VIA_*`.
    pub via: u8,
    /// Which fields could be learned: `KNOWN_*`, or-ed.
    pub known: u8,
    /// 1: the call never returned to the application; [`Self::ret`] is what the kernel would have
    /// looked at next. Otherwise 0.
    pub killed: u8,
    /// Always 0.
    pub reserved: [u8; 3],
    /// Task name when the call was entered, ended by a NUL.
    pub comm: [u8; COMM_LEN],
    /// The address passed; bytes from [`Self::address_len`] on mean nothing.
    pub address: [u8; ADDRESS_MAX],
}

const _: () = assert!(size_of::<Header>() == 8);
const _: () = assert!(size_of::<Connect>() == 216);
const _: () = assert!(align_of::<Connect>() == 8);
