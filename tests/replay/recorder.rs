//! Records anew: the connects of `workload.py`, as the kernel object of this build sees them.

use std::{
    process::{Command, Stdio},
    str,
};

use clap::Parser as _;
use connect_observer::{
    attach::{Attached, Scope, attach},
    cli::{self, Cli},
    collect::Collector,
    metrics::Plan,
    preflight,
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

    assert_eq!(titles.len(), records.len(), "a record for each connect");
    let mut files: Vec<_> = files
        .iter()
        .map(|&name| Records {
            name,
            records: Vec::new(),
        })
        .collect();
    for (line, bytes) in titles.iter().zip(records) {
        let (name, title) = line.split_once('\t').expect("a file and a title");
        let title = title.to_owned();
        let file = files.iter_mut().find(|file| file.name == name);
        let file = file.expect("a file that is known");
        file.records.push(Record { title, bytes });
    }
    files
}

fn begin() -> (Attached, Collector) {
    let cli = Cli::try_parse_from(["record", "trace"]).unwrap();
    let cli::Command::Trace(options) = cli.command else {
        panic!("not what was typed: {cli:?}");
    };
    let tracefs = preflight::require().unwrap();
    attach(
        &tracefs,
        &options.filters,
        options.capacity,
        Scope::Lineage,
        Plan::RECORDS,
    )
    .unwrap()
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
