//! IPv6: scope ids, and IPv4 addresses in IPv6 clothing.

use std::net::{Ipv6Addr, TcpListener};

use anyhow::Result;
use libc::{AF_INET6, ECONNREFUSED, EINVAL, ENETUNREACH, SOCK_DGRAM, SOCK_STREAM};

use crate::support::{
    case::Case,
    namespace::{LOOPBACK, add_to_loopback},
    sockaddr::{Sockaddr, inet6, mapped},
    stage::Stage,
    syscall::socket,
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("ipv6_success_and_failure", peers),
    Case::exact("ipv6_link_local_with_scope", link_local),
    Case::exact("ipv6_v4_mapped", ipv4),
];

fn peers(stage: &Stage) -> Result<()> {
    let listener = TcpListener::bind("[::1]:0")?;
    let port = listener.local_addr()?.port();
    let tcp = || socket(AF_INET6, SOCK_STREAM, 0);
    let loopback = |port| inet6(Ipv6Addr::LOCALHOST, port, 0, "::1");
    stage.expect(0, &tcp()?, &loopback(port))?;
    stage.expect(ECONNREFUSED, &tcp()?, &loopback(9))?;
    stage.expect(0, &tcp()?, &inet6(Ipv6Addr::UNSPECIFIED, port, 0, "::"))?;
    let elsewhere: Ipv6Addr = "2001:db8:0:0:1::1".parse()?;
    let elsewhere = inet6(elsewhere, 443, 0, "2001:db8::1:0:0:1");
    stage.expect(ENETUNREACH, &tcp()?, &elsewhere)?;
    // As the struct was before it had a scope, which the kernel still takes.
    let mut old = loopback(port);
    old.bytes.truncate(24);
    stage.expect(0, &tcp()?, &old)?;
    let short = Sockaddr::raw(&loopback(port).bytes[..23], Some("AF_INET6"));
    stage.expect(EINVAL, &tcp()?, &short)
}

fn link_local(stage: &Stage) -> Result<()> {
    let address: Ipv6Addr = "fe80::1".parse()?;
    add_to_loopback(address, 64)?;
    let listener = TcpListener::bind("[::]:0")?;
    let port = listener.local_addr()?.port();
    let tcp = || socket(AF_INET6, SOCK_STREAM, 0);
    stage.expect(0, &tcp()?, &inet6(address, port, LOOPBACK, "fe80::1%1"))?;
    stage.expect(EINVAL, &tcp()?, &inet6(address, port, 0, "fe80::1"))?;
    let udp = socket(AF_INET6, SOCK_DGRAM, 0)?;
    stage.expect(0, &udp, &inet6(address, 53, LOOPBACK, "fe80::1%1"))?;
    // An interface that does not exist; what the kernel says to it differs.
    let nowhere = inet6(address, port, u32::MAX, "fe80::1%4294967295");
    stage.expect(ENETUNREACH, &tcp()?, &nowhere)
}

fn ipv4(stage: &Stage) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let peer = |port| mapped([127, 0, 0, 1], port);
    stage.expect(0, &socket(AF_INET6, SOCK_STREAM, 0)?, &peer(port))?;
    stage.expect(ECONNREFUSED, &socket(AF_INET6, SOCK_STREAM, 0)?, &peer(9))?;
    stage.expect(0, &socket(AF_INET6, SOCK_DGRAM, 0)?, &peer(9))
}
