//! Connects by the labels that were asked for (`--label`): a bounded number of series, and one for
//! everything beyond.
//!
//! The bound is the kernel's: its map has room for so many and no more, and what finds no room is
//! counted there as overflow. Here, series that were not counted for long are taken out of the map.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::{self, Debug, Formatter},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aya::maps::MapError;
use connect_ebpf::{
    family::class_name,
    series::{LABEL_CGROUP, LABEL_PEER_ADDRESS, LABEL_PEER_PORT, LABEL_PROCESS, Series as Key},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{
    encode::{Unreadable, counter, sum},
    labels,
};
use crate::{
    address::{self, Address},
    attach::maps::SeriesMaps,
    escape::Escaped,
};

/// The series, shared by who serves them and who removes them.
#[derive(Clone)]
pub struct Series(Arc<Mutex<Inner>>);

impl Debug for Series {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").finish_non_exhaustive()
    }
}

struct Inner {
    maps: SeriesMaps,
    labels: u32,
    limit: u32,
    ttl: Duration,
    /// What each had counted when that last changed.
    last: HashMap<Key, Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    count: u64,
    changed: Instant,
}

/// Labels as they are served: names and values.
type Labels = Vec<(&'static str, String)>;

impl Series {
    /// Of these maps; `labels` are `LABEL_*`, or-ed.
    #[must_use]
    pub fn new(maps: SeriesMaps, labels: u32, limit: u32, ttl: Duration) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            maps,
            labels,
            limit,
            ttl,
            last: HashMap::new(),
        })))
    }

    /// Forgets series that were not counted for longer than they may stay.
    pub fn tidy(&self) {
        if let Err(error) = self.inner().tidy() {
            log::warn!("cannot tidy the series: {error}");
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock; and if it did, the kernel's maps are whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tidy(&mut self) -> Result<(), MapError> {
        let now = Instant::now();
        let counts = self.counts()?;
        self.last.retain(|key, _| counts.contains_key(key));
        for (key, count) in counts {
            let last = self.last.entry(key).or_insert(Last {
                count,
                changed: now,
            });
            if last.count != count {
                *last = Last {
                    count,
                    changed: now,
                };
            } else if now.duration_since(last.changed) >= self.ttl {
                self.maps.series.remove(&key)?;
                self.last.remove(&key);
            }
        }
        Ok(())
    }

    fn counts(&self) -> Result<HashMap<Key, u64>, MapError> {
        self.maps
            .series
            .iter()
            .map(|entry| entry.map(|(key, per_cpu)| (key, sum(&per_cpu))))
            .collect()
    }

    /// Counts by labels as they are served. Different keys may have equal labels: what lies behind the
    /// NUL of a path is not shown.
    fn shown(&self) -> Result<BTreeMap<Labels, u64>, MapError> {
        let mut shown = BTreeMap::new();
        for (key, count) in self.counts()? {
            // An entry is made before it is counted.
            if count > 0 {
                *shown.entry(shown_labels(&key, self.labels)).or_default() += count;
            }
        }
        Ok(shown)
    }
}

fn shown_labels(key: &Key, asked: u32) -> Labels {
    let address = key
        .address
        .get(..key.address_len.into())
        .unwrap_or_default();
    let address = if address.is_empty() {
        Address::default()
    } else {
        address::decode(address)
    };
    let mut shown = vec![
        ("family", class_name(key.family).to_owned()),
        ("transport", labels::transport(key.transport).into_owned()),
        ("errno", labels::errno(key.errno).into_owned()),
    ];
    if asked & LABEL_PROCESS != 0 {
        let name = key.comm.split(|&byte| byte == 0).next().unwrap_or_default();
        shown.push(("process", Escaped(name).to_string()));
    }
    if asked & LABEL_CGROUP != 0 {
        shown.push(("cgroup", key.cgroup_id.to_string()));
    }
    if asked & LABEL_PEER_ADDRESS != 0 {
        let raw = address.raw.map(|hex| format!("raw {hex}"));
        let peer = address.peer_address.or(raw).unwrap_or_default();
        shown.push(("peer_address", peer));
    }
    if asked & LABEL_PEER_PORT != 0 {
        let port = address.peer_port.map(|port| port.to_string());
        shown.push(("peer_port", port.unwrap_or_default()));
    }
    shown
}

/// Serves [`Series`].
#[derive(Debug)]
pub struct SeriesCollector(pub Series);

impl Collector for SeriesCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let inner = self.0.inner();
        let shown = inner.shown().map_err(Unreadable::from)?;
        let overflow = inner.maps.overflow.get(&0, 0).map_err(Unreadable::from)?;
        let overflow = sum(&overflow);
        let count = shown.len() as u64;
        let limit = inner.limit;
        drop(inner);
        let mut gauge = |name, help, value: u64| {
            encoder
                .encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&value)
        };
        gauge(
            "series",
            "Combinations of the labels that were asked for",
            count,
        )?;
        gauge("series_limit", "How many are told apart", limit.into())?;
        encoder
            .encode_descriptor(
                "series_overflow",
                "Connects that were not told apart, as there were too many combinations",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, u64>(&overflow, None)?;
        let mut encoder = encoder.encode_descriptor(
            "labelled_connects",
            "Connect calls that returned, by the labels that were asked for",
            None,
            MetricType::Counter,
        )?;
        for (labels, count) in shown {
            counter(&mut encoder, &labels, count)?;
        }
        if overflow > 0 {
            // No process can choose a label of this name.
            counter(&mut encoder, &[("overflow", "true")], overflow)?;
        }
        Ok(())
    }
}
