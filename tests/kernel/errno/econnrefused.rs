//! Nobody listens.

use std::{
    env,
    os::unix::net::{UnixDatagram, UnixListener},
};

use anyhow::Result;
use libc::{AF_UNIX, ECONNREFUSED, SOCK_DGRAM};

use super::{DESTINATION_UNREACHABLE, complaint, deaf};
use crate::support::{
    conformance::Proof,
    sockaddr::{unix, unix_abstract},
    stage::Stage,
    syscall::{socket, tcp, unix_stream},
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_econnrefused_tcp",
        "TCP: a port on which nobody listens",
        nobody_listens,
    )
    .brief(),
    Proof::new(
        "errno_econnrefused_icmp_port_unreachable",
        "TCP: a router or firewall answers with ICMP port unreachable",
        port_unreachable,
    ),
    Proof::new(
        "errno_econnrefused_unix_stream",
        "unix: the socket file of a listener that is gone",
        stream,
    ),
    Proof::new(
        "errno_econnrefused_unix_datagram",
        "unix, datagrams: the socket file of a receiver that is gone",
        datagram,
    ),
    Proof::new(
        "errno_econnrefused_unix_abstract",
        "unix: an abstract name that nobody has",
        abstract_name,
    ),
];

fn nobody_listens(stage: &Stage) -> Result<()> {
    let (_deaf, address) = deaf()?;
    stage.expect(ECONNREFUSED, &tcp()?, &address)
}

fn port_unreachable(stage: &Stage) -> Result<()> {
    complaint(stage, ECONNREFUSED, (DESTINATION_UNREACHABLE, 3))
}

fn stream(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    drop(UnixListener::bind("socket")?);
    stage.expect(ECONNREFUSED, &unix_stream()?, &unix(b"socket"))
}

fn datagram(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    drop(UnixDatagram::bind("socket")?);
    stage.expect(
        ECONNREFUSED,
        &socket(AF_UNIX, SOCK_DGRAM, 0)?,
        &unix(b"socket"),
    )
}

fn abstract_name(stage: &Stage) -> Result<()> {
    stage.expect(ECONNREFUSED, &unix_stream()?, &unix_abstract(b"nobody"))
}
