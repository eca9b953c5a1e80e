//! Install what building needs.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Result, ensure};

use crate::{
    pins,
    support::{
        bpf_linker,
        process::on_path,
        say,
        toolchain::{NIGHTLY, STABLE},
    },
};

/// What has been found or installed.
pub(crate) struct Tools {
    bpf_linker: PathBuf,
}

pub(crate) fn run() -> Result<()> {
    let tools = ensure_tools()?;
    say(format_args!(
        "ready: Rust {}, {}, {}",
        pins::STABLE,
        pins::NIGHTLY,
        tools.bpf_linker.display()
    ));
    Ok(())
}

/// Installs what is missing of the compilers and bpf-linker; quick and silent when nothing is.
pub(crate) fn ensure_tools() -> Result<Tools> {
    ensure!(
        env::var_os("CC").is_some()
            || ["cc", "gcc", "clang"]
                .iter()
                .any(|cc| !on_path(cc).is_empty()),
        "a C compiler is missing, with which Rust links: install gcc and libc6-dev, or what your \
         distribution calls them"
    );
    STABLE.ensure()?;
    NIGHTLY.ensure()?;
    let bpf_linker = bpf_linker::ensure()?;
    Ok(Tools { bpf_linker })
}

impl Tools {
    /// cargo for the agent, whose build script builds the kernel object too.
    pub(crate) fn cargo(&self) -> Command {
        self.with_bpf_linker(STABLE.tool("cargo"))
    }

    /// Names bpf-linker by its path: PATH would not do, as rustup puts cargo's own folder, which
    /// may hold another bpf-linker, before everything else.
    pub(crate) fn with_bpf_linker(&self, mut command: Command) -> Command {
        command.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.bpf_linker);
        command
    }
}
