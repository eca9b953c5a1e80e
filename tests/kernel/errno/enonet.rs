//! The host is cut off.

use anyhow::Result;
use libc::ENONET;

use super::{DESTINATION_UNREACHABLE, complaint};
use crate::support::{conformance::Proof, stage::Stage};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_enonet_icmp_source_host_isolated",
    "TCP: a router answers with ICMP source host isolated",
    source_host_isolated,
)];

fn source_host_isolated(stage: &Stage) -> Result<()> {
    complaint(stage, ENONET, (DESTINATION_UNREACHABLE, 8))
}
