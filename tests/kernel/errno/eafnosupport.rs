//! An address of another family than the socket's.

use std::net::Ipv6Addr;

use anyhow::Result;
use libc::{AF_INET6, EAFNOSUPPORT, SOCK_STREAM};

use crate::support::{
    conformance::Proof,
    sockaddr::{inet6, loopback},
    stage::Stage,
    syscall::{socket, tcp, udp},
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_eafnosupport_ipv4",
        "TCP, then UDP, over IPv4: an IPv6 address",
        ipv4,
    ),
    Proof::new(
        "errno_eafnosupport_ipv6",
        "TCP over IPv6: an IPv4 address, as long as one of IPv6",
        ipv6,
    ),
];

fn ipv4(stage: &Stage) -> Result<()> {
    let address = inet6(Ipv6Addr::LOCALHOST, 9, 0, "::1");
    stage.expect(EAFNOSUPPORT, &tcp()?, &address)?;
    stage.expect(EAFNOSUPPORT, &udp()?, &address)
}

fn ipv6(stage: &Stage) -> Result<()> {
    let mut address = loopback(9);
    address.bytes.resize(28, 0);
    stage.expect(EAFNOSUPPORT, &socket(AF_INET6, SOCK_STREAM, 0)?, &address)
}
