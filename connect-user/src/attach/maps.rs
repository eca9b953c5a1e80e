//! The maps of the kernel object that the agent reads, by who reads them.

use std::{
    fmt::{self, Debug, Formatter},
    os::fd::{AsFd as _, OwnedFd},
};

use crate::host::process;
use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuHashMap, RingBuf},
};
use connect_ebpf::{
    attempt::{ATTEMPTS_MAP, Attempt, HANDOVERS_MAP, Handover},
    counter::{DURATIONS_MAP, Durations, FAILURES_MAP, Failure, TALLIES_MAP, Tally},
    loss::{LOSSES_MAP, RETURNS_MAP},
    record::RECORDS_MAP,
    series::{SERIES_MAP, SERIES_OVERFLOW_MAP, Series},
    settings::{LINEAGE_MAP, SWITCH_MAP, SWITCH_ON, SWITCH_ON_COMPAT},
};

/// Records, losses, and attempts that are not settled.
pub struct RecordMaps {
    /// Records.
    pub ring: RingBuf<MapData>,
    /// Losses by [`connect_ebpf::loss::KernelLoss`].
    pub losses: PerCpuArray<MapData, u64>,
    /// Returns that two hooks may report.
    pub returns: PerCpuArray<MapData, u64>,
    /// Attempts under way, by socket.
    pub attempts: HashMap<MapData, u64, Attempt>,
    /// What the first of the two parties to an attempt has left for the second, by socket.
    pub handovers: HashMap<MapData, u64, Handover>,
}

impl RecordMaps {
    pub(super) fn take(object: &mut Ebpf) -> Result<(Self, OwnedFd)> {
        let ring = take(object, RECORDS_MAP)?;
        let descriptor = match &ring {
            Map::RingBuf(ring) => ring.fd().as_fd().try_clone_to_owned()?,
            _ => bail!("the map {RECORDS_MAP} is no ring buffer"),
        };
        let maps = Self {
            ring: RingBuf::try_from(ring)?,
            losses: PerCpuArray::try_from(take(object, LOSSES_MAP)?)?,
            returns: PerCpuArray::try_from(take(object, RETURNS_MAP)?)?,
            attempts: HashMap::try_from(take(object, ATTEMPTS_MAP)?)?,
            handovers: HashMap::try_from(take(object, HANDOVERS_MAP)?)?,
        };
        Ok((maps, descriptor))
    }
}

/// A descriptor of the ring buffer, and its size.
#[derive(Debug)]
pub struct Ring {
    /// The descriptor.
    pub descriptor: OwnedFd,
    /// The size, in bytes.
    pub size: u32,
}

/// What the kernel object counts.
pub struct CounterMaps {
    /// Connects and attempts by [`connect_ebpf::counter::tally_index`].
    pub tallies: PerCpuArray<MapData, Tally>,
    /// Failures by errno.
    pub failures: PerCpuHashMap<MapData, Failure, u64>,
    /// Histograms by [`connect_ebpf::counter::durations_index`].
    pub durations: PerCpuArray<MapData, Durations>,
}

impl CounterMaps {
    pub(super) fn take(object: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            tallies: PerCpuArray::try_from(take(object, TALLIES_MAP)?)?,
            failures: PerCpuHashMap::try_from(take(object, FAILURES_MAP)?)?,
            durations: PerCpuArray::try_from(take(object, DURATIONS_MAP)?)?,
        })
    }
}

/// What the kernel object counts by the labels that were asked for.
pub struct SeriesMaps {
    /// Connects by their labels.
    pub series: PerCpuHashMap<MapData, Series, u64>,
    /// Connects whose labels found no room.
    pub overflow: PerCpuArray<MapData, u64>,
}

impl SeriesMaps {
    pub(super) fn take(object: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            series: PerCpuHashMap::try_from(take(object, SERIES_MAP)?)?,
            overflow: PerCpuArray::try_from(take(object, SERIES_OVERFLOW_MAP)?)?,
        })
    }
}

/// The tasks that are observed because of their ancestry.
pub struct Lineage(HashMap<MapData, u32, u32>);

impl Lineage {
    pub(super) fn take(object: &mut Ebpf) -> Result<Self> {
        Ok(Self(HashMap::try_from(take(object, LINEAGE_MAP)?)?))
    }

    /// Observes the task `tid`, and every task that it starts from now on.
    ///
    /// # Errors
    ///
    /// The table of tasks is full.
    pub fn follow(&mut self, tid: u32) -> Result<()> {
        self.0
            .insert(&tid, &1, 0)
            .context("cannot follow the command")
    }

    /// Observes the task `tid` no more; what it started stays observed.
    ///
    /// # Errors
    ///
    /// The task was not followed.
    pub fn unfollow(&mut self, tid: u32) -> Result<()> {
        self.0
            .remove(&tid)
            .context("cannot unfollow the command's parent")
    }

    /// How many tasks are observed. One that is gone, and whose end no hook has seen, is forgotten.
    #[must_use]
    pub fn tasks(&mut self) -> usize {
        let observed: Vec<_> = self.0.keys().flatten().collect();
        let (here, gone): (Vec<_>, Vec<_>) = observed
            .into_iter()
            .partition(|&tid| process::is_there(tid));
        for tid in gone {
            // Its hook may have run meanwhile.
            let _absent = self.0.remove(&tid);
        }
        here.len()
    }
}

impl Debug for Lineage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lineage").finish_non_exhaustive()
    }
}

/// The switch that all hooks look at.
pub struct Switch {
    map: Array<MapData, u32>,
    /// What stands there when it is on.
    on: u32,
}

impl Switch {
    /// `sees_compat`: 32-bit calls are seen as the host's system calls.
    pub(super) fn take(object: &mut Ebpf, sees_compat: bool) -> Result<Self> {
        Ok(Self {
            map: Array::try_from(take(object, SWITCH_MAP)?)?,
            on: if sees_compat {
                SWITCH_ON_COMPAT
            } else {
                SWITCH_ON
            },
        })
    }

    /// Hooks observe from now on, or no more.
    ///
    /// # Errors
    ///
    /// The kernel does not let it be set.
    pub fn set(&mut self, on: bool) -> Result<()> {
        let value = if on { self.on } else { 0 };
        self.map
            .set(0, &value, 0)
            .context("cannot set the switch of the hooks")
    }
}

fn take(object: &mut Ebpf, map: &str) -> Result<Map> {
    object
        .take_map(map)
        .with_context(|| format!("the kernel object has no map {map}"))
}
