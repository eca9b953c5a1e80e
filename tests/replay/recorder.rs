//! Records anew: the connects of `workload.py`, as the kernel object of this build sees them.

use std::{
    collections::HashMap,
    process::{Command, Stdio},
    str,
};

use connect_ebpf::code::Kind;
use connect_observer::{
    attach::{attach, link::Links, maps::Lineage, survey::Survey},
    collect::Collector,
    observation::{Color, Destination, Events, Format, Observation, OnFailure, Order, Whom},
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
    let (titles, records) = observe();

    let mut files: Vec<_> = files
        .iter()
        .map(|&name| Records {
            name,
            records: Vec::new(),
        })
        .collect();
    let mut titles = titles.iter();
    let mut reported = HashMap::new();
    for bytes in records {
        // When its call was entered says which attempt an outcome is of.
        let entered = bytes.iter().skip(8).take(8).copied().collect::<Vec<_>>();
        let outcome = bytes.starts_with(&u16::from(Kind::Outcome.number()).to_ne_bytes());
        let (name, title) = if outcome {
            let (name, title) = reported
                .get(&entered)
                .copied()
                .expect("a connect before it");
            (name, format!("{title}: its outcome"))
        } else {
            let line = titles.next().expect("a connect for each record");
            let (name, title) = line.split_once('\t').expect("a file and a title");
            reported.insert(entered, (name, title));
            (name, title.to_owned())
        };
        let file = files.iter_mut().find(|file| file.name == name);
        let file = file.expect("a file that is known");
        file.records.push(Record { title, bytes });
    }
    assert_eq!(titles.next(), None, "a record for each connect");
    files
}

/// The titles that the workload printed, and the records of its connects.
fn observe() -> (Vec<String>, Vec<Vec<u8>>) {
    let order = Order {
        words: vec!["python3".into(), here("workload.py").into()],
        user: None,
        follow: false,
    };
    let observation = Observation {
        events: Some(Events {
            format: Format::Json,
            to: Destination::Stdout,
            on_failure: OnFailure::End,
            color: Color::Never,
            summary: false,
            explain: false,
            settled: false,
        }),
        ..Observation::of(Whom::Command(order))
    };
    let tracefs = preflight::require().unwrap();
    let mut attached = attach(&tracefs, &observation, &Survey::of(&tracefs), None).unwrap();
    attached.links.go_live(attached.switch).unwrap();
    let collector = Collector::new(attached.records, attached.watched).unwrap();
    run(attached.links, attached.lineage, collector)
}

fn run(
    links: Links,
    mut lineage: Lineage,
    mut collector: Collector,
) -> (Vec<String>, Vec<Vec<u8>>) {
    let this_thread = gettid().as_raw_nonzero().get().unsigned_abs();
    lineage.follow(this_thread).unwrap();
    let workload = Command::new("python3")
        .arg(here("workload.py"))
        .stdout(Stdio::piped())
        .spawn();
    lineage.unfollow(this_thread).unwrap();
    let output = workload.unwrap().wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);

    drop(links);
    let mut records = Vec::new();
    while collector.drain(usize::MAX, |bytes| records.push(bytes.to_vec())) {}
    assert_eq!(collector.losses().unwrap(), [], "nothing was lost");
    let titles = str::from_utf8(&output.stdout).unwrap().lines();
    (titles.map(str::to_owned).collect(), records)
}
