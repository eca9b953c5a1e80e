//! The attempt goes on after the call.

use anyhow::{Context as _, Result, ensure};
use libc::{ECONNREFUSED, EINPROGRESS, SO_SNDTIMEO, SOL_SOCKET, timeval};

use super::{deaf, listener, not_blocking, settled};
use crate::support::{
    conformance::Proof,
    network::{SILENT, route_to_silence},
    option,
    sockaddr::inet,
    stage::Stage,
    syscall::tcp,
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_einprogress_then_connected",
        "TCP, not blocking: when poll(2) says writable, `SO_ERROR` is 0 and the socket has its peer",
        then_connected,
    ),
    Proof::new(
        "errno_einprogress_then_refused",
        "TCP, not blocking: when poll(2) says writable, `SO_ERROR` is ECONNREFUSED",
        then_refused,
    ),
    Proof::new(
        "errno_einprogress_send_timeout",
        "TCP, blocking, with `SO_SNDTIMEO`: a peer that is silent for that long",
        send_timeout,
    ),
];

fn then_connected(stage: &Stage) -> Result<()> {
    let (listener, address) = listener()?;
    let socket = not_blocking()?;
    stage.expect(EINPROGRESS, &socket, &address)?;
    settled(&socket)?;
    let reason = socket.take_error()?;
    ensure!(reason.is_none(), "{reason:?}");
    ensure!(socket.peer_addr()? == listener.local_addr()?, "another peer");
    Ok(())
}

fn then_refused(stage: &Stage) -> Result<()> {
    let (_deaf, address) = deaf()?;
    let socket = not_blocking()?;
    stage.expect(EINPROGRESS, &socket, &address)?;
    settled(&socket)?;
    let reason = socket.take_error()?.context("no failure")?;
    ensure!(reason.raw_os_error() == Some(ECONNREFUSED), "{reason}");
    Ok(())
}

fn send_timeout(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let socket = tcp()?;
    let timeout = timeval {
        tv_sec: 0,
        tv_usec: 1000,
    };
    option::set(&socket, SOL_SOCKET, SO_SNDTIMEO, &timeout)?;
    stage.expect(EINPROGRESS, &socket, &inet(SILENT, 80))
}
