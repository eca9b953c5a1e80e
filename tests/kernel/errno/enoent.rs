//! No such file.

use std::{env, os::unix::fs::symlink};

use anyhow::Result;
use libc::ENOENT;

use crate::support::{conformance::Proof, sockaddr::unix, stage::Stage, syscall::unix_stream};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_enoent_no_file",
        "unix: no file has this path",
        no_file,
    ),
    Proof::new(
        "errno_enoent_dangling_link",
        "unix: a symbolic link to a file that is not there",
        dangling_link,
    ),
];

fn no_file(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    stage.expect(ENOENT, &unix_stream()?, &unix(b"missing"))
}

fn dangling_link(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    symlink("missing", "link")?;
    stage.expect(ENOENT, &unix_stream()?, &unix(b"link"))
}
