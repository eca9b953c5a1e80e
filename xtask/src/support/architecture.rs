//! Processors that static programs are built for.

use std::process::Command;

use anyhow::Result;

use super::toolchain::STABLE;

/// One, under the name that Rust has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Architecture {
    /// 64-bit Arm
    Aarch64,
    /// AMD64, Intel 64
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// This machine's.
    pub(crate) const HOST: Self = if cfg!(target_arch = "aarch64") {
        Self::Aarch64
    } else {
        Self::X86_64
    };

    /// Of programs that need no library of the machine they run on.
    pub(crate) const fn static_target(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-unknown-linux-musl",
            Self::X86_64 => "x86_64-unknown-linux-musl",
        }
    }

    /// Debian's name for it.
    pub(crate) const fn debian(self) -> &'static str {
        match self {
            Self::Aarch64 => "arm64",
            Self::X86_64 => "amd64",
        }
    }

    /// Has cargo build static programs for it.
    pub(crate) fn build_static(self, cargo: &mut Command) -> Result<()> {
        build_for(self.static_target(), self == Self::HOST, cargo)
    }

    /// Has cargo build static programs for its 32-bit mode; false where the tests know none.
    pub(crate) fn build_static_32_bit(self, cargo: &mut Command) -> Result<bool> {
        match self {
            Self::Aarch64 => Ok(false),
            Self::X86_64 => {
                build_for("i686-unknown-linux-musl", false, cargo)?;
                Ok(true)
            }
        }
    }
}

fn build_for(target: &str, is_host: bool, cargo: &mut Command) -> Result<()> {
    STABLE.ensure_target(target)?;
    cargo.args(["--target", target]);
    if !is_host {
        // The compiler brings its own linker, and all that there is to link; the host's knows the host
        // only.
        let target = target.to_uppercase().replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{target}_LINKER"), "rust-lld");
    }
    Ok(())
}
