//! The directory of one test: where the agent writes its events, where the observed program writes
//! its truth, and where both sides leave each other marks.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::wait;

/// Removed with everything in it when the test has ended.
#[derive(Debug)]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("connect-observer-")
            .tempdir()
            .context("cannot make a scratch directory")?;
        Ok(Self(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The text of a file; empty if there is no such file.
    pub(crate) fn text(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        if !path.exists() {
            return Ok(String::new());
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))
    }
}

/// Leaves a mark.
pub(crate) fn mark(directory: &Path, name: &str) -> Result<()> {
    File::create(directory.join(name)).with_context(|| format!("cannot leave the mark {name}"))?;
    Ok(())
}

/// Waits for the other side's mark.
pub(crate) fn await_mark(directory: &Path, name: &str) -> Result<()> {
    let path = directory.join(name);
    wait::until_true(&format!("the mark {name}"), || Ok(path.exists()))
}
