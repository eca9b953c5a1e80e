//! No way to the network.

use std::net::Ipv6Addr;

use anyhow::Result;
use libc::{AF_INET6, ENETUNREACH, SOCK_STREAM};

use super::{DESTINATION_UNREACHABLE, complaint};
use crate::support::{
    conformance::Proof,
    network::SILENT,
    sockaddr::{inet, inet6},
    stage::Stage,
    syscall::{socket, tcp, udp},
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_enetunreach_no_route",
        "TCP, then UDP: no route",
        no_route,
    ),
    Proof::new(
        "errno_enetunreach_ipv6_no_route",
        "TCP over IPv6: no route",
        ipv6_no_route,
    ),
    Proof::new(
        "errno_enetunreach_tcp_broadcast_address",
        "TCP: a broadcast address",
        broadcast,
    ),
    Proof::new(
        "errno_enetunreach_icmp_net_unreachable",
        "TCP: a router answers with ICMP net unreachable",
        net_unreachable,
    ),
];

fn no_route(stage: &Stage) -> Result<()> {
    stage.expect(ENETUNREACH, &tcp()?, &inet(SILENT, 80))?;
    stage.expect(ENETUNREACH, &udp()?, &inet(SILENT, 80))
}

fn ipv6_no_route(stage: &Stage) -> Result<()> {
    let address: Ipv6Addr = "2001:db8::1".parse()?;
    let address = inet6(address, 80, 0, "2001:db8::1");
    stage.expect(ENETUNREACH, &socket(AF_INET6, SOCK_STREAM, 0)?, &address)
}

fn broadcast(stage: &Stage) -> Result<()> {
    stage.expect(ENETUNREACH, &tcp()?, &inet([127, 255, 255, 255], 9))
}

fn net_unreachable(stage: &Stage) -> Result<()> {
    complaint(stage, ENETUNREACH, (DESTINATION_UNREACHABLE, 0))
}
