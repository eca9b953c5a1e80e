//! Starting other programs.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf, absolute},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::root;

/// A command with the environment of whoever typed `cargo xtask`: without what cargo and rustup
/// add for xtask itself, which would lead an inner cargo to the outer toolchain.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_outer_cargo) {
            command.env_remove(name);
        }
    }
    if let Some(paths) = env::var_os("LD_LIBRARY_PATH") {
        match without_outer_libraries(&paths) {
            Some(paths) => command.env("LD_LIBRARY_PATH", paths),
            None => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
    command
}

/// As [`command`], in the root of the workspace.
pub(crate) fn command_in_root(program: impl AsRef<OsStr>) -> Command {
    let mut command = command(program);
    command.current_dir(root());
    // A relative one is relative to where the user stands.
    if let Some(Ok(dir)) = env::var_os("CARGO_TARGET_DIR").map(absolute) {
        command.env("CARGO_TARGET_DIR", dir);
    }
    command
}

fn is_of_outer_cargo(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "CARGO",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_LINKS",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTUP_TOOLCHAIN",
        "RUSTUP_TOOLCHAIN_SOURCE",
        "RUST_RECURSION_COUNT",
        // Not cargo's, but would leave the agent without its kernel object.
        "AYA_BUILD_SKIP",
    ];
    NAMES.contains(&name) || name.starts_with("CARGO_PKG_")
}

/// The library path without the folders of a toolchain or of the build that made xtask.
fn without_outer_libraries(paths: &OsStr) -> Option<OsString> {
    let toolchains = env::var_os("RUSTUP_HOME").map(|home| Path::new(&home).join("toolchains"));
    let build = env::current_exe().ok();
    let build = build.as_deref().and_then(Path::parent);
    let is_outer = |path: &Path| {
        toolchains.as_ref().is_some_and(|dir| path.starts_with(dir))
            || build.is_some_and(|dir| path.starts_with(dir))
    };
    let kept: Vec<_> = env::split_paths(paths)
        .filter(|path| !is_outer(path))
        .collect();
    if kept.is_empty() {
        None
    } else {
        env::join_paths(kept).ok()
    }
}

/// Runs to the end, its output where ours goes; an error that names `what` unless it succeeds.
pub(crate) fn succeed(command: &mut Command, what: &str) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    ensure!(status.success(), "{what} failed: see above");
    Ok(())
}

/// Runs to the end and returns its standard output as text; an error unless it succeeds.
pub(crate) fn stdout_of(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&output_of(command)?).into_owned())
}

/// Runs to the end and returns its standard output; an error unless it succeeds.
pub(crate) fn output_of(command: &mut Command) -> Result<Vec<u8>> {
    command.stdin(Stdio::null());
    let output = command.output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let reason = stderr
            .lines()
            .find(|line| !line.is_empty())
            .unwrap_or_default();
        bail!(
            "{} failed: {reason}",
            command.get_program().to_string_lossy()
        );
    }
    Ok(output.stdout)
}

pub(crate) fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", command.get_program().to_string_lossy())
}

/// Every file of this name on PATH, in its order.
pub(crate) fn on_path(program: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .filter(|file| file.is_file())
        .collect()
}
