//! A path through a file.

use std::{env, os::unix::net::UnixListener};

use anyhow::Result;
use libc::ENOTDIR;

use crate::support::{conformance::Proof, sockaddr::unix, stage::Stage, syscall::unix_stream};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_enotdir_path_through_a_file",
    "unix: a path that goes through a file as if it were a directory",
    path_through_a_file,
)];

fn path_through_a_file(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    let _listener = UnixListener::bind("socket")?;
    stage.expect(ENOTDIR, &unix_stream()?, &unix(b"socket/below"))
}
