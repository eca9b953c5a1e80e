//! Truth against events.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use super::{
    feature::{FUNCTIONS, may_miss},
    observation::Event,
    truth::Call,
};

/// How many differences are printed before the rest is only counted.
const TOLD: usize = 20;
/// The agent learns the distance of the two clocks by reading one after the other, and may be held
/// up in between.
const CLOCK_TOLERANCE_NS: i64 = 20_000_000;
/// Keys that are checked by rule, as no application knows their value.
const BY_RULE: [&str; 14] = [
    "id",
    "timestamp",
    "duration_ns",
    "cgroup.id",
    // Of these, only some programs know the value.
    "attempt",
    "unsettled",
    "handshake_ns",
    "network.transport",
    "socket.type",
    "network.local.address",
    "network.local.port",
    "destination.address",
    "destination.port",
    "superseded_by",
];

/// How many calls or outcomes an agent says that it has missed, and that are not yet found missing.
/// Whoever looks at a part of what the agent has seen takes from the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Missed(Arc<Mutex<u64>>);

impl Missed {
    pub(crate) fn new(count: u64) -> Self {
        Self(Arc::new(Mutex::new(count)))
    }

    fn left(&self) -> MutexGuard<'_, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every call is an event, every event is a call, in order in each thread, and equal in every key. So
/// many calls may be missing, if the agent says that it has missed them.
pub(crate) fn exact<'a>(
    calls: impl IntoIterator<Item = &'a Call>,
    events: impl IntoIterator<Item = &'a Event>,
    missed: &Missed,
) -> Result<()> {
    let mut missed = missed.left();
    let mut threads: BTreeMap<_, (Vec<&Call>, Vec<&Event>)> = BTreeMap::new();
    for call in calls {
        threads.entry(thread(&call.keys)).or_default().0.push(call);
    }
    for event in events {
        threads.entry(thread(&event.0)).or_default().1.push(event);
    }
    let mut differences = Vec::new();
    let (mut made, mut seen) = (0, 0);
    for ((pid, tid), (calls, events)) in threads {
        made += calls.len();
        seen += events.len();
        let calls = without_missed(calls, &events, &mut missed);
        for index in 0..calls.len().max(events.len()) {
            let found = match (calls.get(index), events.get(index)) {
                (Some(call), Some(event)) => difference(call, event),
                (Some(call), None) => vec![format!("no event for {}", text(&call.keys))],
                (None, Some(event)) => vec![format!("nobody made {}", text(&event.0))],
                (None, None) => vec![],
            };
            for what in found {
                differences.push(format!("  process {pid} thread {tid} call {index}: {what}"));
            }
        }
    }
    if made == 0 {
        bail!("the program made no call");
    }
    if differences.is_empty() {
        return Ok(());
    }
    let count = differences.len();
    differences.truncate(TOLD);
    let mut message = format!("{made} calls made, {seen} events, {count} differences:");
    for difference in differences {
        write!(message, "\n{difference}")?;
    }
    if count > TOLD {
        write!(message, "\n  and {} more", count - TOLD)?;
    }
    bail!(message)
}

/// The calls of a thread without those that have no event, as long as some are missed.
fn without_missed<'a>(calls: Vec<&'a Call>, events: &[&Event], missed: &mut u64) -> Vec<&'a Call> {
    let mut kept: Vec<&Call> = Vec::new();
    for call in calls {
        let is_event = events
            .get(kept.len())
            .is_some_and(|event| difference(call, event).is_empty());
        if is_event || *missed == 0 {
            kept.push(call);
        } else {
            *missed -= 1;
        }
    }
    kept
}

/// The events say just these outcomes, in whatever order. So many may be missing.
pub(crate) fn outcomes(
    expected: &[Map<String, Value>],
    events: &[Event],
    missed: &Missed,
) -> Result<()> {
    let mut missed = missed.left();
    let mut events: Vec<_> = events.iter().collect();
    for outcome in expected {
        // What must be absent is null.
        let is_it = |event: &&Event| {
            outcome.iter().all(|(key, value)| match event.0.get(key) {
                Some(found) => found == value,
                None => value.is_null(),
            })
        };
        match events.iter().position(is_it) {
            Some(index) => {
                events.swap_remove(index);
            }
            None if *missed > 0 => *missed -= 1,
            None => bail!("no outcome is {}, of {events:?}", text(outcome)),
        }
    }
    // An attempt is reported though the kernel has not run our hook on what would explain it.
    let explained = |event: &&Event| event.0.get("via") != Some(&"unknown".into());
    match missed.checked_sub(events.len() as u64) {
        Some(left) if !events.iter().any(explained) => *missed = left,
        _ => bail!("outcomes that the program does not know of: {events:?}"),
    }
    Ok(())
}

fn thread(keys: &Map<String, Value>) -> (i64, i64) {
    let id = |key| keys.get(key).and_then(Value::as_i64).unwrap_or(-1);
    (id("process.pid"), id("thread.id"))
}

fn text(keys: &Map<String, Value>) -> String {
    Value::Object(keys.clone()).to_string()
}

/// In which ways an event is not the one of this call.
fn difference(call: &Call, event: &Event) -> Vec<String> {
    let mut found = Vec::new();
    for (key, expected) in &call.keys {
        match event.0.get(key) {
            Some(value) if value == expected => {}
            // Where the kernel lets us have its own copy.
            Some(value) if key == "address.source" && value == "kernel" && may_be_kernels() => {}
            Some(_) if key == "address.source" && is_entry_missed(event) => {}
            Some(value) => found.push(format!("{key}: the call had {expected}, the event {value}")),
            None => found.push(format!(
                "{key}: the call had {expected}, the event has none"
            )),
        }
    }
    for (key, value) in &event.0 {
        if !call.keys.contains_key(key) && !BY_RULE.contains(&key.as_str()) {
            found.push(format!("{key}: only the event has it: {value}"));
        }
    }
    if let Err(error) = rules(call, event) {
        found.push(format!("{error:#}"));
    }
    found
}

/// Whether the kernel may not have run our hook at the entry of a call.
fn is_entry_missed(event: &Event) -> bool {
    may_miss() && !event.0.contains_key("duration_ns")
}

fn may_be_kernels() -> bool {
    FUNCTIONS.missing().is_none()
}

/// What can be said of the keys whose values only the kernel knows.
fn rules(call: &Call, event: &Event) -> Result<()> {
    let timestamp = event.timestamp()?;
    let duration = event.0.get("duration_ns").and_then(Value::as_u64);
    match (call.entered, duration) {
        (true, Some(duration)) if 0 < duration && duration <= call.took => {}
        (false, None) => {}
        (true, None) if may_miss() => {}
        (true, _) => bail!(
            "duration_ns: {duration:?}, the call took {} at most",
            call.took
        ),
        (false, Some(_)) => bail!("duration_ns: {duration:?}, but nobody saw the call begin"),
    }
    let ended = timestamp + i64::try_from(duration.unwrap_or(0))?;
    let (earliest, latest) = (
        call.before - CLOCK_TOLERANCE_NS,
        call.after + CLOCK_TOLERANCE_NS,
    );
    if timestamp < earliest || ended > latest {
        bail!(
            "timestamp: {timestamp} to {ended}, the call was made between {} and {}",
            call.before,
            call.after
        );
    }
    if event.0.get("cgroup.id").and_then(Value::as_u64).is_none() {
        bail!("cgroup.id: missing");
    }
    Ok(())
}
