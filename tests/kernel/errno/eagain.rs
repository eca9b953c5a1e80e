//! Not now: something is full.

use std::os::unix::net::UnixStream;

use anyhow::Result;
use libc::{EAGAIN, SO_SNDTIMEO, SOL_SOCKET, timeval};

use crate::support::{
    blocking::FullListener,
    conformance::{Gap, Proof},
    option,
    sockaddr::loopback,
    stage::Stage,
    syscall::{udp, unix_stream},
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_eagain_unix_backlog_full",
        "unix, not blocking: the listener's backlog is full after one call",
        backlog_full,
    ),
    Proof::new(
        "errno_eagain_unix_send_timeout",
        "unix, with `SO_SNDTIMEO`: the backlog is full after one call, and stays so for that long",
        send_timeout,
    ),
    Proof::new(
        "errno_eagain_udp_no_ephemeral_port",
        "UDP: `net.ipv4.ip_local_port_range` has one port, which another socket has",
        no_ephemeral_port,
    ),
];

pub(super) const GAPS: &[Gap] = &[Gap {
    what: "insufficient entries in the routing cache",
    why: "Linux 3.6 has removed the routing cache",
}];

fn backlog_full(stage: &Stage) -> Result<()> {
    let listener = FullListener::new(stage, "full")?;
    let socket = UnixStream::from(unix_stream()?);
    socket.set_nonblocking(true)?;
    stage.expect(EAGAIN, &socket, &listener.address)
}

fn send_timeout(stage: &Stage) -> Result<()> {
    let listener = FullListener::new(stage, "full")?;
    let socket = unix_stream()?;
    let timeout = timeval {
        tv_sec: 0,
        tv_usec: 1000,
    };
    option::set(&socket, SOL_SOCKET, SO_SNDTIMEO, &timeout)?;
    stage.expect(EAGAIN, &socket, &listener.address)
}

fn no_ephemeral_port(stage: &Stage) -> Result<()> {
    option::sysctl("ipv4/ip_local_port_range", "61000 61000")?;
    let first = udp()?;
    stage.expect(0, &first, &loopback(9))?;
    stage.expect(EAGAIN, &udp()?, &loopback(10))
}
