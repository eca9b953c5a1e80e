//! The pinned Rust toolchains.

use std::{ffi::OsStr, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    process::{command, command_in_root, on_path, stdout_of, succeed},
    say,
};
use crate::pins;

/// A toolchain of rustup, with the components that the project uses of it.
pub(crate) struct Toolchain {
    name: &'static str,
    components: &'static [&'static str],
}

/// Builds the agent and everything else that runs on the host.
pub(crate) const STABLE: Toolchain = Toolchain {
    name: pins::STABLE,
    components: &["clippy", "rustfmt"],
};

/// Builds the kernel object.
pub(crate) const NIGHTLY: Toolchain = Toolchain {
    name: pins::NIGHTLY,
    components: &["clippy", "rust-src"],
};

impl Toolchain {
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// `program` with this toolchain, in the root of the workspace.
    pub(crate) fn tool(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command_in_root("rustup");
        command.args(["run", self.name]).arg(program);
        // `rustup run` would install a missing toolchain, with everything that is in it.
        command.env("RUSTUP_AUTO_INSTALL", "0");
        command
    }

    /// Installs what is missing.
    pub(crate) fn ensure(&self) -> Result<()> {
        ensure!(
            !on_path("rustup").is_empty(),
            "rustup is missing, which installs the compilers: get it from https://rustup.rs"
        );
        if self.is_complete() {
            return Ok(());
        }
        let components = self.components.join(",");
        say(format_args!(
            "installing Rust {} with {components}",
            self.name
        ));
        let mut install = command("rustup");
        install
            .args(["toolchain", "install", self.name, "--no-self-update"])
            .args(["--profile", "minimal", "--component", &components])
            // Or it would show where in rustup an error arose.
            .env("RUST_BACKTRACE", "0");
        succeed(&mut install, "rustup")
            .with_context(|| format!("cannot install Rust {}; it needs the network", self.name))?;
        if !self.is_complete() {
            bail!(
                "Rust {name} is installed but does not run: `rustup toolchain uninstall {name}`, \
                 then try again",
                name = self.name
            );
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        stdout_of(self.tool("rustc").arg("-V")).is_ok() && self.has(self.components)
    }

    /// Installs the standard library for a target beside the host, if it is missing.
    pub(crate) fn ensure_target(&self, target: &str) -> Result<()> {
        if self.has(&[format!("rust-std-{target}")]) {
            return Ok(());
        }
        say(format_args!("installing Rust's library for {target}"));
        let mut add = command("rustup");
        add.args(["target", "add", "--toolchain", self.name, target])
            .env("RUST_BACKTRACE", "0");
        succeed(&mut add, "rustup")
            .with_context(|| format!("cannot install Rust for {target}; it needs the network"))
    }

    fn has(&self, components: &[impl AsRef<str>]) -> bool {
        let mut list = command("rustup");
        list.args(["component", "list", "--installed", "--toolchain", self.name])
            .env("RUSTUP_AUTO_INSTALL", "0");
        stdout_of(&mut list).is_ok_and(|list| has_all(&list, components))
    }
}

/// Whether rustup's list, which may add a target to a name, has every one of `components`.
fn has_all(list: &str, components: &[impl AsRef<str>]) -> bool {
    components.iter().all(|component| {
        let component = component.as_ref();
        let mut names = list.lines().filter_map(|line| line.strip_prefix(component));
        names.any(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::has_all;

    #[test]
    fn a_component_may_carry_its_target() {
        let list = "clippy-x86_64-unknown-linux-gnu\nrust-src\nrustc-x86_64-unknown-linux-gnu\n";
        assert!(has_all(list, &["clippy", "rust-src"]));
        assert!(!has_all(list, &["rustfmt"]));
        assert!(!has_all("", &["clippy"]));
        let list = "rust-std-x86_64-unknown-linux-gnu\n";
        assert!(!has_all(list, &["rust-std-x86_64-unknown-linux-musl"]));
    }
}
