//! Each entry of the man page connect(2), provoked: a file per errno, named after it.
//!
//! Beside each case stands how it provokes its errno. What the kernel's own hook and the application
//! see of it is measured; `docs/conformance.md` is made of both.

mod eacces;
mod eaddrinuse;
mod eaddrnotavail;
mod eafnosupport;
mod eagain;
mod ealready;
mod ebadf;
mod econnaborted;
mod econnrefused;
mod econnreset;
mod efault;
mod ehostdown;
mod ehostunreach;
mod einprogress;
mod eintr;
mod einval;
mod eisconn;
mod eloop;
mod enametoolong;
mod enetunreach;
mod enodev;
mod enoent;
mod enonet;
mod enoprotoopt;
mod enotdir;
mod enotsock;
mod eopnotsupp;
mod eperm;
mod epipe;
mod eproto;
mod eprototype;
mod etimedout;
mod notes;

use std::{
    net::{TcpListener, TcpStream},
    os::fd::{AsFd as _, OwnedFd},
    sync::mpsc::channel,
    thread,
};

use anyhow::{Result, anyhow};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, getpid},
    thread::gettid,
};

use crate::support::{
    case::Case,
    child::await_blocked,
    conformance::{self, Entry, Gap, Proof, Section},
    network::{Router, SILENT, route_to_silence},
    sockaddr::{Sockaddr, inet, loopback},
    stage::Stage,
    syscall::{bind, tcp},
};

/// In the man page's order; then what it leaves to others; then its prose.
static SECTIONS: [Section; 3] = [
    Section {
        name: "Errors of the man page",
        entries: &[
            entry("EACCES", &[eacces::UNIX]),
            Entry {
                gaps: FIREWALL,
                ..entry("EACCES, EPERM", &[eacces::NETWORK, eperm::PROOFS])
            },
            Entry {
                gaps: eaddrinuse::GAPS,
                ..entry("EADDRINUSE", &[eaddrinuse::PROOFS])
            },
            entry("EADDRNOTAVAIL", &[eaddrnotavail::PROOFS]),
            entry("EAFNOSUPPORT", &[eafnosupport::PROOFS]),
            Entry {
                gaps: eagain::GAPS,
                ..entry("EAGAIN", &[eagain::PROOFS])
            },
            entry("EALREADY", &[ealready::PROOFS]),
            entry("EBADF", &[ebadf::PROOFS]),
            entry("ECONNREFUSED", &[econnrefused::PROOFS]),
            entry("EFAULT", &[efault::PROOFS]),
            entry("EINPROGRESS", &[einprogress::PROOFS]),
            entry("EINTR", &[eintr::PROOFS]),
            entry("EISCONN", &[eisconn::PROOFS]),
            entry("ENETUNREACH", &[enetunreach::PROOFS]),
            entry("ENOTSOCK", &[enotsock::PROOFS]),
            entry("EPROTOTYPE", &[eprototype::PROOFS]),
            entry("ETIMEDOUT", &[etimedout::PROOFS]),
        ],
    },
    Section {
        name: "Domain-specific errors",
        entries: &[
            entry("ECONNABORTED", &[econnaborted::PROOFS]),
            Entry {
                gaps: econnreset::GAPS,
                ..entry("ECONNRESET", &[econnreset::PROOFS])
            },
            entry("EHOSTDOWN", &[ehostdown::PROOFS]),
            entry("EHOSTUNREACH", &[ehostunreach::PROOFS]),
            entry("EINVAL", &[einval::PROOFS]),
            entry("ELOOP", &[eloop::PROOFS]),
            entry("ENAMETOOLONG", &[enametoolong::PROOFS]),
            entry("ENODEV", &[enodev::PROOFS]),
            entry("ENOENT", &[enoent::PROOFS]),
            entry("ENONET", &[enonet::PROOFS]),
            entry("ENOPROTOOPT", &[enoprotoopt::PROOFS]),
            entry("ENOTDIR", &[enotdir::PROOFS]),
            entry("EOPNOTSUPP", &[eopnotsupp::PROOFS]),
            entry("EPIPE", &[epipe::PROOFS]),
            entry("EPROTO", &[eproto::PROOFS]),
        ],
    },
    Section {
        name: "Description and notes",
        entries: &[
            entry("Default peer of datagrams", &[notes::DATAGRAMS]),
            entry("Connecting a stream", &[notes::STREAMS]),
            entry("Only once", &[notes::ONCE]),
            entry("Changing the association", &[notes::ASSOCIATION]),
            entry("AF_UNSPEC dissolves the association", &[notes::DISSOLVING]),
            entry("After a failure", &[notes::FAILURE]),
        ],
    },
];

const fn entry(name: &'static str, proofs: &'static [&'static [Proof]]) -> Entry {
    Entry {
        name,
        proofs,
        gaps: &[],
    }
}

const FIREWALL: &[Gap] = &[Gap {
    what: "a firewall rule that drops what leaves",
    why: "TCP takes a packet that netfilter drops for one that is lost, and sends it again: the \
          call ends with ETIMEDOUT; UDP sends nothing when it connects",
}];

fn proofs() -> impl Iterator<Item = &'static Proof> {
    let entries = SECTIONS.iter().flat_map(|section| section.entries);
    entries.flat_map(|entry| entry.proofs).copied().flatten()
}

pub(crate) fn cases() -> impl Iterator<Item = &'static Case> {
    proofs().map(|proof| &proof.case)
}

/// Announces what is to be proven to whoever wants the results.
pub(crate) fn announce() -> Result<()> {
    conformance::announce(&SECTIONS)
}

/// A TCP socket and a listener that it can connect to.
fn listener() -> Result<(TcpListener, Sockaddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = loopback(listener.local_addr()?.port());
    Ok((listener, address))
}

/// A port that nobody else can have, on which nobody listens.
fn deaf() -> Result<(OwnedFd, Sockaddr)> {
    let (socket, address) = (tcp()?, loopback(9));
    bind(socket.as_fd(), &address.bytes)?;
    Ok((socket, address))
}

fn not_blocking() -> Result<TcpStream> {
    let socket = TcpStream::from(tcp()?);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Waits until an attempt is settled.
fn settled(socket: &TcpStream) -> Result<()> {
    poll(&mut [PollFd::new(socket, PollFlags::OUT)], None)?;
    Ok(())
}

/// Makes a call in a new thread, and does something while it blocks.
fn blocking(
    stage: &Stage,
    errno: i32,
    socket: &TcpStream,
    address: &Sockaddr,
    meanwhile: impl FnOnce(Pid) -> Result<()>,
) -> Result<()> {
    let (tell, told) = channel();
    thread::scope(|scope| {
        let blocked = scope.spawn(move || {
            tell.send(gettid())?;
            stage.expect(errno, socket, address)
        });
        let tid = told.recv()?;
        await_blocked(getpid(), tid)?;
        meanwhile(tid)?;
        blocked
            .join()
            .map_err(|_panic| anyhow!("a thread panicked"))?
    })
}

/// A TCP connect that a router answers with an ICMP error.
fn complaint(stage: &Stage, errno: i32, (kind, code): (u8, u8)) -> Result<()> {
    route_to_silence()?;
    let mut router = Router::new()?;
    let (socket, address) = (TcpStream::from(tcp()?), inet(SILENT, 80));
    // Not before the caller waits: while the call has hold of its socket, TCP only takes note.
    blocking(stage, errno, &socket, &address, |_| {
        router.complain(kind, code)
    })
}

/// ICMP's type of such an error.
const DESTINATION_UNREACHABLE: u8 = 3;
