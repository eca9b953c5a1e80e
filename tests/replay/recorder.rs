//! Records anew: the connects of `workload.py`, as the kernel object of this build sees them.

use std::{
    collections::HashMap,
    process::{Command, Stdio},
    str,
};

use clap::Parser as _;
use connect_ebpf::record::KIND_OUTCOME;
use connect_observer::{
    attach::{Attached, Plan, Scope, Survey, attach},
    cli::{self, Cli},
    collect::Collector,
    metrics, preflight,
};
use rustix::thread::gettid;

use crate::{
    here,
    records::{Record, Records},
};

/// Runs the workload and returns what it made, for each of the files.
pub(crate) fn record(files: &[&'static str]) -> Vec<Records> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _context = runtime.enter();
    let (attached, collector) = begin();
    let (titles, records) = run(attached, collector);

    let mut files: Vec<_> = files
        .iter()
        .map(|&name| Records {
            name,
            records: Vec::new(),
        })
        .collect();
    let mut titles = titles.iter();
    let mut told = HashMap::new();
    for bytes in records {
        // When its call was entered says which attempt an outcome is of.
        let entered = bytes.iter().skip(8).take(8).copied().collect::<Vec<_>>();
        let outcome = bytes.starts_with(&KIND_OUTCOME.to_ne_bytes());
        let (name, title) = if outcome {
            let (name, title) = told.get(&entered).copied().expect("a connect before it");
            (name, format!("{title}: its outcome"))
        } else {
            let line = titles.next().expect("a connect for each record");
            let (name, title) = line.split_once('\t').expect("a file and a title");
            told.insert(entered, (name, title));
            (name, title.to_owned())
        };
        let file = files.iter_mut().find(|file| file.name == name);
        let file = file.expect("a file that is known");
        file.records.push(Record { title, bytes });
    }
    assert_eq!(titles.next(), None, "a record for each connect");
    files
}

fn begin() -> (Attached, Collector) {
    let cli = Cli::try_parse_from(["record", "trace"]).unwrap();
    let cli::Command::Trace(options) = cli.command else {
        panic!("not what was typed: {cli:?}");
    };
    let tracefs = preflight::require().unwrap();
    let plan = Plan {
        filters: &options.filters,
        capacity: options.capacity,
        scope: Scope::Lineage,
        survey: &Survey::of(&tracefs),
        means: &options.means,
        settled_only: false,
        metrics: metrics::Plan::RECORDS,
    };
    attach(&tracefs, plan).unwrap()
}

fn run(mut attached: Attached, mut collector: Collector) -> (Vec<String>, Vec<Vec<u8>>) {
    let this_thread = gettid().as_raw_nonzero().get().unsigned_abs();
    attached.follow(this_thread).unwrap();
    let workload = Command::new("python3")
        .arg(here("workload.py"))
        .stdout(Stdio::piped())
        .spawn();
    attached.unfollow(this_thread).unwrap();
    let output = workload.unwrap().wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);

    drop(attached);
    let mut records = Vec::new();
    while collector.drain(usize::MAX, |bytes| records.push(bytes.to_vec())) {}
    assert_eq!(collector.losses().unwrap(), [], "nothing was lost");
    let titles = str::from_utf8(&output.stdout).unwrap().lines();
    (titles.map(str::to_owned).collect(), records)
}
