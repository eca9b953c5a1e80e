//! The socket behind a descriptor: what it is, and its two ends.
//!
//! `task_struct.files` to `struct file` to `struct socket` to `struct sock`, at offsets that the
//! agent has read from the running kernel's BTF ([`Settings::offsets`]). A copy costs 20 to 40 ns
//! whatever its length, so what lies together is copied together: such structures stand here as they
//! are laid out from 5.10 to 7.3, and the agent makes sure that they are. Nothing is locked: each step
//! is a checked copy, and what a concurrent close(2) leaves behind fails the checks.
//!
//! [`Settings::offsets`]: connect_ebpf::settings::Settings::offsets

use core::mem::offset_of;

use aya_ebpf::helpers::bpf_get_current_task;
use connect_ebpf::{
    code::Transport,
    record::Endpoints,
    uapi::family::{AF_INET, AF_INET6, AF_SMC, AF_UNIX},
};

use super::{
    memory::{read, read_or_zero},
    setting::setting,
};

const SOCK_RAW: u16 = 3;

const IPPROTO_ICMP: u16 = 1;
pub(crate) const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
const IPPROTO_DCCP: u16 = 33;
const IPPROTO_ICMPV6: u16 = 58;
const IPPROTO_SCTP: u16 = 132;
const IPPROTO_UDPLITE: u16 = 136;
const IPPROTO_MPTCP: u16 = 262;

/// `socket.state` (`include/uapi/linux/net.h`).
const SS_UNCONNECTED: u32 = 1;

/// Offset of `skc_state` in `struct sock_common`, behind what [`SockCommon`] has of it.
const SKC_STATE: u32 = 18;
/// A socket's state (`include/net/tcp_states.h`).
const TCP_LISTEN: u8 = 10;

/// A socket that a descriptor names.
#[derive(Clone, Copy)]
pub(crate) struct Socket {
    /// Address of its `struct sock`.
    pub(crate) sk: u64,
    /// Number of its inode, if it may make attempts or associations; else 0.
    pub(crate) inode: u64,
    /// What it is.
    pub(crate) transport: Transport,
    /// What kind it is: the number of a [`SocketType`], or of none that we know.
    ///
    /// [`SocketType`]: connect_ebpf::code::SocketType
    pub(crate) kind: u8,
    /// 1: it has begun to connect already, so a call on it asks for that attempt. Otherwise 0.
    pub(crate) begun: u8,
}

/// `struct fdtable` as far as it is needed (`include/linux/fdtable.h`).
#[derive(Clone, Copy)]
#[repr(C)]
struct DescriptorTable {
    max_fds: u32,
    hole: u32,
    fd: u64,
}

/// `struct socket` as far as it is needed (`include/linux/net.h`).
#[derive(Clone, Copy)]
#[repr(C)]
struct KernelSocket {
    state: u32,
    kind: u16,
    hole: u16,
    flags: u64,
    file: u64,
    sk: u64,
}

/// `struct sock_common` as far as it is needed (`include/net/sock.h`); ports and addresses in network
/// byte order.
#[derive(Clone, Copy)]
#[repr(C)]
struct SockCommon {
    daddr: [u8; 4],
    rcv_saddr: [u8; 4],
    hash: u32,
    dport: u16,
    num: u16,
    family: u16,
}

/// `skc_v6_daddr` and `skc_v6_rcv_saddr`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Ipv6Addresses {
    daddr: [u8; 16],
    rcv_saddr: [u8; 16],
}

/// The current task's socket `fd`; `None` where the descriptor is none, or nobody wants to know.
#[inline(always)]
pub(crate) fn of(fd: i32) -> Option<Socket> {
    if setting!(sockets) == 0 {
        return None;
    }
    of_file(file(fd)?)
}

/// The `struct file` of the current task's descriptor.
#[inline(always)]
pub(crate) fn file(fd: i32) -> Option<u64> {
    // SAFETY: the helper takes no arguments.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = read_or_zero(task, setting!(offsets.task_files));
    let table: u64 = read_or_zero(files, setting!(offsets.files_fdt));
    // Of nothing, in which there is no descriptor, where anything before could not be read.
    let table: DescriptorTable = read_or_zero(table, 0);
    let fd = fd.cast_unsigned();
    if fd >= table.max_fds {
        return None;
    }
    let file: u64 = read_or_zero(table.fd.wrapping_add(u64::from(fd) * 8), 0);
    (file != 0).then_some(file)
}

/// The socket that this `struct file` is.
#[inline(always)]
pub(crate) fn of_file(file: u64) -> Option<Socket> {
    if setting!(offsets.file_private_data) == 0 {
        return None;
    }
    // Whatever else a file's private data are, they do not point back to it from there.
    let socket: u64 = read_or_zero(file, setting!(offsets.file_private_data));
    let KernelSocket {
        state,
        kind,
        file: own_file,
        sk,
        ..
    } = read_or_zero(socket, 0);
    if own_file != file || sk == 0 {
        return None;
    }
    let transport = transport(sk, kind);
    let connects = matches!(
        transport,
        Transport::Tcp | Transport::Mptcp | Transport::Smc
    );
    let inode = if connects || transport.is_datagram() {
        read_or_zero(socket, setting!(offsets.socket_inode_ino))
    } else {
        0
    };
    Some(Socket {
        sk,
        inode,
        transport,
        kind: kind as u8,
        begun: u8::from(connects && state > SS_UNCONNECTED),
    })
}

#[inline(always)]
fn transport(sk: u64, kind: u16) -> Transport {
    match read_or_zero::<u16>(sk, offset_of!(SockCommon, family) as u32) {
        AF_UNIX => Transport::Unix,
        AF_SMC => Transport::Smc,
        AF_INET | AF_INET6 if kind == SOCK_RAW => Transport::Raw,
        AF_INET | AF_INET6 => match protocol(sk) {
            IPPROTO_TCP => Transport::Tcp,
            IPPROTO_UDP => Transport::Udp,
            IPPROTO_MPTCP => Transport::Mptcp,
            IPPROTO_SCTP => Transport::Sctp,
            IPPROTO_DCCP => Transport::Dccp,
            IPPROTO_UDPLITE => Transport::Udplite,
            IPPROTO_ICMP | IPPROTO_ICMPV6 => Transport::Icmp,
            _ => Transport::Other,
        },
        _ => Transport::Other,
    }
}

/// `sk_protocol`: `IPPROTO_*`.
#[inline(always)]
pub(crate) fn protocol(sk: u64) -> u16 {
    read_or_zero(sk, setting!(offsets.sock_protocol))
}

/// Whether it is a socket of TCP, or alike, that listens.
#[inline(always)]
pub(crate) fn listens(sk: u64) -> bool {
    read_or_zero::<u8>(sk, SKC_STATE) == TCP_LISTEN
}

/// `sk_err`: an errno, or 0.
#[inline(always)]
pub(crate) fn error(sk: u64) -> Option<u32> {
    read(sk, setting!(offsets.sock_err))
}

/// `sk_err_soft`: an errno that did not end the attempt, or 0: the network reported it while a system call had the
/// socket locked. Whoever reads `SO_ERROR` takes it away.
#[inline(always)]
pub(crate) fn soft_error(sk: u64) -> u32 {
    if setting!(offsets.sock_err_soft) == 0 {
        return 0;
    }
    read_or_zero(sk, setting!(offsets.sock_err_soft))
}

/// `struct sk_buff_head` as far as it is needed (`include/linux/skbuff.h`).
#[derive(Clone, Copy)]
#[repr(C)]
struct BufferQueue {
    next: u64,
    prev: u64,
    length: u32,
    lock: u32,
}

/// `struct sock_extended_err` as far as it is needed (`include/uapi/linux/errqueue.h`).
#[derive(Clone, Copy)]
#[repr(C)]
struct ExtendedError {
    errno: u32,
    origin: u8,
    hole: [u8; 3],
}

/// `SO_EE_ORIGIN_*` of what is an error: found here, or by ICMP; timestamps and the like have higher numbers.
const ORIGIN_LOCAL: u8 = 1;
const ORIGIN_ICMP6: u8 = 3;

/// What a socket's queue of errors (`IP_RECVERR`) got last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queued {
    /// It is empty.
    Nothing,
    /// Something that is no error, or of which nothing is known.
    NoError,
    /// This errno, which stands in the buffer at this address.
    Error(u32, u64),
}

/// What a socket's queue of errors got last.
#[inline(always)]
pub(crate) fn queued(sk: u64) -> Queued {
    let last = last_queued(sk);
    if last == 0 {
        return Queued::Nothing;
    }
    if setting!(offsets.sk_buff_error) == 0 {
        return Queued::NoError;
    }
    let error: ExtendedError = read_or_zero(last, setting!(offsets.sk_buff_error));
    if (ORIGIN_LOCAL..=ORIGIN_ICMP6).contains(&error.origin) {
        Queued::Error(error.errno, last)
    } else {
        Queued::NoError
    }
}

/// Address of the buffer that a socket's queue of errors got last; 0 where it is empty.
#[inline(always)]
pub(crate) fn last_queued(sk: u64) -> u64 {
    let queue: BufferQueue = read_or_zero(sk, setting!(offsets.sock_error_queue));
    if queue.length == 0 { 0 } else { queue.prev }
}

/// Number of the inode of the socket that this `struct sock` belongs to; 0 where it is closed.
#[inline(always)]
pub(crate) fn inode(sk: u64) -> u64 {
    let socket: u64 = read_or_zero(sk, setting!(offsets.sock_socket));
    if socket == 0 {
        return 0;
    }
    read_or_zero(socket, setting!(offsets.socket_inode_ino))
}

/// Whether a socket asks for what the kernel reports in the same way as errors: timestamps (`SO_TIMESTAMPING`), and
/// that it has sent what it was not to copy (`MSG_ZEROCOPY`). Of `sk_tsflags` the lower half, as its length differs
/// between kernels: in it are all flags that ask for one.
#[inline(always)]
pub(crate) fn asks_for_notifications(sk: u64) -> bool {
    read_or_zero::<u16>(sk, setting!(offsets.sock_tsflags)) != 0
        || read_or_zero::<u32>(sk, setting!(offsets.sock_zckey)) != 0
}

/// Whether it is known where a socket keeps its endpoints.
#[inline(always)]
pub(crate) fn has_endpoints() -> bool {
    setting!(offsets.inet_sport) != 0
}

/// Both ends; all 0 where it is no internet socket.
#[inline(always)]
pub(crate) fn endpoints(sk: u64) -> Endpoints {
    let mut endpoints = Endpoints::UNKNOWN;
    let _unknown = write_endpoints(sk, &mut endpoints);
    endpoints
}

/// Writes both ends, as far as there are any.
#[inline(always)]
pub(crate) fn write_endpoints(sk: u64, endpoints: &mut Endpoints) -> Option<()> {
    let common: SockCommon = read_or_zero(sk, 0);
    if common.family == AF_INET {
        endpoints.local_address = from_ipv4(common.rcv_saddr);
        endpoints.peer_address = from_ipv4(common.daddr);
    } else if common.family == AF_INET6 && setting!(offsets.sock_v6_daddr) != 0 {
        let addresses: Ipv6Addresses = read_or_zero(sk, setting!(offsets.sock_v6_daddr));
        endpoints.local_address = addresses.rcv_saddr;
        endpoints.peer_address = addresses.daddr;
    } else {
        return None;
    }
    let local_port: u16 = read_or_zero(sk, setting!(offsets.inet_sport));
    endpoints.local_port = u16::from_be(local_port);
    endpoints.peer_port = u16::from_be(common.dport);
    endpoints.family = common.family;
    Some(())
}

#[inline(always)]
pub(crate) const fn from_ipv4([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}
