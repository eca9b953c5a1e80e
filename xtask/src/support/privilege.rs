//! Root, which loading eBPF and installing packages need.

use std::{ffi::OsStr, fs, os::unix::fs::MetadataExt as _, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::process::{command, on_path};

/// Whether the effective user is root.
pub(crate) fn is_root() -> Result<bool> {
    let own = fs::metadata("/proc/self").context("cannot tell who runs this: is /proc mounted?")?;
    Ok(own.uid() == 0)
}

/// `program` as root: through sudo unless that is who runs this.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root()? {
        return Ok(command(program));
    }
    ensure!(
        !on_path("sudo").is_empty(),
        "this needs root, and sudo is missing: run it as root"
    );
    let mut sudo = command("sudo");
    sudo.arg("--").arg(program);
    Ok(sudo)
}
