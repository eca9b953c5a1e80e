//! Programs that the tests start besides the agent and themselves: all of them, here and in
//! `metrics/tool.rs`.

use std::{env, path::PathBuf};

use anyhow::{Result, bail};

pub(crate) struct Tool {
    /// What is started.
    pub(crate) name: &'static str,
    /// The Debian package that has it.
    pub(crate) package: &'static str,
}

pub(crate) const CURL: Tool = Tool {
    name: "curl",
    package: "curl",
};
pub(crate) const GETENT: Tool = Tool {
    name: "getent",
    package: "libc-bin",
};
pub(crate) const PYTHON: Tool = Tool {
    name: "python3",
    package: "python3",
};
pub(crate) const STRACE: Tool = Tool {
    name: "strace",
    package: "strace",
};

impl Tool {
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
