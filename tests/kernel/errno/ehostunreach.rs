//! No way to the host.

use anyhow::Result;
use libc::{EHOSTUNREACH, RTN_UNREACHABLE};

use super::{DESTINATION_UNREACHABLE, complaint};
use crate::support::{
    conformance::Proof,
    feature::ETHERNET,
    network::{NEAR, NEIGHBOUR, REFUSED, ethernet, route_to_refusal},
    option,
    sockaddr::inet,
    stage::Stage,
    syscall::{tcp, udp},
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_ehostunreach_unreachable_route",
        "TCP, then UDP: a route of type `unreachable`",
        unreachable_route,
    ),
    Proof::new(
        "errno_ehostunreach_no_neighbour",
        "TCP: a host on the same Ethernet does not answer ARP",
        no_neighbour,
    )
    .needs(&ETHERNET),
    Proof::new(
        "errno_ehostunreach_icmp_host_unreachable",
        "TCP: a router answers with ICMP host unreachable",
        host_unreachable,
    ),
    Proof::new(
        "errno_ehostunreach_icmp_prohibited",
        "TCP: a firewall answers with ICMP communication administratively prohibited",
        prohibited,
    ),
    Proof::new(
        "errno_ehostunreach_icmp_time_exceeded",
        "TCP: a router answers with ICMP time to live exceeded",
        time_exceeded,
    ),
];

fn unreachable_route(stage: &Stage) -> Result<()> {
    route_to_refusal(RTN_UNREACHABLE)?;
    stage.expect(EHOSTUNREACH, &tcp()?, &inet(REFUSED, 80))?;
    stage.expect(EHOSTUNREACH, &udp()?, &inet(REFUSED, 80))
}

fn no_neighbour(stage: &Stage) -> Result<()> {
    ethernet()?;
    // Asked once, for 20 ms.
    option::sysctl(&format!("ipv4/neigh/{NEAR}/mcast_solicit"), "1")?;
    option::sysctl(&format!("ipv4/neigh/{NEAR}/retrans_time_ms"), "20")?;
    stage.expect(EHOSTUNREACH, &tcp()?, &inet(NEIGHBOUR, 80))
}

fn host_unreachable(stage: &Stage) -> Result<()> {
    complaint(stage, EHOSTUNREACH, (DESTINATION_UNREACHABLE, 1))
}

fn prohibited(stage: &Stage) -> Result<()> {
    complaint(stage, EHOSTUNREACH, (DESTINATION_UNREACHABLE, 13))
}

fn time_exceeded(stage: &Stage) -> Result<()> {
    const TIME_EXCEEDED: u8 = 11;
    complaint(stage, EHOSTUNREACH, (TIME_EXCEEDED, 0))
}
