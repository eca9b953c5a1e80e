//! The failure of an earlier attempt, whose reason somebody has asked for already.

use anyhow::{Context as _, Result, ensure};
use libc::{ECONNABORTED, ECONNREFUSED, EINPROGRESS};

use super::{deaf, not_blocking, settled};
use crate::support::{conformance::Proof, stage::Stage};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_econnaborted_reason_was_taken",
    "TCP, not blocking: refused, and asked with `SO_ERROR` why; the next call says only that it \
     failed, the one after it tries again",
    reason_was_taken,
)];

fn reason_was_taken(stage: &Stage) -> Result<()> {
    let (_deaf, address) = deaf()?;
    let socket = not_blocking()?;
    stage.expect(EINPROGRESS, &socket, &address)?;
    settled(&socket)?;
    let reason = socket.take_error()?.context("no failure")?;
    ensure!(reason.raw_os_error() == Some(ECONNREFUSED), "{reason}");
    stage.expect(ECONNABORTED, &socket, &address)?;
    stage.expect(EINPROGRESS, &socket, &address)
}
