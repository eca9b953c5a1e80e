//! Connected already.

use std::os::{
    linux::net::SocketAddrExt as _,
    unix::net::{SocketAddr, UnixListener},
};

use anyhow::Result;
use libc::EISCONN;

use super::listener;
use crate::support::{
    conformance::Proof,
    sockaddr::unix_abstract,
    stage::Stage,
    syscall::{tcp, unix_stream},
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_eisconn_tcp",
        "TCP: a socket that is connected",
        connected,
    ),
    Proof::new(
        "errno_eisconn_unix",
        "unix: a socket that is connected",
        connected_unix,
    ),
    Proof::new(
        "errno_eisconn_tcp_listening",
        "TCP: a socket that listens",
        listening,
    ),
];

fn connected(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let socket = tcp()?;
    stage.expect(0, &socket, &address)?;
    stage.expect(EISCONN, &socket, &address)
}

fn connected_unix(stage: &Stage) -> Result<()> {
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(b"name")?)?;
    let socket = unix_stream()?;
    stage.expect(0, &socket, &unix_abstract(b"name"))?;
    stage.expect(EISCONN, &socket, &unix_abstract(b"name"))
}

fn listening(stage: &Stage) -> Result<()> {
    let (listener, address) = listener()?;
    stage.expect(EISCONN, &listener, &address)
}
