//! The sums of a run.

use std::{collections::BTreeMap, fmt, ops};

use serde::{Serialize, Serializer};

use crate::loss::Loss;

/// Events by what they say. An attempt counts once among them: where its call has settled it, or where its outcome
/// does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Connects.
    pub events: u64,
    /// Connects that failed: the attempt is over with the errno that they returned.
    pub failed: u64,
    /// Connects whose attempt goes on: EINPROGRESS mostly.
    pub in_progress: u64,
    /// Of these, those whose attempt nobody follows, so that no outcome will come.
    pub unfollowed: u64,
    /// Connects that only ask for an attempt that an earlier one has begun.
    pub asked_again: u64,
    /// Connects that succeeded and made no connection: of a datagram socket, or to dissolve.
    pub without_connection: u64,
    /// Outcomes, of attempts that their call had left unsettled.
    pub outcomes: u64,
    /// Outcomes: the connection was established.
    #[serde(rename = "outcomes.established")]
    pub established: u64,
    /// Outcomes: the attempt failed.
    #[serde(rename = "outcomes.failed")]
    pub outcomes_failed: u64,
    /// Of these, errors that came back to datagram sockets, whose calls had succeeded.
    #[serde(rename = "outcomes.associations")]
    pub failed_associations: u64,
    /// Outcomes: the application gave up.
    #[serde(rename = "outcomes.abandoned")]
    pub abandoned: u64,
    /// Of these, because another address of the same try was established.
    #[serde(rename = "outcomes.superseded")]
    pub superseded: u64,
}

impl Tally {
    /// Connects and outcomes.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.events + self.outcomes
    }

    /// Connects that succeeded, and whose connection was there when they returned.
    const fn connected(&self) -> u64 {
        let others = self.failed + self.in_progress + self.asked_again + self.without_connection;
        self.events.saturating_sub(others)
    }
}

impl ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.failed += other.failed;
        self.in_progress += other.in_progress;
        self.unfollowed += other.unfollowed;
        self.asked_again += other.asked_again;
        self.without_connection += other.without_connection;
        self.outcomes += other.outcomes;
        self.established += other.established;
        self.outcomes_failed += other.outcomes_failed;
        self.failed_associations += other.failed_associations;
        self.abandoned += other.abandoned;
        self.superseded += other.superseded;
    }
}

impl ops::Sub for Tally {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            events: self.events - other.events,
            failed: self.failed - other.failed,
            in_progress: self.in_progress - other.in_progress,
            unfollowed: self.unfollowed - other.unfollowed,
            asked_again: self.asked_again - other.asked_again,
            without_connection: self.without_connection - other.without_connection,
            outcomes: self.outcomes - other.outcomes,
            established: self.established - other.established,
            outcomes_failed: self.outcomes_failed - other.outcomes_failed,
            failed_associations: self.failed_associations - other.failed_associations,
            abandoned: self.abandoned - other.abandoned,
            superseded: self.superseded - other.superseded,
        }
    }
}

/// What was delivered, and what was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// What was written to the output.
    #[serde(flatten)]
    pub tally: Tally,
    /// Attempts that were not settled when the observation ended.
    pub unsettled: u64,
    /// Connects and outcomes that happened and were not delivered.
    pub lost: u64,
    /// [`Self::lost`] by reason, as `lost.REASON`; a reason that never occurred is absent.
    #[serde(flatten, serialize_with = "prefixed")]
    pub reasons: BTreeMap<&'static str, u64>,
    /// What the sums are of.
    #[serde(skip)]
    pub scope: Scope,
}

/// What totals are the sums of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Of all events.
    #[default]
    Everything,
    /// Of events about failures.
    Failures,
    /// Of the kernel's counters, which count calls, and attempts apart from them.
    Counters,
}

impl Totals {
    /// Counts losses.
    pub fn lose(&mut self, reason: Loss, count: u64) {
        if count > 0 {
            self.lost += count;
            *self.reasons.entry(reason.name()).or_default() += count;
        }
    }
}

/// The totals in a line for a person.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tally,
            unsettled: open,
            lost,
            reasons,
            scope,
        } = self;
        let failed = tally.failed + tally.outcomes_failed;
        let given_up = tally.abandoned.saturating_sub(tally.superseded);
        let superseded = tally.superseded;
        let established = tally.connected() + tally.established;
        match scope {
            Scope::Everything => {
                // An association is no attempt, neither when it is made nor when it fails.
                let failed = failed.saturating_sub(tally.failed_associations);
                let all = established + failed + given_up + superseded + open + tally.unfollowed;
                let attempts = if all == 1 { "attempt" } else { "attempts" };
                write!(
                    f,
                    "totals: {all} {attempts}: {established} established, {failed} failed, {given_up} given up"
                )?;
                if superseded > 0 {
                    write!(f, ", {superseded} superseded")?;
                }
                write!(f, ", {open} still open")?;
                if tally.unfollowed > 0 {
                    write!(f, ", {} of unknown end", tally.unfollowed)?;
                }
            }
            Scope::Failures => write!(
                f,
                "totals: {failed} failed, {given_up} given up, {open} still open (--failed: others are not counted)"
            )?,
            Scope::Counters => write!(
                f,
                "totals: {}: {} succeeded, {} failed, {} left in progress; attempts: {} established, \
                 {} failed, {given_up} given up, {open} still open",
                calls(tally.events),
                tally
                    .events
                    .saturating_sub(tally.failed + tally.in_progress),
                tally.failed,
                tally.in_progress,
                tally.established,
                tally.outcomes_failed,
            )?,
        }
        if *scope == Scope::Everything {
            let failed = tally.failed_associations;
            // The event of a call may be lost where its outcome is not.
            let all = tally.without_connection.max(failed);
            if all > 0 {
                let calls = calls(all);
                write!(f, "; {calls} without a connection (datagrams)")?;
            }
            if failed > 0 {
                write!(f, ", {failed} of them failed later")?;
            }
        }
        if tally.asked_again > 0 {
            write!(f, "; {} that only asked again", calls(tally.asked_again))?;
        }
        if *scope != Scope::Counters {
            let (connects, outcomes) = (tally.events, tally.outcomes);
            write!(f, "; events: {connects} connect, {outcomes} outcome")?;
        }
        if *lost == 0 {
            return f.write_str("; nothing lost");
        }
        write!(f, "; LOST {lost}")?;
        let mut separator = ": ";
        for (reason, count) in reasons {
            write!(f, "{separator}{reason} {count}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// So many calls, as a person reads it.
fn calls(count: u64) -> String {
    let calls = if count == 1 { "call" } else { "calls" };
    format!("{count} {calls}")
}

fn prefixed<S: Serializer>(
    reasons: &BTreeMap<&'static str, u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        reasons
            .iter()
            .map(|(reason, count)| (format!("lost.{reason}"), count)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something of each kind.
    const TALLY: Tally = Tally {
        events: 12,
        failed: 1,
        in_progress: 4,
        unfollowed: 1,
        asked_again: 2,
        without_connection: 3,
        outcomes: 4,
        established: 1,
        outcomes_failed: 1,
        failed_associations: 1,
        abandoned: 2,
        superseded: 1,
    };

    #[test]
    fn attempts_add_up() {
        let mut totals = Totals {
            tally: TALLY,
            ..Totals::default()
        };
        assert_eq!(
            totals.to_string(),
            "totals: 7 attempts: 3 established, 1 failed, 1 given up, 1 superseded, 0 still open, 1 of unknown end; \
             3 calls without a connection (datagrams), 1 of them failed later; 2 calls that only asked again; \
             events: 12 connect, 4 outcome; nothing lost"
        );
        totals.unsettled = 1;
        totals.lose(Loss::OutputFull, 2);
        totals.lose(Loss::Malformed, 1);
        let line = totals.to_string();
        assert!(line.starts_with("totals: 8 attempts: "), "{line}");
        assert!(line.contains(", 1 still open, "), "{line}");
        assert!(
            line.ends_with("; LOST 3: malformed 1, output_full 2"),
            "{line}"
        );
    }

    #[test]
    fn nothing_is_said_of_what_was_not_looked_at() {
        let of = |tally, scope| {
            let totals = Totals {
                tally,
                scope,
                ..Totals::default()
            };
            totals.to_string()
        };
        let failures = Tally {
            events: 1,
            failed: 1,
            outcomes: 2,
            outcomes_failed: 1,
            failed_associations: 1,
            abandoned: 1,
            ..Tally::default()
        };
        assert_eq!(
            of(failures, Scope::Failures),
            "totals: 2 failed, 1 given up, 0 still open (--failed: others are not counted); \
             events: 1 connect, 2 outcome; nothing lost"
        );
        let counted = Tally {
            events: 1,
            established: 1,
            outcomes: 1,
            ..Tally::default()
        };
        assert_eq!(
            of(counted, Scope::Counters),
            "totals: 1 call: 1 succeeded, 0 failed, 0 left in progress; attempts: 1 established, 0 failed, \
             0 given up, 0 still open; nothing lost"
        );
    }
}
