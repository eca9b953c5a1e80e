//! A name that no file can have.

use std::{env, os::unix::fs::symlink};

use anyhow::Result;
use libc::ENAMETOOLONG;

use crate::support::{conformance::Proof, sockaddr::unix, stage::Stage, syscall::unix_stream};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_enametoolong_symbolic_link",
    "unix: a symbolic link to a name of 256 bytes, which no unix address has room for",
    symbolic_link,
)];

fn symbolic_link(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    symlink("n".repeat(256), "link")?;
    stage.expect(ENAMETOOLONG, &unix_stream()?, &unix(b"link"))
}
