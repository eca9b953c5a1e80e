//! What stands ready in `deploy/`.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    prometheus::Prometheus, promtool, scrape::export, support::scratch::Scratch, workload,
};

/// Rules and their tests.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus");
const DASHBOARD: &str = include_str!("../../deploy/grafana/connect-observer.json");

pub(crate) fn rules() -> Result<()> {
    let directory = Path::new(DIRECTORY);
    promtool::run(directory, &["check", "config", "prometheus.yml"], "")?;
    let tests = "connect-observer.rules.test.yml";
    let said = promtool::run(directory, &["test", "rules", tests], "")?;
    ensure!(said.contains("SUCCESS"), "{said}");
    Ok(())
}

/// The metrics that this machine need not have: no attempt is followed yet, and the kernel's BPF
/// statistics are off.
const MAY_BE_EMPTY: [&str; 1] = ["hook_run"];

pub(crate) fn dashboard() -> Result<()> {
    const UID: u32 = 61_041;
    let scratch = Scratch::new()?;
    let events = scratch.file("events");
    let events = events.to_string_lossy();
    let options = [
        "--output",
        "json",
        "-o",
        &events,
        "--label",
        "process,peer-address,peer-port",
    ];
    let agent = export(UID, &options)?;
    workload::run("mixed", UID)?;
    let prometheus = Prometheus::start(&scratch, &[])?;
    // A rate needs a difference.
    workload::run("mixed", UID)?;
    prometheus.await_scrape()?;

    let dashboard: Value = serde_json::from_str(DASHBOARD)?;
    let variables = dashboard["templating"]["list"]
        .as_array()
        .context("no variables")?;
    let names: Vec<_> = variables.iter().map(|variable| &variable["name"]).collect();
    ensure!(names == ["datasource", "instance"], "{names:?}");
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().context("no panels")? {
        let Some(targets) = panel["targets"].as_array() else {
            ensure!(panel["type"] == "row", "a panel without queries: {panel}");
            continue;
        };
        for target in targets {
            ensure!(target["datasource"]["uid"] == "${datasource}", "{target}");
            let query = target["expr"].as_str().context("no query")?;
            let query = query
                .replace("$__rate_interval", "1m")
                .replace("$__range", "1h")
                .replace("$instance", ".*");
            ensure!(
                !query.contains('$'),
                "a variable that is unknown here: {query}"
            );
            let found = prometheus.query(&query)?;
            let may_be_empty = MAY_BE_EMPTY.iter().any(|metric| query.contains(metric));
            ensure!(
                !found.is_empty() || may_be_empty,
                "nothing is found by {query}"
            );
            queries += 1;
        }
    }
    ensure!(queries > 20, "only {queries} queries");
    agent.terminate()?;
    Ok(())
}
