//! `AF_UNSPEC`: dissolves an association.

use std::net::TcpListener;

use anyhow::Result;
use libc::{AF_INET6, AF_UNIX, EINVAL, SOCK_DGRAM};

use crate::support::{
    case::Case,
    sockaddr::{Sockaddr, inet6, loopback, unspec},
    stage::Stage,
    syscall::{socket, tcp, udp, unix_stream},
};

pub(crate) const CASES: &[Case] = &[Case::exact("unspec_dissolves", dissolve)];

fn dissolve(stage: &Stage) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = loopback(listener.local_addr()?.port());
    let stream = tcp()?;
    stage.expect(0, &stream, &server)?;
    stage.expect(0, &stream, &unspec(16))?;
    // The same socket is as new.
    stage.expect(0, &stream, &server)?;

    let datagram = udp()?;
    for length in [16, 2, 128] {
        stage.expect(0, &datagram, &loopback(53))?;
        stage.expect(0, &datagram, &unspec(length))?;
    }
    // One byte is no family.
    stage.expect(EINVAL, &datagram, &Sockaddr::raw(b"\0", None))?;

    let datagram = socket(AF_INET6, SOCK_DGRAM, 0)?;
    stage.expect(
        0,
        &datagram,
        &inet6(std::net::Ipv6Addr::LOCALHOST, 53, 0, "::1"),
    )?;
    stage.expect(0, &datagram, &unspec(28))?;
    stage.expect(0, &socket(AF_UNIX, SOCK_DGRAM, 0)?, &unspec(16))?;
    stage.expect(EINVAL, &unix_stream()?, &unspec(110))
}
