//! Symbolic links without end.

use std::{env, os::unix::fs::symlink};

use anyhow::Result;
use libc::ELOOP;

use crate::support::{conformance::Proof, sockaddr::unix, stage::Stage, syscall::unix_stream};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_eloop_symbolic_links",
    "unix: a symbolic link that leads to itself",
    symbolic_links,
)];

fn symbolic_links(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    symlink("link", "link")?;
    stage.expect(ELOOP, &unix_stream()?, &unix(b"link"))
}
