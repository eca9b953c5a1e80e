//! The test's side: the truth of an interrupted call against its event.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

use crate::support::{
    case::{Case, Seen, with_own},
    compare::{self, Missed},
    hook::{Hook, Returns},
    observation::{Event, Observation},
    observer::{Command, Observer},
    scratch::Scratch,
    truth::{Call, Window},
};

/// How many calls of one thread are kept, each of which has interrupted the one before.
pub(super) const KEPT: usize = 5;
/// A key of the truth alone: more calls of the thread are under way than are kept.
pub(super) const LOST: &str = "lost";

/// A run of the agent, what was made, and what the kernel hook showed.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Calls and events in the order in which they began. They end in another order: a handler's
    /// call ends before the one that it interrupts.
    pub(super) observation: Observation,
    returns: Returns,
}

/// The events are exactly the program's calls.
pub(super) fn exact(_: &Case, seen: Seen) -> Result<()> {
    let Seen {
        observation,
        returns,
    } = seen;
    Verdict::with(observation, returns)?.assert_exact()
}

impl Verdict {
    /// Observes the program to its end.
    pub(super) fn of(case: &Case, role: &str, options: &[&str]) -> Result<Self> {
        let (scratch, hook) = (Scratch::new()?, Hook::new()?);
        let command = Command::run(&with_own(options), case.command(&scratch, role)?);
        let observation = Observer::start(&scratch, &command)?.end()?;
        Self::new(observation, &hook)
    }

    /// When the agent has ended.
    pub(super) fn new(observation: Observation, hook: &Hook) -> Result<Self> {
        Self::with(observation, hook.returns()?)
    }

    fn with(mut observation: Observation, returns: Returns) -> Result<Self> {
        observation.truth.sort_by_key(|call| call.before);
        let mut connects = Vec::new();
        for event in observation.connects {
            connects.push((entered(&event)?, event));
        }
        connects.sort_by_key(|&(entered, _)| entered);
        observation.connects = connects.into_iter().map(|(_, event)| event).collect();
        Ok(Self {
            observation,
            returns,
        })
    }

    /// The events are exactly the calls, and account for every return that the hook has shown.
    pub(super) fn assert_exact(&self) -> Result<()> {
        self.assert_exact_events()?;
        self.assert_every_return()
    }

    /// The events are exactly the calls. The hook has shown more than the agent could see.
    pub(super) fn assert_exact_events(&self) -> Result<()> {
        self.observation.assert_exact()?;
        self.assert_moments(|_| true)
    }

    /// The events are exactly those calls that the agent was asked for.
    pub(super) fn assert_exactly(&self, asked: impl Fn(&Call) -> bool) -> Result<()> {
        self.observation.assert_exactly(&asked)?;
        self.assert_moments(asked)
    }

    /// Each event is timed from its call's first entry to its last return.
    fn assert_moments(&self, asked: impl Fn(&Call) -> bool) -> Result<()> {
        let mut threads = self.observation.threads()?;
        for events in threads.values_mut() {
            events.reverse();
        }
        for call in self.observation.truth.iter().filter(|call| asked(call)) {
            let tid = call.keys.get("thread.id").and_then(Value::as_i64);
            let events = tid.and_then(|tid| threads.get_mut(&tid));
            let event = events.and_then(Vec::pop).context("no event")?;
            if let Some(Window {
                entered: entry,
                ended: end,
            }) = call.window
            {
                let entered = entered(event)?;
                ensure!(
                    (entry.0..=entry.1).contains(&entered),
                    "entered at {entered}, instead of within {entry:?}: {event:?}"
                );
                let ended = entered + event.integer("duration_ns")?.cast_unsigned();
                ensure!(
                    (end.0..=end.1).contains(&ended),
                    "ended at {ended}, instead of within {end:?}: {event:?}"
                );
            }
        }
        Ok(())
    }

    /// The events are exactly the calls, but those that are marked with [`LOST`] have no event, and each
    /// is counted.
    pub(super) fn assert_bounded(&self) -> Result<()> {
        let Observation {
            truth,
            connects,
            lost: counted,
            ..
        } = &self.observation;
        let (lost, kept): (Vec<_>, Vec<_>) = truth.iter().partition(|call| is_lost(call));
        let expected = (!lost.is_empty()).then(|| ("nesting_full".to_owned(), lost.len() as u64));
        ensure!(
            *counted == expected.into_iter().collect(),
            "{} calls are too deep, and lost are {counted:?}",
            lost.len()
        );
        compare::exact(kept, connects, &Missed::default())?;
        self.assert_moments(|call| !is_lost(call))?;
        self.assert_every_return()
    }

    /// Every return that the hook has shown is the last of an event, or was followed by one of its
    /// restarts; or it is that of a call that is marked with [`LOST`].
    pub(super) fn assert_every_return(&self) -> Result<()> {
        let Observation {
            truth, connects, ..
        } = &self.observation;
        let lost = truth.iter().filter(|call| is_lost(call));
        let told = connects.iter().map(|event| &event.0);
        let mut told_of = BTreeMap::new();
        for keys in told.chain(lost.map(|call| &call.keys)) {
            let tid = keys.get("thread.id").and_then(Value::as_i64);
            *told_of.entry(tid.context("no thread")?).or_default() += 1 + restarts(keys);
        }
        let made = self.returns.iter();
        let made: BTreeMap<i64, usize> = made.map(|(&tid, all)| (tid, all.len())).collect();
        ensure!(
            told_of == made,
            "the hook has shown these returns by thread: {:?}, the calls tell of {told_of:?}",
            self.returns
        );
        Ok(())
    }
}

fn is_lost(call: &Call) -> bool {
    call.keys.contains_key(LOST)
}

fn restarts(keys: &Map<String, Value>) -> usize {
    let restarts = keys.get("restarts").and_then(Value::as_u64);
    restarts
        .and_then(|restarts| restarts.try_into().ok())
        .unwrap_or(0)
}

/// When the kernel saw the call begin, `CLOCK_MONOTONIC` in ns: the id begins with it.
fn entered(event: &Event) -> Result<u64> {
    let id = event.text("id")?;
    let (entered, tid) = id.split_once('-').context("an id of another form")?;
    let tid = i64::from_str_radix(tid, 16)?;
    ensure!(
        tid == event.integer("thread.id")?,
        "the id names another thread: {event:?}"
    );
    Ok(u64::from_str_radix(entered, 16)?)
}
