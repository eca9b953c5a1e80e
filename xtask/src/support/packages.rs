//! Packages of Debian and its relatives.

use std::{collections::BTreeSet, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{
    privilege::as_root,
    process::{on_path, succeed},
    say,
};

/// A command, and the package that has it.
pub(crate) struct Package {
    pub(crate) command: &'static str,
    pub(crate) name: &'static str,
}

/// Installs the packages whose command is missing. `who` starts them, for the message.
pub(crate) fn ensure(packages: &[Package], who: &str) -> Result<()> {
    let missing: BTreeSet<_> = packages
        .iter()
        .filter(|package| on_path(package.command).is_empty())
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().copied().collect::<Vec<_>>().join(" ");
    ensure!(
        !on_path("apt-get").is_empty(),
        "{who} start programs that are missing, and no apt-get is here to install them: {names}"
    );
    say(format_args!("installing {names}"));
    // An update that failed in part may do, so the installation decides.
    update().unwrap_or_else(say);
    let mut install = apt_get()?;
    install
        .args(["install", "-y", "--no-install-recommends"])
        .args(missing);
    succeed(&mut install, "apt-get install")
        .with_context(|| format!("{who} start programs that are missing: {names}"))
}

/// Has the machine learn what its package sources have.
pub(crate) fn update() -> Result<()> {
    succeed(apt_get()?.arg("update"), "apt-get update")
}

fn apt_get() -> Result<Command> {
    let mut command = as_root("env")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    Ok(command)
}
