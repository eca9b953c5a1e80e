//! No local address to connect from, or none to connect to.

use std::{net::Ipv6Addr, os::fd::AsFd as _};

use anyhow::Result;
use libc::{AF_INET6, EADDRNOTAVAIL, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET};
use rustix::thread::UnshareFlags;

use super::listener;
use crate::support::{
    conformance::Proof,
    namespace::unshare,
    option,
    sockaddr::{inet6, loopback},
    stage::Stage,
    syscall::{bind, socket, tcp},
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_eaddrnotavail_no_ephemeral_port",
        "TCP: `net.ipv4.ip_local_port_range` has one port, which a connection to the same address \
         has",
        no_ephemeral_port,
    ),
    Proof::new(
        "errno_eaddrnotavail_same_addresses_and_ports",
        "TCP: bound to the port of a connection to the same address, with `SO_REUSEADDR`",
        same_addresses_and_ports,
    ),
    Proof::new(
        "errno_eaddrnotavail_ipv6_without_address",
        "TCP over IPv6: `::1` while the loopback interface is down",
        ipv6_without_address,
    ),
];

fn no_ephemeral_port(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    option::sysctl("ipv4/ip_local_port_range", "61000 61000")?;
    let first = tcp()?;
    stage.expect(0, &first, &address)?;
    stage.expect(EADDRNOTAVAIL, &tcp()?, &address)
}

fn same_addresses_and_ports(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let bound = || -> Result<_> {
        let socket = tcp()?;
        option::set(&socket, SOL_SOCKET, SO_REUSEADDR, &1_i32)?;
        bind(socket.as_fd(), &loopback(61000).bytes)?;
        Ok(socket)
    };
    let (first, second) = (bound()?, bound()?);
    stage.expect(0, &first, &address)?;
    stage.expect(EADDRNOTAVAIL, &second, &address)
}

fn ipv6_without_address(stage: &Stage) -> Result<()> {
    // A network whose loopback nobody has brought up.
    unshare(UnshareFlags::NEWNET)?;
    let address = inet6(Ipv6Addr::LOCALHOST, 9, 0, "::1");
    stage.expect(EADDRNOTAVAIL, &socket(AF_INET6, SOCK_STREAM, 0)?, &address)
}
