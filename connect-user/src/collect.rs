//! Ring buffer to records, and the account of what did not come through.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, MapData, PerCpuArray, RingBuf};
use connect_ebpf::{
    attempt::{Attempt, Handover},
    code::Settlement,
    loss::{KernelLoss, RETURNS_BY_FUNCTION, RETURNS_CONFIRMED, RETURNS_MISSED},
    record::Outcome,
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    attach::{link::Watched, maps::RecordMaps},
    host::program,
    loss::Loss,
};

/// The user's end of the ring buffer and of the loss counters.
pub struct Collector {
    ring: AsyncFd<RingBuf<MapData>>,
    losses: PerCpuArray<MapData, u64>,
    attempts: HashMap<MapData, u64, Attempt>,
    handovers: HashMap<MapData, u64, Handover>,
    missed: Missed,
    /// What [`Self::losses`] has reported so far.
    reported: Vec<(Loss, u64)>,
}

impl Collector {
    /// Must be made within a tokio runtime, and before the hooks observe.
    ///
    /// # Errors
    ///
    /// The runtime cannot watch the ring buffer.
    pub fn new(maps: RecordMaps, watched: Watched) -> Result<Self> {
        let RecordMaps {
            ring,
            losses,
            returns,
            attempts,
            handovers,
        } = maps;
        #[expect(
            unsafe_code,
            reason = "tokio watches a descriptor that it does not own"
        )]
        // SAFETY: the descriptor is the map's, which the ring buffer owns and never replaces; it
        // stays open until the AsyncFd, which takes the ring buffer, is dropped.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .context("cannot watch the ring buffer")?;
        Ok(Self {
            ring,
            losses,
            attempts,
            handovers,
            missed: Missed::new(returns, watched),
            reported: Vec::new(),
        })
    }

    /// Waits until the kernel object asks to be drained, which it does only when much is pending:
    /// the caller's timer does the rest.
    pub async fn woken(&self) {
        if let Ok(mut guard) = self.ring.readable().await {
            guard.clear_ready();
        }
    }

    /// Hands over up to `limit` records; true if there may be more.
    pub fn drain(&mut self, limit: usize, mut record: impl FnMut(&[u8])) -> bool {
        let ring = self.ring.get_mut();
        for _ in 0..limit {
            match ring.next() {
                Some(bytes) => record(&bytes),
                None => return false,
            }
        }
        true
    }

    /// Attempts that their call has left, and nobody has settled yet. Complete when the hooks are
    /// detached.
    pub fn unsettled(&self) -> impl Iterator<Item = Outcome> {
        self.attempts
            .iter()
            .filter_map(Result::ok)
            .filter_map(|(socket, attempt)| self.left(socket, &attempt))
    }

    /// The record of an attempt, if its call has handed it over and nobody has settled it.
    fn left(&self, socket: u64, attempt: &Attempt) -> Option<Outcome> {
        let handover = self.handovers.get(&socket, 0).ok()?;
        let is_its = handover.syn_ns == attempt.syn_ns;
        let is_pending = handover.settlement == Settlement::Pending.number();
        (is_its && is_pending).then_some(Outcome {
            ret: handover.ret,
            ..attempt.outcome
        })
    }

    /// What was lost in the kernel since this was last asked, by reason; a reason without losses is absent.
    ///
    /// # Errors
    ///
    /// The counters cannot be read.
    pub fn losses(&mut self) -> Result<Vec<(Loss, u64)>> {
        let mut totals = Vec::with_capacity(Loss::ALL.len());
        for &loss in KernelLoss::ALL {
            totals.push((Loss::Kernel(loss), sum(&self.losses, loss.index())?));
        }
        totals.push((Loss::HookMissed, self.missed.total()?));
        totals.push((Loss::LineageMissed, self.missed.tasks()));
        let new = totals
            .iter()
            .enumerate()
            .map(|(index, &(loss, total))| {
                let before = self.reported.get(index).map_or(0, |&(_, before)| before);
                (loss, total.saturating_sub(before))
            })
            .filter(|&(_, count)| count > 0)
            .collect();
        self.reported = totals;
        Ok(new)
    }
}

/// Calls that are lost because the kernel did not run a hook: [`Loss::HookMissed`].
struct Missed {
    returns: PerCpuArray<MapData, u64>,
    watched: Watched,
    /// Runs that were missed before the hooks observed.
    before: Runs,
    /// How many tasks may have begun unseen so far.
    tasks: u64,
    /// The highest total so far.
    highest: u64,
}

impl Missed {
    /// Must be made before the hooks observe.
    fn new(returns: PerCpuArray<MapData, u64>, watched: Watched) -> Self {
        Self {
            before: Runs::missed(&watched),
            returns,
            watched,
            highest: 0,
            tasks: 0,
        }
    }

    /// How many there have been. It never falls.
    fn total(&mut self) -> Result<u64> {
        // In this order, a call that returns meanwhile looks recovered, and not lost.
        let confirmed = sum(&self.returns, RETURNS_CONFIRMED)?;
        let runs = Runs::missed(&self.watched);
        let recovered = sum(&self.returns, RETURNS_BY_FUNCTION)?.saturating_sub(confirmed);
        // What the kernel object has found out by itself is no second loss.
        let known = sum(&self.returns, RETURNS_MISSED)?;
        let returns = runs.returns.saturating_sub(self.before.returns);
        let others = runs.others.saturating_sub(self.before.others);
        let total = returns.saturating_sub(recovered).saturating_sub(known) + others;
        self.highest = self.highest.max(total);
        Ok(self.highest)
    }

    /// How many tasks may have begun unseen: as often as every program on that was missed. It never falls.
    fn tasks(&mut self) -> u64 {
        let runs = missed_runs_each(&self.watched.forks);
        let new = runs.iter().zip(&self.before.forks);
        let missed_by_all = new.map(|(now, before)| now.saturating_sub(*before)).min();
        self.tasks = self.tasks.max(missed_by_all.unwrap_or(0));
        self.tasks
    }
}

/// Sum of a counter that every CPU has.
fn sum(counters: &PerCpuArray<MapData, u64>, index: u32) -> Result<u64> {
    let counts = counters
        .get(&index, 0)
        .context("cannot read the loss counters")?;
    Ok(counts.iter().sum())
}

/// Missed runs of [`Watched`].
struct Runs {
    returns: u64,
    others: u64,
    /// Of each program.
    forks: Vec<u64>,
}

impl Runs {
    fn missed(watched: &Watched) -> Self {
        Self {
            returns: missed_runs(&watched.returns),
            others: missed_runs(&watched.others),
            forks: missed_runs_each(&watched.forks),
        }
    }
}

/// How often the kernel skipped programs (`recursion_misses` in their fdinfo, from kernel 5.12; for
/// tracepoint programs, from 6.7); 0 where it does not say.
fn missed_runs(programs: &[OwnedFd]) -> u64 {
    missed_runs_each(programs).iter().sum()
}

fn missed_runs_each(programs: &[OwnedFd]) -> Vec<u64> {
    let of = |program| program::number(program, "recursion_misses:").unwrap_or(0);
    programs.iter().map(of).collect()
}
