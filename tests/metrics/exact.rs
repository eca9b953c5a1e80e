//! What is counted is what was called, exactly.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::{
    prometheus::Prometheus,
    scrape::{export, metrics, whole},
    support::{
        agent::{self, Agent},
        scratch::{Scratch, await_mark, mark},
    },
    workload::{self, ANY_ERRNO, FIRST_EACH, FIRST_FAMILIES, FLOOD, MIXED, SETTLED, UNANSWERED},
};

const CONNECTS: &str = "connect_observer_connects_total";
const LOST: &str = "connect_observer_events_lost_total";

/// What a call came to, by its errno.
fn result(errno: &str) -> &'static str {
    match errno {
        "none" => "success",
        "EINPROGRESS" => "in_progress",
        _ => "failure",
    }
}

/// A family as histograms have it.
fn coarse(family: &str) -> &str {
    match family {
        "inet" | "inet6" | "unix" => family,
        _ => "other",
    }
}

/// From family and errno to what a call is filed under.
type Key = fn(&str, &str) -> String;

/// Sums of [`MIXED`] by what a call is filed under.
fn expected(key: Key) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (family, errno, count) in MIXED {
        *sums.entry(key(family, errno)).or_default() += count;
    }
    sums
}

pub(crate) fn prometheus() -> Result<()> {
    const UID: u32 = 61_001;
    let scratch = Scratch::new()?;
    let agent = export(UID, &[])?;
    let prometheus = Prometheus::start(&scratch, &[])?;
    for round in 1..=2 {
        workload::run("mixed", UID)?;
        prometheus.await_scrape()?;
        let times_round = |mut counts: BTreeMap<String, u64>| {
            for count in counts.values_mut() {
                *count *= round;
            }
            counts
        };
        // One label of both, as a query gives back.
        let join = |labels: &str, metric: &str| {
            format!("sum by (key) (label_join({metric}, \"key\", \" \", {labels}))")
        };
        let by_errno: Key = |family, errno| format!("{family} {errno}");
        let by_result: Key = |family, errno| format!("{} {}", coarse(family), result(errno));
        for (query, key) in [
            (join("\"family\", \"errno\"", CONNECTS), by_errno),
            (
                join(
                    "\"family\", \"result\"",
                    "connect_observer_connect_duration_seconds_count",
                ),
                by_result,
            ),
            (
                join(
                    "\"family\", \"result\"",
                    "connect_observer_connect_duration_seconds_bucket{le=\"+Inf\"}",
                ),
                by_result,
            ),
        ] {
            let (counted, made) = (prometheus.by("key", &query)?, times_round(expected(key)));
            ensure!(counted == made, "{query}: {counted:?}, made {made:?}");
        }
        for (labels, metric) in [
            (
                "\"family\", \"outcome\", \"errno\"",
                "connect_observer_outcomes_total",
            ),
            (
                "\"family\", \"outcome\"",
                "connect_observer_handshake_duration_seconds_count",
            ),
        ] {
            let with_errno = labels.contains("errno");
            let settled = SETTLED.iter().map(|&(family, outcome, errno, count)| {
                let errno = if with_errno { errno } else { "" };
                let key = format!("{family} {outcome} {errno}");
                (key.trim_end().to_owned(), count)
            });
            let made = times_round(settled.collect());
            let query = join(labels, metric);
            let counted = prometheus.by("key", &query)?;
            ensure!(counted == made, "{query}: {counted:?}, made {made:?}");
        }
        let in_progress = prometheus.query("connect_observer_attempts_in_progress")?;
        ensure!(
            matches!(in_progress[..], [(_, count)] if whole(count) == 0),
            "{in_progress:?}"
        );
        let lost = prometheus.by("reason", LOST)?;
        ensure!(lost.len() == 14, "not every reason is there: {lost:?}");
        ensure!(lost.values().all(|&lost| lost == 0), "{lost:?}");
    }
    let said = agent.terminate()?.stderr;
    let made = 2 * MIXED.iter().map(|(_, _, count)| count).sum::<u64>();
    ensure!(said.contains(&format!("totals: {made} calls: ")), "{said}");
    Ok(())
}

/// An association fails once, is over with that, and in no histogram.
pub(crate) fn associations() -> Result<()> {
    const UID: u32 = 61_043;
    let agent = export(UID, &[])?;
    workload::run("unanswered", UID)?;
    let metrics = metrics()?;
    for (name, labels, made) in [
        (
            CONNECTS,
            &["transport=\"udp\"", "errno=\"none\""][..],
            UNANSWERED,
        ),
        (
            "connect_observer_outcomes_total",
            &[
                "transport=\"udp\"",
                "outcome=\"failed\"",
                "errno=\"ECONNREFUSED\"",
            ],
            UNANSWERED,
        ),
        ("connect_observer_outcomes_total", &[], UNANSWERED),
        ("connect_observer_attempts_in_progress", &[], 0),
        ("connect_observer_handshake_duration_seconds_count", &[], 0),
        (LOST, &[], 0),
    ] {
        let counted = metrics.sum(name, labels);
        ensure!(
            counted == made,
            "{name} of {labels:?}: {counted}, made {made}"
        );
    }
    agent.terminate()?;
    Ok(())
}

pub(crate) fn native() -> Result<()> {
    const UID: u32 = 61_002;
    let scratch = Scratch::new()?;
    let agent = export(UID, &[])?;
    let prometheus = Prometheus::start(&scratch, &["--enable-feature=native-histograms"])?;
    workload::run("mixed", UID)?;
    prometheus.await_scrape()?;
    let query = "histogram_count(sum by (result) (connect_observer_connect_duration_seconds))";
    let counted = prometheus.by("result", query)?;
    let made = expected(|_, errno| result(errno).to_owned());
    ensure!(counted == made, "{counted:?}, made {made:?}");
    // In its buckets too, not only by its count.
    let query = "histogram_fraction(0, 1000, sum(connect_observer_connect_duration_seconds))";
    let fraction = prometheus.query(query)?;
    ensure!(
        matches!(fraction[..], [(_, fraction)] if (fraction - 1.0).abs() < 1e-9),
        "{fraction:?}"
    );
    agent.terminate()?;
    Ok(())
}

/// `run` observes its command and nobody else, by ancestry and not by user.
pub(crate) fn run() -> Result<()> {
    let scratch = Scratch::new()?;
    let events = scratch.file("events");
    let mut words = vec!["run", "--listen", "127.0.0.1:9788", "--output", "json"];
    let events = events.to_string_lossy();
    words.extend(["--output-file", &events, "--", "sh", "-c"]);
    // Stays until the metrics have been looked at.
    let workload = workload::words("mixed", 0)?.join(" ");
    let (done, go) = (scratch.file("done"), scratch.file("go"));
    let script = format!(
        "{workload} && touch {} && while ! test -e {}; do sleep 0.01; done",
        done.display(),
        go.display()
    );
    words.push(&script);
    let agent = Agent::start(&mut agent::command(words))?;
    agent.says("note: metrics on http://127.0.0.1:9788/metrics")?;
    workload::run("one", 0)?;
    await_mark(scratch.path(), "done")?;
    let counted = metrics()?;
    mark(scratch.path(), "go")?;
    for (family, errno, count) in MIXED {
        let labels = [format!("family=\"{family}\""), format!("errno=\"{errno}\"")];
        let counted = counted.sum(CONNECTS, &labels.each_ref().map(String::as_str));
        ensure!(counted == *count, "{labels:?}: {counted}, made {count}");
    }
    agent.succeed()?;
    Ok(())
}

pub(crate) fn flood() -> Result<()> {
    const UID: u32 = 61_003;
    /// Records that the smallest ring buffer has room for.
    const ROOM: u64 = (64 << 10) / 224;
    let scratch = Scratch::new()?;
    let events = scratch.file("events");
    let events = events.to_string_lossy();
    let options = ["--output", "json", "-o", &events, "--ring-kib", "64"];
    let agent = export(UID, &options)?;
    workload::run("flood", UID)?;
    let counted = metrics()?.sum(CONNECTS, &[]);
    ensure!(counted == FLOOD, "{counted} counted, {FLOOD} made");
    let said = agent.terminate()?.stderr;
    let totals = said.lines().find(|line| line.starts_with("totals: "));
    let number = |name: &str| -> Result<u64> {
        let text = totals.and_then(|totals| totals.split_once(name));
        let digits = text.map_or("", |(_, text)| text);
        let number = digits.split(|char: char| !char.is_ascii_digit()).next();
        Ok(number.unwrap_or_default().parse()?)
    };
    let (seen, lost) = (number("; events: ")?, number("; LOST ")?);
    ensure!(seen + lost == FLOOD, "{FLOOD} made: {said}");
    ensure!(lost > 10 * ROOM, "only {lost} lost");
    Ok(())
}

pub(crate) fn first_of_kind() -> Result<()> {
    const UID: u32 = 61_004;
    let agent = export(UID, &[])?;
    workload::run("first", UID)?;
    let metrics = metrics()?;
    let counted = metrics.of(CONNECTS, &["errno=\"EBADF\""]);
    ensure!(
        counted.len() == FIRST_FAMILIES.len()
            && counted.iter().all(|&(_, count)| whole(count) == FIRST_EACH),
        "{counted:?}"
    );
    agent.terminate()?;
    Ok(())
}

/// Any process can return any errno to itself: those without a name share a series.
pub(crate) fn any_errno() -> Result<()> {
    const UID: u32 = 61_005;
    let agent = export(UID, &["--label", "process"])?;
    workload::run("errnos", UID)?;
    let metrics = metrics()?;
    let series = metrics.of(CONNECTS, &[]);
    let sum = metrics.sum(CONNECTS, &[]);
    ensure!(sum == u64::from(ANY_ERRNO), "{sum} counted: {series:?}");
    ensure!(series.len() == 134 + 1, "{} series", series.len());
    let other = metrics.sum(CONNECTS, &["errno=\"other\""]);
    ensure!(other == u64::from(ANY_ERRNO) - 134, "{other} others");
    agent.terminate()?;
    Ok(())
}
