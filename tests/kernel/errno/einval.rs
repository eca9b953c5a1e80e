//! Arguments that make no sense: the length first of all.

use std::{
    net::Ipv6Addr,
    os::fd::{AsFd as _, AsRawFd as _},
};

use anyhow::Result;
use libc::{AF_INET6, AF_NETLINK, EINVAL, RTN_BLACKHOLE, SOCK_RAW, SOCK_STREAM};

use crate::support::{
    attempt::Attempt,
    conformance::Proof,
    network::{REFUSED, route_to_refusal},
    sockaddr::{
        Sockaddr, inet, inet6, loopback, netlink, unix_abstract, unix_exactly, unix_unnamed,
    },
    stage::Stage,
    syscall::{bind, listen, register, socket, tcp, udp, unix_stream},
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_einval_negative_length",
        "any socket: addrlen is -1",
        negative_length,
    ),
    Proof::new(
        "errno_einval_length_beyond_any_address",
        "any socket: addrlen is 129, one more than the longest address has",
        length_beyond_any_address,
    ),
    Proof::new(
        "errno_einval_ipv4_too_short",
        "TCP, then UDP: addrlen is 15, one less than an IPv4 address has",
        ipv4_too_short,
    ),
    Proof::new(
        "errno_einval_ipv4_address_for_ipv6",
        "TCP over IPv6: an IPv4 address, which is too short",
        ipv4_address_for_ipv6,
    ),
    Proof::new(
        "errno_einval_ipv6_link_local_without_scope",
        "TCP over IPv6: a link-local address without a scope id",
        link_local_without_scope,
    ),
    Proof::new(
        "errno_einval_no_family",
        "TCP, then UDP: addrlen is 1, too short for a family",
        no_family,
    ),
    Proof::new(
        "errno_einval_unix_too_long",
        "unix: addrlen is 111, one more than a unix address has",
        unix_too_long,
    ),
    Proof::new(
        "errno_einval_unix_unnamed",
        "unix: a family and no name",
        unix_without_name,
    ),
    Proof::new(
        "errno_einval_unix_other_family",
        "unix: an IPv4 address, where other families say EAFNOSUPPORT",
        unix_other_family,
    ),
    Proof::new(
        "errno_einval_unix_listening",
        "unix: a socket that listens, where TCP says EISCONN",
        unix_listening,
    ),
    Proof::new(
        "errno_einval_netlink_too_short",
        "netlink: addrlen is 11, one less than a netlink address has",
        netlink_too_short,
    ),
    Proof::new(
        "errno_einval_blackhole_route",
        "TCP, then UDP: a route of type `blackhole`",
        blackhole_route,
    ),
];

/// An address whose length nobody can read.
fn of_length(stage: &Stage, length: i32) -> Result<()> {
    let (socket, address) = (udp()?, loopback(9));
    let pointer = address.bytes.as_ptr().expose_provenance() as u64;
    let fd = register(socket.as_raw_fd());
    stage.expect_of(EINVAL, &Attempt::unreadable(fd, pointer, register(length)))
}

fn negative_length(stage: &Stage) -> Result<()> {
    of_length(stage, -1)
}

fn length_beyond_any_address(stage: &Stage) -> Result<()> {
    of_length(stage, 129)
}

fn ipv4_too_short(stage: &Stage) -> Result<()> {
    let short = Sockaddr::raw(&loopback(9).bytes[..15], Some("AF_INET"));
    stage.expect(EINVAL, &tcp()?, &short)?;
    stage.expect(EINVAL, &udp()?, &short)
}

fn ipv4_address_for_ipv6(stage: &Stage) -> Result<()> {
    stage.expect(EINVAL, &socket(AF_INET6, SOCK_STREAM, 0)?, &loopback(9))
}

fn link_local_without_scope(stage: &Stage) -> Result<()> {
    let address: Ipv6Addr = "fe80::1".parse()?;
    let address = inet6(address, 9, 0, "fe80::1");
    stage.expect(EINVAL, &socket(AF_INET6, SOCK_STREAM, 0)?, &address)
}

fn no_family(stage: &Stage) -> Result<()> {
    let byte = Sockaddr::raw(&[2], None);
    stage.expect(EINVAL, &tcp()?, &byte)?;
    stage.expect(EINVAL, &udp()?, &byte)
}

fn unix_too_long(stage: &Stage) -> Result<()> {
    let path = [b'p'; 109];
    stage.expect(EINVAL, &unix_stream()?, &unix_exactly(&path, &path))
}

fn unix_without_name(stage: &Stage) -> Result<()> {
    stage.expect(EINVAL, &unix_stream()?, &unix_unnamed())
}

fn unix_other_family(stage: &Stage) -> Result<()> {
    stage.expect(EINVAL, &unix_stream()?, &loopback(9))
}

fn unix_listening(stage: &Stage) -> Result<()> {
    let (listener, address) = (unix_stream()?, unix_abstract(b"listening"));
    bind(listener.as_fd(), &address.bytes)?;
    listen(listener.as_fd(), 1)?;
    stage.expect(EINVAL, &listener, &address)
}

fn netlink_too_short(stage: &Stage) -> Result<()> {
    let short = Sockaddr::raw(&netlink(0, 0).bytes[..11], Some("AF_NETLINK"));
    stage.expect(EINVAL, &socket(AF_NETLINK, SOCK_RAW, 0)?, &short)
}

fn blackhole_route(stage: &Stage) -> Result<()> {
    route_to_refusal(RTN_BLACKHOLE)?;
    stage.expect(EINVAL, &tcp()?, &inet(REFUSED, 80))?;
    stage.expect(EINVAL, &udp()?, &inet(REFUSED, 80))
}
