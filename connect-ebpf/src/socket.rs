//! The socket behind a descriptor, and what it says of itself.
//!
//! `task_struct.files` to `struct file` to `struct socket` to `struct sock`, at offsets that the
//! agent has read from the running kernel's BTF ([`Settings::offsets`]). Nothing is locked: each
//! step is a checked copy, and what a concurrent close(2) leaves behind fails the checks.
//!
//! [`Settings::offsets`]: connect_ebpf::settings::Settings::offsets

use core::ptr::with_exposed_provenance;

use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel};
use connect_ebpf::record::{
    Endpoints, TRANSPORT_DCCP, TRANSPORT_ICMP, TRANSPORT_MPTCP, TRANSPORT_OTHER, TRANSPORT_RAW,
    TRANSPORT_SCTP, TRANSPORT_SMC, TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_UDPLITE, TRANSPORT_UNIX,
};

use crate::maps::setting;

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_SMC: u16 = 43;

const SOCK_RAW: u16 = 3;

const IPPROTO_ICMP: u16 = 1;
pub(crate) const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
const IPPROTO_DCCP: u16 = 33;
const IPPROTO_ICMPV6: u16 = 58;
const IPPROTO_SCTP: u16 = 132;
const IPPROTO_UDPLITE: u16 = 136;
const IPPROTO_MPTCP: u16 = 262;

/// Type bits of `i_mode`, and those of a socket (`include/uapi/linux/stat.h`).
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;

/// `socket.state` (`include/uapi/linux/net.h`).
const SS_UNCONNECTED: u32 = 1;

/// A socket that a descriptor names.
#[derive(Clone, Copy)]
pub(crate) struct Socket {
    /// Address of its `struct sock`.
    pub(crate) sk: u64,
    /// Number of its inode.
    pub(crate) inode: u64,
    /// What it is: `TRANSPORT_*`.
    pub(crate) transport: u8,
    /// 1: it has begun to connect already, so a call on it asks for that attempt. Otherwise 0.
    pub(crate) begun: u8,
}

/// The current task's socket `fd`; `None` where the descriptor is none, or nobody wants to know.
#[inline(always)]
pub(crate) fn of(fd: i32) -> Option<Socket> {
    if setting!(sockets) == 0 {
        return None;
    }
    // SAFETY: the helper takes no arguments.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = read(task, setting!(offsets.task_files))?;
    let table: u64 = read(files, setting!(offsets.files_fdt))?;
    let size: u32 = read(table, setting!(offsets.fdt_max_fds))?;
    let fd = fd.cast_unsigned();
    if fd >= size {
        return None;
    }
    let descriptors: u64 = read(table, setting!(offsets.fdt_fd))?;
    let file: u64 = read(descriptors.wrapping_add(u64::from(fd) * 8), 0)?;
    if file == 0 {
        return None;
    }
    let inode: u64 = read(file, setting!(offsets.file_inode))?;
    let mode: u16 = read(inode, setting!(offsets.inode_mode))?;
    if mode & S_IFMT != S_IFSOCK {
        return None;
    }
    // None where it is open as a path only (O_PATH).
    let socket: u64 = read(file, setting!(offsets.file_private_data))?;
    if socket == 0 {
        return None;
    }
    let sk: u64 = read(socket, setting!(offsets.socket_sk))?;
    if sk == 0 {
        return None;
    }
    let state: u32 = read(socket, setting!(offsets.socket_state))?;
    Some(Socket {
        sk,
        inode: read(inode, setting!(offsets.inode_ino))?,
        transport: transport(sk)?,
        begun: u8::from(state > SS_UNCONNECTED),
    })
}

#[inline(always)]
fn transport(sk: u64) -> Option<u8> {
    let family: u16 = read(sk, setting!(offsets.sock_family))?;
    match family {
        AF_UNIX => Some(TRANSPORT_UNIX),
        AF_SMC => Some(TRANSPORT_SMC),
        AF_INET | AF_INET6 => {
            let kind: u16 = read(sk, setting!(offsets.sock_type))?;
            if kind == SOCK_RAW {
                return Some(TRANSPORT_RAW);
            }
            Some(match protocol(sk)? {
                IPPROTO_TCP => TRANSPORT_TCP,
                IPPROTO_UDP => TRANSPORT_UDP,
                IPPROTO_MPTCP => TRANSPORT_MPTCP,
                IPPROTO_SCTP => TRANSPORT_SCTP,
                IPPROTO_DCCP => TRANSPORT_DCCP,
                IPPROTO_UDPLITE => TRANSPORT_UDPLITE,
                IPPROTO_ICMP | IPPROTO_ICMPV6 => TRANSPORT_ICMP,
                _ => TRANSPORT_OTHER,
            })
        }
        _ => Some(TRANSPORT_OTHER),
    }
}

/// `sk_protocol`: `IPPROTO_*`.
#[inline(always)]
pub(crate) fn protocol(sk: u64) -> Option<u16> {
    read(sk, setting!(offsets.sock_protocol))
}

/// `sk_err`: an errno, or 0.
#[inline(always)]
pub(crate) fn error(sk: u64) -> Option<u32> {
    read(sk, setting!(offsets.sock_err))
}

/// Both ends; all 0 where it is no internet socket.
#[inline(always)]
pub(crate) fn endpoints(sk: u64) -> Endpoints {
    let mut endpoints = Endpoints::default();
    let _unknown = fill(sk, &mut endpoints);
    endpoints
}

#[inline(always)]
fn fill(sk: u64, endpoints: &mut Endpoints) -> Option<()> {
    let family: u16 = read(sk, setting!(offsets.sock_family))?;
    if family == AF_INET {
        let local: [u8; 4] = read(sk, setting!(offsets.sock_rcv_saddr))?;
        let peer: [u8; 4] = read(sk, setting!(offsets.sock_daddr))?;
        endpoints.local_address = from_ipv4(local);
        endpoints.peer_address = from_ipv4(peer);
    } else if family == AF_INET6 && setting!(offsets.sock_v6_daddr) != 0 {
        endpoints.local_address = read(sk, setting!(offsets.sock_v6_rcv_saddr))?;
        endpoints.peer_address = read(sk, setting!(offsets.sock_v6_daddr))?;
    } else {
        return None;
    }
    let local: u16 = read(sk, setting!(offsets.inet_sport))?;
    let peer: u16 = read(sk, setting!(offsets.sock_dport))?;
    endpoints.local_port = u16::from_be(local);
    endpoints.peer_port = u16::from_be(peer);
    endpoints.family = family;
    Some(())
}

#[inline(always)]
pub(crate) const fn from_ipv4([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

#[inline(always)]
fn read<T>(base: u64, offset: u32) -> Option<T> {
    let field = with_exposed_provenance(base.wrapping_add(u64::from(offset)) as usize);
    // SAFETY: the helper checks the address, and T is an integer or bytes.
    unsafe { bpf_probe_read_kernel(field) }.ok()
}
