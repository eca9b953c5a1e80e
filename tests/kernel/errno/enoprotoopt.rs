//! The host does not speak the protocol.

use anyhow::Result;
use libc::ENOPROTOOPT;

use super::{DESTINATION_UNREACHABLE, complaint};
use crate::support::{conformance::Proof, stage::Stage};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_enoprotoopt_icmp_protocol_unreachable",
    "TCP: a host or firewall answers with ICMP protocol unreachable",
    protocol_unreachable,
)];

fn protocol_unreachable(stage: &Stage) -> Result<()> {
    complaint(stage, ENOPROTOOPT, (DESTINATION_UNREACHABLE, 2))
}
