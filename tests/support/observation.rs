//! What the agent has written, read as strictly as possible.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

use super::{
    compare::{self, Missed},
    feature,
    scratch::Scratch,
    totals,
    truth::{self, Call},
};

/// Reasons for which a kernel that preempts programs has calls and outcomes missed.
const MISSED: [&str; 4] = [
    "hook_missed",
    "return_missed",
    "completion_missed",
    "outcome_missed",
];

/// An event of kind `connect`, by key.
#[derive(Clone, Debug)]
pub(crate) struct Event(pub(crate) Map<String, Value>);

impl Event {
    pub(crate) fn integer(&self, key: &str) -> Result<i64> {
        let value = self.0.get(key).and_then(Value::as_i64);
        value.with_context(|| format!("no integer {key} in {self:?}"))
    }

    pub(crate) fn text(&self, key: &str) -> Result<&str> {
        let value = self.0.get(key).and_then(Value::as_str);
        value.with_context(|| format!("no text {key} in {self:?}"))
    }

    /// In ns since 1970. The contract wants RFC 3339, UTC, with nanoseconds.
    pub(crate) fn timestamp(&self) -> Result<i64> {
        let text = self.text("timestamp")?;
        ensure!(
            text.len() == "2000-01-01T00:00:00.000000000Z".len() && text.ends_with('Z'),
            "{text} is no timestamp of the contract"
        );
        let timestamp: jiff::Timestamp = text.parse()?;
        Ok(i64::try_from(timestamp.as_nanosecond())?)
    }
}

/// A whole run of the agent, and the truth about it.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    /// In the order in which they were written.
    pub(crate) connects: Vec<Event>,
    /// Events of kind `outcome`, in the order in which they were written.
    pub(crate) outcomes: Vec<Event>,
    /// Attempts that were not settled at the end, as the stop notice says.
    pub(crate) unsettled: u64,
    /// What became of attempts, as the observed program knows it.
    true_outcomes: Vec<Map<String, Value>>,
    /// Sum of the `lost` events by reason.
    pub(crate) lost: BTreeMap<String, u64>,
    /// What the observed program made, as far as it wrote it down.
    pub(crate) truth: Vec<Call>,
    /// What the agent has said on standard error.
    pub(crate) stderr: String,
    /// The notice at the start.
    start: Map<String, Value>,
    /// Shared by all parts of one run.
    pub(crate) missed_calls: Missed,
    missed_outcomes: Missed,
}

impl Observation {
    /// Reads events, and checks all that must be true of any run: every line is an object without
    /// a control character, the first and the last are notices, ids are unique, and the stop
    /// notice and the totals on standard error say what the events say.
    pub(crate) fn read(events: &str, stderr: &str, scratch: &Scratch) -> Result<Self> {
        let (truth, true_outcomes) = truth::read(scratch.path())?;
        let mut observation = Self {
            connects: Vec::new(),
            outcomes: Vec::new(),
            unsettled: 0,
            true_outcomes,
            lost: BTreeMap::new(),
            truth,
            stderr: stderr.to_owned(),
            start: Map::new(),
            missed_calls: Missed::default(),
            missed_outcomes: Missed::default(),
        };
        let mut notices = Vec::new();
        ensure!(events.ends_with('\n'), "the last line has no end");
        for (number, line) in (1..).zip(events.split_terminator('\n')) {
            let keys = parse(line).with_context(|| format!("line {number}: {line:?}"))?;
            match keys.get("event").and_then(Value::as_str) {
                Some("connect") => {
                    ensure!(
                        notices.len() == 1,
                        "line {number} is outside the two notices"
                    );
                    observation.connects.push(Event(keys));
                }
                Some("outcome") => {
                    ensure!(
                        notices.len() == 1,
                        "line {number} is outside the two notices"
                    );
                    observation.outcomes.push(Event(keys));
                }
                Some("lost") => observation.lose(&keys)?,
                Some("notice") => notices.push(keys),
                kind => bail!("line {number} is of kind {kind:?}"),
            }
        }
        let [start, stop] = &notices[..] else {
            bail!("{} notices instead of two", notices.len());
        };
        ensure!(start.get("notice") == Some(&"start".into()), "{start:?}");
        observation.start.clone_from(start);
        ensure!(stop.get("notice") == Some(&"stop".into()), "{stop:?}");
        observation.unsettled = stop
            .get("unsettled")
            .and_then(Value::as_u64)
            .context("the stop notice does not say what is unsettled")?;
        observation.missed_calls = Missed::new(observation.missed());
        observation.missed_outcomes = Missed::new(observation.missed());
        observation.check_ids()?;
        observation.check_totals(stop, stderr)?;
        Ok(observation)
    }

    /// What was observed of the program that has written its truth into this directory, as far as it
    /// is known before any event is given to it.
    pub(crate) fn of_nobody(&self, directory: &Path) -> Result<Self> {
        let (truth, true_outcomes) = truth::read(directory)?;
        Ok(Self {
            connects: Vec::new(),
            outcomes: Vec::new(),
            unsettled: 0,
            true_outcomes,
            lost: self.lost.clone(),
            truth,
            stderr: self.stderr.clone(),
            start: self.start.clone(),
            missed_calls: self.missed_calls.clone(),
            missed_outcomes: self.missed_outcomes.clone(),
        })
    }

    /// The processes that have made a call or an attempt, as the truth has it.
    pub(crate) fn processes(&self) -> BTreeSet<i64> {
        let calls = self.truth.iter().map(|call| &call.keys);
        numbers(calls.chain(&self.true_outcomes), "process.pid")
    }

    /// The threads that have made a call, as the truth has it.
    pub(crate) fn threads_of_truth(&self) -> BTreeSet<i64> {
        numbers(self.truth.iter().map(|call| &call.keys), "thread.id")
    }

    /// The events are exactly the calls, and nothing was lost.
    pub(crate) fn assert_exact(&self) -> Result<()> {
        self.assert_nothing_lost()?;
        compare::exact(&self.truth, &self.connects, &self.missed_calls)?;
        self.check_attempts()
    }

    /// The events are exactly the program's calls, and the outcomes exactly those that the program knows of.
    pub(crate) fn assert_outcomes(&self) -> Result<()> {
        self.assert_exact()?;
        compare::outcomes(&self.true_outcomes, &self.outcomes, &self.missed_outcomes)
    }

    /// There is no call, and just these outcomes.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn assert_only_outcomes(&self) -> Result<()> {
        ensure!(self.connects.is_empty(), "{:?}", self.connects);
        compare::outcomes(&self.true_outcomes, &self.outcomes, &self.missed_outcomes)
    }

    /// What the start notice says of this way into connect.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn coverage(&self, way: &str) -> Result<&str> {
        let said = self.start.get(&format!("coverage.{way}"));
        said.and_then(Value::as_str).context("no such coverage")
    }

    /// Every attempt that a call has left unsettled has one outcome, or is unsettled at the end; and
    /// an outcome says of its attempt what the call has said.
    pub(crate) fn check_attempts(&self) -> Result<()> {
        let left = self.left_unsettled()?;
        let left_over = left.checked_sub(self.unsettled);
        ensure!(
            left_over.is_some_and(|missed| missed <= self.missed()),
            "{left} attempts are unsettled, not {}",
            self.unsettled
        );
        Ok(())
    }

    /// How many attempts have no outcome. An outcome must say of its attempt what the call has said.
    pub(crate) fn left_unsettled(&self) -> Result<u64> {
        const OF_THE_CALL_ALONE: [&str; 12] = [
            "event",
            "timestamp",
            "errno",
            "error.type",
            "unsettled",
            "restarts",
            "killed",
            "duration_ns",
            "handshake_ns",
            // Learned late.
            "network.local.address",
            "network.local.port",
            "address.source",
        ];
        let (mut left, mut over) = (BTreeMap::new(), BTreeMap::new());
        for connect in &self.connects {
            let of = if connect.0.contains_key("unsettled") {
                &mut left
            } else {
                // A datagram socket's association may fail later.
                &mut over
            };
            of.insert(connect.text("id")?, connect);
        }
        for outcome in &self.outcomes {
            if outcome.text("via")? == "unknown" {
                continue;
            }
            let id = outcome.text("id")?;
            let association = || {
                let is_datagram = outcome
                    .text("network.transport")
                    .is_ok_and(|transport| transport == "udp");
                is_datagram.then(|| over.remove(id)).flatten()
            };
            let call = left
                .remove(id)
                .or_else(association)
                .with_context(|| format!("an outcome of no attempt, or twice: {outcome:?}"))?;
            for (key, value) in &call.0 {
                ensure!(
                    OF_THE_CALL_ALONE.contains(&key.as_str())
                        || key.starts_with("destination.")
                        || outcome.0.get(key) == Some(value),
                    "{key} of {call:?} and {outcome:?}"
                );
            }
        }
        Ok(left.len() as u64)
    }

    /// The events are exactly those calls that the agent was asked for.
    pub(crate) fn assert_exactly(&self, asked: impl Fn(&Call) -> bool) -> Result<()> {
        self.assert_nothing_lost()?;
        let (wanted, rest): (Vec<_>, Vec<_>) = self.truth.iter().partition(|call| asked(call));
        ensure!(!rest.is_empty(), "the program made no call to leave out");
        compare::exact(wanted, &self.connects, &self.missed_calls)
    }

    pub(crate) fn assert_nothing_lost(&self) -> Result<()> {
        let mut lost = self.lost.clone();
        if feature::may_miss() {
            lost.retain(|reason, _| !MISSED.contains(&reason.as_str()));
        }
        ensure!(lost.is_empty(), "lost: {lost:?}");
        Ok(())
    }

    /// How many calls and outcomes the agent says that it may have missed, where that cannot be helped.
    fn missed(&self) -> u64 {
        if !feature::may_miss() {
            return 0;
        }
        MISSED
            .iter()
            .filter_map(|&reason| self.lost.get(reason))
            .sum()
    }

    /// Sum of all losses.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    /// Events by thread, in order.
    pub(crate) fn threads(&self) -> Result<BTreeMap<i64, Vec<&Event>>> {
        let mut threads: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for event in &self.connects {
            threads
                .entry(event.integer("thread.id")?)
                .or_default()
                .push(event);
        }
        Ok(threads)
    }

    fn lose(&mut self, keys: &Map<String, Value>) -> Result<()> {
        let reason = keys.get("reason").and_then(Value::as_str);
        let count = keys.get("count").and_then(Value::as_u64);
        let (Some(reason), Some(count @ 1..)) = (reason, count) else {
            bail!("no loss: {keys:?}");
        };
        *self.lost.entry(reason.to_owned()).or_default() += count;
        Ok(())
    }

    fn check_ids(&self) -> Result<()> {
        let mut ids = BTreeSet::new();
        for event in &self.connects {
            ensure!(ids.insert(event.text("id")?), "id twice: {event:?}");
        }
        Ok(())
    }

    fn check_totals(&self, stop: &Map<String, Value>, stderr: &str) -> Result<()> {
        let keys = |of: &[Event]| {
            of.iter()
                .map(|Event(keys)| keys.clone())
                .collect::<Vec<_>>()
        };
        let mut expected = totals::keys(&keys(&self.connects), &keys(&self.outcomes));
        let line = totals::line(&expected, self.unsettled, &self.lost);
        expected.insert("unsettled".to_owned(), self.unsettled.into());
        expected.insert("lost".to_owned(), self.lost().into());
        for (reason, count) in &self.lost {
            expected.insert(format!("lost.{reason}"), (*count).into());
        }
        let mut said = stop.clone();
        said.retain(|key, _| !["event", "notice", "timestamp"].contains(&key.as_str()));
        ensure!(
            said == expected,
            "the stop notice says {said:?}, the events {expected:?}"
        );
        let totals: Vec<_> = stderr
            .lines()
            .filter(|line| !line.starts_with("note: ") && !line.starts_with("ready"))
            .collect();
        // With --failed, what succeeded is not in it.
        let failures = |said: &&str| said.contains("(--failed: ") && said.starts_with("totals: ");
        ensure!(
            totals == [&line] || (totals.len() == 1 && totals.iter().all(failures)),
            "standard error says {totals:?} instead of {line:?}"
        );
        Ok(())
    }
}

fn numbers<'a>(of: impl Iterator<Item = &'a Map<String, Value>>, key: &str) -> BTreeSet<i64> {
    of.filter_map(|keys| keys.get(key)?.as_i64()).collect()
}

fn parse(line: &str) -> Result<Map<String, Value>> {
    ensure!(!line.contains(char::is_control), "a control character");
    Ok(serde_json::from_str(line)?)
}
