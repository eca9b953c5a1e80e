//! The agent as a process, under the names that all exporters use, without a prefix
//! ("Process metrics" in "Writing client libraries", prometheus.io).

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// Serves what the kernel says of this process.
#[derive(Debug)]
pub struct ProcessCollector;

/// Fields of `/proc/self/stat` after the name, counted from 0 (`proc_pid_stat(5)` counts them from 3).
const UTIME: usize = 11;
const STIME: usize = 12;
const NUM_THREADS: usize = 17;
const START_TIME: usize = 19;
const VSIZE: usize = 20;
const RSS: usize = 21;

impl Collector for ProcessCollector {
    #[expect(
        clippy::cast_precision_loss,
        reason = "ticks and bytes stay far below 2^53"
    )]
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name may hold spaces and parentheses.
        let fields: Vec<u64> = stat
            .rsplit_once(") ")
            .map(|(_, fields)| fields.split(' '))
            .into_iter()
            .flatten()
            .map(|field| field.trim().parse().unwrap_or(0))
            .collect();
        let field = |index: usize| fields.get(index).copied().unwrap_or(0);
        let ticks = clock_ticks_per_second() as f64;

        encoder
            .encode_descriptor(
                "process_cpu_seconds",
                "User and system time used, in seconds",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, u64>(
                &((field(UTIME) + field(STIME)) as f64 / ticks),
                None,
            )?;
        let mut gauge = |name, help, value: f64| {
            encoder
                .encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&value)
        };
        gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
            boot_time() as f64 + field(START_TIME) as f64 / ticks,
        )?;
        gauge(
            "process_virtual_memory_bytes",
            "Size of the address space",
            field(VSIZE) as f64,
        )?;
        gauge(
            "process_resident_memory_bytes",
            "Memory in use",
            field(RSS) as f64 * page_size() as f64,
        )?;
        gauge("process_threads", "Threads", field(NUM_THREADS) as f64)?;
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is of this very look.
            let open = open.count().saturating_sub(1);
            gauge("process_open_fds", "Open file descriptors", open as f64)?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            gauge("process_max_fds", "How many may be open", most as f64)?;
        }
        Ok(())
    }
}

/// When the machine was booted, in seconds since 1970: `btime` in `proc_stat(5)`.
fn boot_time() -> u64 {
    fs::read_to_string("/proc/stat")
        .ok()
        .and_then(|stat| {
            stat.lines()
                .find_map(|line| line.strip_prefix("btime "))?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0)
}
