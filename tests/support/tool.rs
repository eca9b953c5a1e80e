//! Programs that the tests start besides the agent and themselves: all of them.

use std::{env, path::PathBuf};

use anyhow::{Result, bail};

pub(crate) struct Tool {
    /// What is started.
    pub(crate) name: &'static str,
    /// The Debian package that has it.
    pub(crate) package: &'static str,
}

pub(crate) const CURL: Tool = Tool::new("curl", "curl");
pub(crate) const GETENT: Tool = Tool::new("getent", "libc-bin");
pub(crate) const PROMETHEUS: Tool = Tool::new("prometheus", "prometheus");
pub(crate) const PROMTOOL: Tool = Tool::new("promtool", "prometheus");
pub(crate) const PYTHON: Tool = Tool::new("python3", "python3");
pub(crate) const STRACE: Tool = Tool::new("strace", "strace");
pub(crate) const SYSTEMD_ANALYZE: Tool = Tool::new("systemd-analyze", "systemd");

impl Tool {
    const fn new(name: &'static str, package: &'static str) -> Self {
        Self { name, package }
    }

    /// Its path. A missing tool is a failure: the test has not been run.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        let Self { name, package } = self;
        let directories = env::var_os("PATH").unwrap_or_default();
        match env::split_paths(&directories)
            .map(|directory| directory.join(name))
            .find(|path| path.is_file())
        {
            Some(path) => Ok(path),
            None => bail!("this test starts {name}, which is missing: install package {package}"),
        }
    }
}
