//! What several commands need.

pub(crate) mod architecture;
pub(crate) mod bpf_linker;
pub(crate) mod cargo_tool;
pub(crate) mod packages;
pub(crate) mod privilege;
pub(crate) mod process;
pub(crate) mod toolchain;

use std::{
    env,
    fmt::Display,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Says in one line what is being done, apart from what the tools print on standard output.
#[expect(clippy::print_stderr, reason = "the one place that writes there")]
pub(crate) fn say(line: impl Display) {
    eprintln!("xtask: {line}");
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Where installed tools are kept: outside `target/`, so that clones share them.
pub(crate) fn cache() -> Result<PathBuf> {
    // The XDG specification says that a relative path is to be ignored.
    env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        // Of the user database, where HOME is not set.
        .or_else(|| env::home_dir().map(|home| home.join(".cache")))
        .map(|dir| dir.join("connect-observer"))
        .context("no folder to keep tools in: set HOME or XDG_CACHE_HOME")
}
