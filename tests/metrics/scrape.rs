//! What the agent serves in the test's network namespace, and an agent that serves it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use crate::{
    http::{self, Answer},
    support::agent::{self, Agent},
};

/// Where it listens by default.
pub(crate) const ADDRESS: &str = "127.0.0.1:9788";

/// Starts `connect-observer export` for calls of this user, and waits until its hooks are live.
pub(crate) fn export(uid: u32, options: &[&str]) -> Result<Agent> {
    let uid = uid.to_string();
    let words = [&["export", "--uid", &uid], options].concat();
    let agent = Agent::start(&mut agent::command(words))?;
    agent.ready()?;
    Ok(agent)
}

/// What an agent serves now.
pub(crate) fn metrics() -> Result<Metrics> {
    let Answer { status, body, .. } = http::get(ADDRESS, "/metrics", &[])?;
    ensure!(status == 200, "status {status}: {body}");
    Metrics::read(&body)
}

/// The memory of an agent now, in KiB; its peak, `VmHWM`, is measured from here on.
pub(crate) fn memory_kib(agent: &Agent) -> Result<u64> {
    let pid = agent.pid()?.as_raw_nonzero();
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    agent.status_kib("VmRSS:")
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
