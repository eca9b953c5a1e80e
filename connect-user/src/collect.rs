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

use crate::attach::program_info;

/// Why a record was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The kernel object could not write it.
    Kernel(KernelLoss),
    /// The kernel did not run the hook, as another tracepoint program was running on that CPU.
    HookMissed,
    /// The agent could not make sense of it.
    Malformed,
    /// The reader of the output was slower than the events came.
    OutputFull,
    /// The reader of the output went away.
    OutputClosed,
}

impl Loss {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Kernel(KernelLoss::RingFull),
        Self::Kernel(KernelLoss::InflightFull),
        Self::Kernel(KernelLoss::LineageFull),
        Self::Kernel(KernelLoss::AttemptsFull),
        Self::Kernel(KernelLoss::OutcomeMissed),
        Self::Kernel(KernelLoss::NestingFull),
        Self::Kernel(KernelLoss::CompletionMissed),
        Self::Kernel(KernelLoss::ReturnMissed),
        Self::HookMissed,
        Self::Malformed,
        Self::OutputFull,
        Self::OutputClosed,
    ];

    /// Name of the reason in events, totals and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel(loss) => loss.name(),
            Self::HookMissed => "hook_missed",
            Self::Malformed => "malformed",
            Self::OutputFull => "output_full",
            Self::OutputClosed => "output_closed",
        }
    }
}

/// Programs whose missed runs may be missed calls.
#[derive(Debug, Default)]
pub struct Watched {
    /// What makes the records of native calls.
    pub returns: Vec<OwnedFd>,
    /// What makes those of others.
    pub others: Vec<OwnedFd>,
}

/// The user's end of the ring buffer and of the loss counters.
pub struct Collector {
    ring: AsyncFd<RingBuf<MapData>>,
    losses: PerCpuArray<MapData, u64>,
    returns: PerCpuArray<MapData, u64>,
    attempts: HashMap<MapData, u64, Attempt>,
    handovers: HashMap<MapData, u64, Handover>,
    watched: Watched,
    /// Returns that one hook has told of before the other was in place.
    unconfirmed: u64,
    /// What [`Self::losses`] has told so far.
    told: Vec<(Loss, u64)>,
}

impl Collector {
    /// Must be made within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The runtime cannot watch the ring buffer.
    pub fn new(
        ring: RingBuf<MapData>,
        losses: PerCpuArray<MapData, u64>,
        returns: PerCpuArray<MapData, u64>,
        attempts: HashMap<MapData, u64, Attempt>,
        handovers: HashMap<MapData, u64, Handover>,
        watched: Watched,
    ) -> Result<Self> {
        #[expect(
            unsafe_code,
            reason = "tokio watches a descriptor that it does not own"
        )]
        // SAFETY: the descriptor is the map's, which the ring buffer owns and never replaces; it
        // stays open until the AsyncFd, which takes the ring buffer, is dropped.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .context("cannot watch the ring buffer")?;
        let mut collector = Self {
            ring,
            losses,
            returns,
            attempts,
            handovers,
            watched,
            unconfirmed: 0,
            told: Vec::new(),
        };
        let confirmed = sum(&collector.returns, RETURNS_CONFIRMED)?;
        let by_function = sum(&collector.returns, RETURNS_BY_FUNCTION)?;
        collector.unconfirmed = by_function.saturating_sub(confirmed);
        Ok(collector)
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
            .filter_map(|(sk, attempt)| {
                let left = self.handovers.get(&sk, 0).ok()?;
                let is_its = left.syn_ns == attempt.syn_ns
                    && left.settlement == Settlement::Pending.number();
                is_its.then_some(Outcome {
                    ret: left.ret,
                    ..attempt.outcome
                })
            })
    }

    /// What was lost in the kernel since the last time this was asked.
    ///
    /// # Errors
    ///
    /// The counters cannot be read.
    pub fn losses(&mut self) -> Result<Vec<(Loss, u64)>> {
        let mut totals = Vec::with_capacity(Loss::ALL.len());
        for loss in KernelLoss::ALL {
            totals.push((Loss::Kernel(loss), sum(&self.losses, loss.index())?));
        }
        // In this order, calls that return meanwhile look recovered, and not lost.
        let confirmed = sum(&self.returns, RETURNS_CONFIRMED)? + self.unconfirmed;
        let missed = missed_runs(&self.watched.returns);
        let recovered = sum(&self.returns, RETURNS_BY_FUNCTION)?.saturating_sub(confirmed);
        // What the kernel object has found out by itself is no second loss.
        let known = sum(&self.returns, RETURNS_MISSED)?;
        let missed = missed.saturating_sub(recovered).saturating_sub(known)
            + missed_runs(&self.watched.others);
        let told = self.told.iter().find(|(loss, _)| *loss == Loss::HookMissed);
        // It never falls.
        let missed = told.map_or(missed, |&(_, told)| missed.max(told));
        totals.push((Loss::HookMissed, missed));
        let new = totals
            .iter()
            .enumerate()
            .map(|(index, &(loss, total))| {
                let told = self.told.get(index).map_or(0, |&(_, told)| told);
                (loss, total.saturating_sub(told))
            })
            .filter(|&(_, count)| count > 0)
            .collect();
        self.told = totals;
        Ok(new)
    }
}

/// A counter that every CPU has.
fn sum(counters: &PerCpuArray<MapData, u64>, index: u32) -> Result<u64> {
    let counts = counters
        .get(&index, 0)
        .context("cannot read the loss counters")?;
    Ok(counts.iter().sum())
}

/// How often the kernel skipped programs (`recursion_misses` in their fdinfo, from kernel 5.12; for
/// tracepoint programs, from 6.7); 0 where it does not tell.
fn missed_runs(programs: &[OwnedFd]) -> u64 {
    let of = |program| program_info::number(program, "recursion_misses:");
    programs.iter().filter_map(of).sum()
}
