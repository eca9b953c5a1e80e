//! A router knows no such host.

use anyhow::Result;
use libc::EHOSTDOWN;

use super::{DESTINATION_UNREACHABLE, complaint};
use crate::support::{conformance::Proof, stage::Stage};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_ehostdown_icmp_host_unknown",
    "TCP: a router answers with ICMP destination host unknown",
    host_unknown,
)];

fn host_unknown(stage: &Stage) -> Result<()> {
    complaint(stage, EHOSTDOWN, (DESTINATION_UNREACHABLE, 7))
}
