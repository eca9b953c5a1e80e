//! Labels that processes choose: bounded, true, and harmless.

use anyhow::{Result, ensure};

use crate::{
    prometheus::Prometheus,
    scrape::{Metrics, export, memory_kib, metrics, whole},
    support::{scratch::Scratch, truth::escape, wait},
    workload::{self, HOSTILE, HOSTILE_EACH, NAMES, PORTS, TRANSPORTS},
};

const LABELLED: &str = "connect_observer_labelled_connects_total";
const OVERFLOW: &str = "connect_observer_series_overflow_total";
/// The cap of these tests.
const CAP: u64 = 500;
/// How much the agent's memory may grow in a flood of labels: what a scrape of so many series needs,
/// and what the allocator keeps of it.
const GROWTH_KIB: u64 = 4 << 10;

/// Every call is in a series or in the overflow, and there are no more series than allowed.
fn assert_capped(metrics: &Metrics, made: u64) -> Result<()> {
    let series = metrics.of(LABELLED, &[]);
    ensure!(
        series.len() as u64 == CAP + 1,
        "{} series, cap {CAP}",
        series.len()
    );
    let (sum, overflow) = (metrics.sum(LABELLED, &[]), metrics.sum(OVERFLOW, &[]));
    ensure!(sum == made, "{sum} counted, {made} made");
    let shown = metrics.sum(LABELLED, &["overflow=\"true\""]);
    ensure!(
        overflow == shown && overflow == made - CAP,
        "{overflow} and {shown} beyond the cap"
    );
    let total = metrics.sum("connect_observer_connects_total", &[]);
    ensure!(total == made, "{total} in total, {made} made");
    Ok(())
}

fn assert_flat(uid: u32, label: &str, play: &str, made: u64) -> Result<()> {
    let options = ["--label", label, "--max-series", "500"];
    let agent = export(uid, &options)?;
    metrics()?;
    let before = memory_kib(&agent)?;
    workload::run(play, uid)?;
    assert_capped(&metrics()?, made)?;
    let after = agent.status_kib("VmHWM:")?;
    ensure!(
        after < before + GROWTH_KIB,
        "memory was {before} KiB, and is {after} KiB"
    );
    eprintln!("{play}: memory {before} KiB before, at most {after} KiB after {made} calls");
    agent.terminate()?;
    Ok(())
}

pub(crate) fn names() -> Result<()> {
    assert_flat(61_011, "process", "names", NAMES)
}

pub(crate) fn ports() -> Result<()> {
    assert_flat(61_012, "peer-port,peer-address", "ports", PORTS.into())
}

pub(crate) fn hostile() -> Result<()> {
    const UID: u32 = 61_013;
    let scratch = Scratch::new()?;
    let agent = export(UID, &["--label", "process,peer-address"])?;
    let prometheus = Prometheus::start(&scratch, &[])?;
    workload::run("hostile", UID)?;
    prometheus.await_scrape()?;
    let counted = prometheus.query(LABELLED)?;
    ensure!(counted.len() == HOSTILE.len(), "{counted:?}");
    for (name, path) in HOSTILE {
        let (name, path) = (shown(name), shown(path));
        let found = counted.iter().find(|(labels, _)| {
            labels.get("process") == Some(&name) && labels.get("peer_address") == Some(&path)
        });
        ensure!(
            found.is_some_and(|&(_, count)| whole(count) == HOSTILE_EACH),
            "no {name} to {path} in {counted:?}"
        );
    }
    // Nothing of it has become a series, a label or a value of something else.
    let total = prometheus.query("sum(connect_observer_connects_total)")?;
    let made = HOSTILE_EACH * HOSTILE.len() as u64;
    ensure!(
        matches!(total[..], [(_, total)] if whole(total) == made),
        "{total:?}"
    );
    agent.terminate()?;
    Ok(())
}

/// As the contract shows bytes. Only some of these cases are printable beyond ASCII.
fn shown(bytes: &[u8]) -> String {
    let text = str::from_utf8(bytes).unwrap_or_default();
    if text.contains(['µ', 'ä']) {
        text.to_owned()
    } else {
        escape(bytes)
    }
}

pub(crate) fn ttl() -> Result<()> {
    const UID: u32 = 61_014;
    // Long enough for a scrape on a machine that is busy with other tests.
    let options = ["--label", "process", "--series-ttl", "3s"];
    let agent = export(UID, &options)?;
    for _ in 0..2 {
        workload::run("one", UID)?;
        let counted = metrics()?.sum(LABELLED, &[]);
        ensure!(counted == 1, "{counted} counted");
        wait::until_true("the series to go away", || {
            Ok(metrics()?.of(LABELLED, &[]).is_empty())
        })?;
    }
    let total = metrics()?.sum("connect_observer_connects_total", &[]);
    ensure!(total == 2, "{total} in total");
    agent.terminate()?;
    Ok(())
}

/// One series for one peer by one transport, however its address is passed.
pub(crate) fn transports() -> Result<()> {
    const UID: u32 = 61_016;
    let agent = export(UID, &["--label", "peer-address,peer-port"])?;
    workload::run("transports", UID)?;
    let metrics = metrics()?;
    let series = metrics.of(LABELLED, &[]);
    ensure!(series.len() == TRANSPORTS.len(), "{series:?}");
    for (transport, family, errno, peer, count) in TRANSPORTS {
        let labels = [
            format!("transport=\"{transport}\""),
            format!("family=\"{family}\""),
            format!("errno=\"{errno}\""),
            format!("peer_address=\"{peer}\""),
        ];
        let labels = labels.each_ref().map(String::as_str);
        let counted = metrics.sum(LABELLED, &labels);
        ensure!(counted == count, "{labels:?}: {counted}: {series:?}");
        // And so it is where nobody asks for labels.
        let counted = metrics.sum("connect_observer_connects_total", &labels[..3]);
        ensure!(counted == count, "{labels:?}: {counted} in total");
    }
    agent.terminate()?;
    Ok(())
}

/// Without a look at the socket, only TCP's handshake says what it is; and a call is counted once all the same.
pub(crate) fn unknown_transports() -> Result<()> {
    const UID: u32 = 61_017;
    let agent = export(UID, &["--label", "peer-address", "--skip-socket"])?;
    workload::run("transports", UID)?;
    let metrics = metrics()?;
    let made: u64 = TRANSPORTS.iter().map(|(.., count)| count).sum();
    let labelled = metrics.sum(LABELLED, &[]);
    ensure!(labelled == made, "{labelled} by label, {made} made");
    let tcp = metrics.sum(LABELLED, &["transport=\"tcp\"", "family=\"inet\""]);
    ensure!(tcp == 5, "{tcp} of TCP");
    let unknown = metrics.sum(LABELLED, &["transport=\"unknown\""]);
    ensure!(unknown == made - tcp, "{unknown} unknown");
    agent.terminate()?;
    Ok(())
}

/// A filter of family counts what it shows.
pub(crate) fn of_a_family() -> Result<()> {
    const UID: u32 = 61_018;
    for (family, address) in [("inet", "127.0.0.1"), ("inet6", "::1")] {
        let agent = export(UID, &["--family", family, "--label", "peer-address"])?;
        workload::run("transports", UID)?;
        let metrics = metrics()?;
        let of = TRANSPORTS.iter().filter(|(_, of, ..)| *of == family);
        let made: u64 = of.map(|(.., count)| count).sum();
        let label = format!("peer_address=\"{address}\"");
        for counted in [
            metrics.sum(LABELLED, &[]),
            metrics.sum(LABELLED, &[&label]),
            metrics.sum("connect_observer_connects_total", &[]),
        ] {
            ensure!(counted == made, "{family}: {counted} counted, {made} made");
        }
        let settled = metrics.sum("connect_observer_outcomes_total", &[]);
        let tcp = if family == "inet" { 5 } else { 0 };
        ensure!(settled == tcp, "{family}: {settled} settled");
        agent.terminate()?;
    }
    Ok(())
}

/// Whoever scrapes connects to the agent: no series for that, but a count.
pub(crate) fn own_port() -> Result<()> {
    const UID: u32 = 61_015;
    let agent = export(UID, &["--label", "peer-port"])?;
    workload::run("own_port", UID)?;
    let metrics = metrics()?;
    let labelled = metrics.sum(LABELLED, &[]);
    ensure!(labelled == 2, "{labelled} by label");
    let total = metrics.sum("connect_observer_connects_total", &[]);
    ensure!(total == 10, "{total} in total");
    agent.terminate()?;
    Ok(())
}
