//! A reader of standard output who does not read: it costs neither memory nor the observed program,
//! only records, and those are counted.

use std::io::{Read as _, pipe};

use anyhow::{Result, ensure};

use super::flood::{MADE, assert_accounted, flood};
use crate::support::{
    case::Case,
    observation::Observation,
    observer::{Command, Observer, Sink},
    scratch::{Scratch, await_mark},
};

pub(crate) const CASES: &[Case] =
    &[Case::new("stalled_reader_costs_only_counted_records", stalled, flood).alone()];

/// Calls of each thread: their lines would be some 90 MB, a multiple of [`MEMORY_KIB`].
const CALLS: &str = "50000";
/// What the agent may use at most: the ring buffer, which is mapped twice, its queue of 4 MiB, the
/// kernel object and itself.
const MEMORY_KIB: u64 = 40 << 10;

fn stalled(case: &Case) -> Result<()> {
    let scratch = Scratch::new()?;
    let (mut reader, writer) = pipe()?;
    let command = Command::run(&[], case.command(&scratch, CALLS)?);
    let agent = Observer::start_with(&scratch, &command, "json", Sink::Stdout(writer.into()))?;
    // Nobody has read a byte, and the flood comes to its end nevertheless.
    await_mark(scratch.path(), "flooded")?;
    let memory = agent.status_kib("VmHWM:")?;
    ensure!(memory < MEMORY_KIB, "the agent has used {memory} KiB");

    let mut events = String::new();
    reader.read_to_string(&mut events)?;
    let stderr = agent.succeed()?.stderr;
    let observation = Observation::read(&events, &stderr, &scratch)?;
    assert_accounted(&observation, &scratch.text(MADE)?)?;
    ensure!(
        observation.lost.contains_key("output_full"),
        "{:?}",
        observation.lost
    );
    Ok(())
}
