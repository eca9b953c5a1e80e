//! A host does not understand what it was sent.

use anyhow::Result;
use libc::EPROTO;

use super::complaint;
use crate::support::{conformance::Proof, stage::Stage};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_eproto_icmp_parameter_problem",
    "TCP: a router answers with ICMP parameter problem",
    parameter_problem,
)];

fn parameter_problem(stage: &Stage) -> Result<()> {
    const PARAMETER_PROBLEM: u8 = 12;
    complaint(stage, EPROTO, (PARAMETER_PROBLEM, 0))
}
