//! Tools that cargo installs.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    cache,
    process::{command, on_path, stdout_of, succeed},
    say,
    toolchain::STABLE,
};

/// The `name` of this version: from PATH, else from the cache, where it is installed if need be.
pub(crate) fn ensure(name: &str, version: &str) -> Result<PathBuf> {
    let installed = |file: &PathBuf| {
        stdout_of(command(file).arg("--version"))
            .is_ok_and(|said| said.split_whitespace().any(|word| word == version))
    };
    let dir = cache()?.join(format!("{name}-{version}"));
    let cached = dir.join("bin").join(name);
    let mut known = on_path(name);
    known.push(cached.clone());
    if let Some(file) = known.into_iter().find(installed) {
        return Ok(file);
    }
    STABLE.ensure()?;
    say(format_args!("installing {name} {version}"));
    install(&mut installation(name, version, &dir), name)?;
    Ok(cached)
}

/// A `cargo install` into the folder `root`.
pub(crate) fn installation(name: &str, version: &str, root: &Path) -> Command {
    let mut command = STABLE.tool("cargo");
    command
        .args(["install", name, "--version", version])
        .args(["--locked", "--force", "--root"])
        .arg(root)
        // The project's own settings are not for foreign code.
        .current_dir("/")
        .env_remove("CARGO_TARGET_DIR")
        // Without it there, cargo would advise to add it to PATH.
        .env("PATH", with_bin_of(root));
    command
}

fn with_bin_of(root: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).chain([root.join("bin")]);
    env::join_paths(dirs).unwrap_or(path.clone())
}

/// Runs an [`installation`].
pub(crate) fn install(installation: &mut Command, name: &str) -> Result<()> {
    succeed(installation, "cargo install")
        .with_context(|| format!("cannot install {name}; it needs the network and a C compiler"))
}
