//! The agent, serving metrics in the test's network namespace.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::{
    http::{self, Answer},
    support::{agent::Guard, scratch::Scratch, wait},
};

/// Where it listens unless told otherwise.
pub(crate) const ADDRESS: &str = "127.0.0.1:9788";

/// Path of the agent: `CONNECT_OBSERVER`, else the one that cargo has built.
pub(crate) fn path() -> PathBuf {
    env::var_os("CONNECT_OBSERVER").map_or_else(
        || env!("CARGO_BIN_EXE_connect-observer").into(),
        PathBuf::from,
    )
}

/// The running agent.
pub(crate) struct Agent {
    process: Guard,
    stderr: PathBuf,
    /// Where it serves.
    address: &'static str,
}

impl Agent {
    /// `connect-observer export`, for calls of this user.
    pub(crate) fn export(scratch: &Scratch, uid: u32, options: &[&str]) -> Result<Self> {
        let uid = uid.to_string();
        let words = [&["export", "--uid", &uid], options].concat();
        let mut agent = Self::start(scratch, &words, &[])?;
        agent.ready()?;
        Ok(agent)
    }

    pub(crate) fn start(
        scratch: &Scratch,
        words: &[&str],
        environment: &[(&str, &Path)],
    ) -> Result<Self> {
        let stderr = scratch.file("stderr");
        let process = Guard::start(
            Command::new(path())
                .args(words)
                .envs(environment.iter().copied())
                .stdout(Stdio::null())
                .stderr(File::create(&stderr)?),
        )?;
        Ok(Self {
            process,
            stderr,
            address: ADDRESS,
        })
    }

    /// Waits until it says that its hooks are live.
    pub(crate) fn ready(&mut self) -> Result<()> {
        self.says("ready")
    }

    /// Waits until a line of its standard error begins like this.
    pub(crate) fn says(&mut self, beginning: &str) -> Result<()> {
        wait::until_true(&format!("a line that begins {beginning}"), || {
            let said = self.stderr()?;
            if said.lines().any(|line| line.starts_with(beginning)) {
                return Ok(true);
            }
            let ended = self.process.has_ended()?;
            ensure!(ended.is_none(), "the agent has ended early: {said}");
            Ok(false)
        })
    }

    pub(crate) fn stderr(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.stderr)?)
    }

    /// What it serves now.
    pub(crate) fn metrics(&self) -> Result<Metrics> {
        let Answer { status, body, .. } = http::get(self.address, "/metrics", &[])?;
        ensure!(status == 200, "status {status}: {body}");
        Metrics::read(&body)
    }

    /// Its memory now, in KiB; the peak is measured from here on.
    pub(crate) fn memory_kib(&self) -> Result<u64> {
        let pid = self.process.pid()?.as_raw_nonzero();
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        self.status_kib("VmRSS:")
    }

    /// The most memory since [`Self::memory_kib`], in KiB.
    pub(crate) fn peak_memory_kib(&self) -> Result<u64> {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, line: &str) -> Result<u64> {
        let pid = self.process.pid()?.as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|known| known.strip_prefix(line));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.context("no such line")?.trim().parse()?)
    }

    /// Ends it as systemd does. Returns its standard error.
    pub(crate) fn end(self) -> Result<String> {
        self.process.signal(Signal::TERM)?;
        self.succeed()
    }

    /// Waits for its end, which must be a success.
    pub(crate) fn succeed(self) -> Result<String> {
        let Self {
            process, stderr, ..
        } = self;
        let status = process.end("the agent")?;
        let said = fs::read_to_string(stderr)?;
        ensure!(status.success(), "the agent ended with {status}:\n{said}");
        Ok(said)
    }
}

/// Prometheus text, read.
#[derive(Debug)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn read(text: &str) -> Result<Self> {
        let mut values = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').context("no value")?;
            let before = values.insert(series.to_owned(), value.parse()?);
            ensure!(before.is_none(), "twice: {series}");
        }
        Ok(Self(values))
    }

    /// Series of this name that have all of these in their labels.
    pub(crate) fn of(&self, name: &str, labels: &[&str]) -> Vec<(&str, f64)> {
        self.0
            .iter()
            .filter(|(series, _)| {
                let (known, set) = series.split_once('{').unwrap_or((series, ""));
                known == name && labels.iter().all(|label| set.contains(label))
            })
            .map(|(series, &value)| (series.as_str(), value))
            .collect()
    }

    /// The sum of these; counts are whole numbers.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        let sum: f64 = self.of(name, labels).iter().map(|(_, value)| value).sum();
        whole(sum)
    }
}

/// A count as a number of floating point, turned back.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of tests are small and whole"
)]
pub(crate) const fn whole(count: f64) -> u64 {
    count as u64
}
