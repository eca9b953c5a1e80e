//! A Prometheus server of a test's own: in its network namespace, with its own data folder.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    http,
    scrape::{ADDRESS, whole},
    support::{process::Guard, scratch::Scratch, tool::PROMETHEUS, wait},
};

/// Where it listens.
const LISTEN: &str = "127.0.0.1:9090";

/// Series with labels and value.
pub(crate) type Vector = Vec<(BTreeMap<String, String>, f64)>;

pub(crate) struct Prometheus {
    _process: Guard,
    address: &'static str,
}

impl Prometheus {
    /// Scrapes the agent five times per second.
    pub(crate) fn start(scratch: &Scratch, flags: &[&str]) -> Result<Self> {
        let configuration = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs:\n\
             - job_name: connect-observer\n\
             \x20 static_configs: [{{targets: ['{ADDRESS}']}}]\n"
        );
        let configured = scratch.file("prometheus.yml");
        fs::write(&configured, configuration)?;
        let log = File::create(scratch.file("prometheus.log"))?;
        let mut process = Guard::start(
            Command::new(PROMETHEUS.path()?)
                .arg(format!("--config.file={}", configured.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    scratch.file("prometheus").display()
                ))
                .arg(format!("--web.listen-address={LISTEN}"))
                .args(flags)
                .stdout(Stdio::null())
                .stderr(log),
        )?;
        wait::until_true("Prometheus to be ready", || {
            let ended = process.has_ended()?;
            ensure!(
                ended.is_none(),
                "Prometheus has ended: {}",
                scratch.text("prometheus.log")?
            );
            Ok(http::get(LISTEN, "/-/ready", &[]).is_ok_and(|answer| answer.status == 200))
        })?;
        let prometheus = Self {
            _process: process,
            address: LISTEN,
        };
        prometheus.await_scrape()?;
        Ok(prometheus)
    }

    /// Waits for a scrape that begins from now on.
    pub(crate) fn await_scrape(&self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        wait::until_true("a scrape", || {
            // Of the series itself, as the timestamp of an expression is that of the query.
            let scraped = self.query("max(timestamp(connect_observer_build_info))")?;
            Ok(scraped.iter().any(|&(_, at)| at > now))
        })
    }

    pub(crate) fn query(&self, query: &str) -> Result<Vector> {
        let target = format!("/api/v1/query?query={}", http::encoded(query));
        let answer = http::get(self.address, &target, &[])?;
        ensure!(answer.status == 200, "{query}: {}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body)?;
        let result = answer["data"]["result"].as_array().context("no vector")?;
        result
            .iter()
            .map(|series| {
                let labels = serde_json::from_value(series["metric"].clone())?;
                let value = series["value"][1].as_str().context("no value")?;
                Ok((labels, value.parse()?))
            })
            .collect()
    }

    /// Counts by the value of one label.
    pub(crate) fn by(&self, label: &str, query: &str) -> Result<BTreeMap<String, u64>> {
        let vector = self.query(query)?;
        let pairs = vector.into_iter().map(|(mut labels, value)| {
            let label = labels.remove(label).context("no such label")?;
            Ok((label, whole(value)))
        });
        pairs.collect()
    }
}
