//! Not for this kind of socket, or not on this way.

use anyhow::Result;
use libc::{AF_PACKET, EOPNOTSUPP, SOCK_DGRAM};
use serde_json::json;

use super::{DESTINATION_UNREACHABLE, complaint};
use crate::support::{
    conformance::Proof, namespace::LOOPBACK, sockaddr::Sockaddr, stage::Stage, syscall::socket,
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_eopnotsupp_packet",
        "packet: a family whose sockets are not connected at all, like those of AF_ALG and AF_XDP",
        packet,
    ),
    Proof::new(
        "errno_eopnotsupp_icmp_source_route_failed",
        "TCP: a router answers with ICMP source route failed",
        source_route_failed,
    ),
];

fn packet(stage: &Stage) -> Result<()> {
    // struct sockaddr_ll: protocol, interface, hardware, kind, length, six of eight bytes.
    let rest = [&[8, 0][..], &LOOPBACK.to_ne_bytes(), &[0, 0, 0, 6], &[0; 8]];
    let text = "protocol=0x0800,ifindex=1,address=00:00:00:00:00:00";
    let shown = json!({"address.family": "AF_PACKET", "network.peer.address": text});
    let address = Sockaddr::new(AF_PACKET, &rest.concat(), shown);
    stage.expect(EOPNOTSUPP, &socket(AF_PACKET, SOCK_DGRAM, 0)?, &address)
}

fn source_route_failed(stage: &Stage) -> Result<()> {
    complaint(stage, EOPNOTSUPP, (DESTINATION_UNREACHABLE, 5))
}
