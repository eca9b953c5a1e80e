//! Sockets of different types.

use std::{
    env,
    os::unix::net::{UnixDatagram, UnixListener},
};

use anyhow::Result;
use libc::{AF_UNIX, EPROTOTYPE, SOCK_DGRAM, SOCK_SEQPACKET};

use crate::support::{
    conformance::Proof,
    sockaddr::unix,
    stage::Stage,
    syscall::{socket, unix_stream},
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_eprototype_unix_datagram_to_stream",
        "unix: a datagram socket to a stream socket",
        datagram_to_stream,
    ),
    Proof::new(
        "errno_eprototype_unix_stream_to_datagram",
        "unix: a stream socket to a datagram socket",
        stream_to_datagram,
    ),
    Proof::new(
        "errno_eprototype_unix_seqpacket_to_stream",
        "unix: a sequenced-packet socket to a stream socket",
        seqpacket_to_stream,
    ),
];

fn datagram_to_stream(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    let _listener = UnixListener::bind("socket")?;
    stage.expect(
        EPROTOTYPE,
        &socket(AF_UNIX, SOCK_DGRAM, 0)?,
        &unix(b"socket"),
    )
}

fn stream_to_datagram(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    let _receiver = UnixDatagram::bind("socket")?;
    stage.expect(EPROTOTYPE, &unix_stream()?, &unix(b"socket"))
}

fn seqpacket_to_stream(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    let _listener = UnixListener::bind("socket")?;
    stage.expect(
        EPROTOTYPE,
        &socket(AF_UNIX, SOCK_SEQPACKET, 0)?,
        &unix(b"socket"),
    )
}
