//! What was typed means an [`Observation`].

use std::path::PathBuf;

use super::{Capacity, Export, Filters, Means, Options, Run, Serving};
use crate::observation::{
    self, Color, Destination, Events, Observation, OnFailure, Order, Until, Whom,
};

/// Where `export` listens by default.
pub(super) const EXPORT_ADDRESS: &str = "127.0.0.1:9788";

/// The `FILE` that means standard output.
const DASH: &str = "-";

/// Where events go: to the file that was typed, or else to where this command writes.
fn destination(file: Option<PathBuf>, otherwise: Destination) -> Destination {
    match file {
        Some(file) if file.as_os_str() == DASH => Destination::Stdout,
        Some(file) => Destination::File(file),
        None => otherwise,
    }
}

impl From<Options> for Observation {
    fn from(options: Options) -> Self {
        options.observe(Whom::Host, Destination::Stdout)
    }
}

impl From<Run> for Observation {
    fn from(run: Run) -> Self {
        let order = Order {
            words: run.command,
            user: run.user,
            follow: run.follow,
        };
        // Standard output is the command's own.
        run.options
            .observe(Whom::Command(order), Destination::Stderr)
    }
}

impl Options {
    fn observe(self, whom: Whom, otherwise: Destination) -> Observation {
        let options = self;
        Observation {
            whom,
            filters: options.filters.into(),
            means: options.means.into(),
            capacity: options.capacity.into(),
            events: Some(Events {
                format: options.output,
                to: destination(options.output_file, otherwise),
                on_failure: OnFailure::End,
                color: options.color,
                summary: options.summary,
                explain: options.explain,
                settled: options.settled,
            }),
            serving: options.serving.served(None),
            until: Until {
                duration: options.duration,
                count: options.count,
            },
        }
    }
}

impl From<Export> for Observation {
    fn from(export: Export) -> Self {
        Self {
            whom: Whom::Host,
            filters: export.filters.into(),
            means: export.means.into(),
            capacity: export.capacity.into(),
            events: export.output.map(|format| Events {
                format,
                to: destination(export.output_file, Destination::Stdout),
                on_failure: OnFailure::Lose,
                color: Color::Auto,
                summary: false,
                explain: false,
                settled: false,
            }),
            serving: export.serving.served(Some(EXPORT_ADDRESS)),
            until: Until {
                duration: export.duration,
                count: None,
            },
        }
    }
}

impl From<Means> for observation::Means {
    fn from(means: Means) -> Self {
        Self {
            hooks: means.hooks,
            sockets: !means.skip_socket,
            io_uring: !means.skip_io_uring,
            compat: means.compat,
        }
    }
}

impl From<Filters> for observation::Filters {
    fn from(filters: Filters) -> Self {
        Self {
            pid: filters.pid,
            uid: filters.uid,
            family: filters.family,
            failed: filters.failed,
        }
    }
}

impl From<Capacity> for observation::Capacity {
    fn from(capacity: Capacity) -> Self {
        Self {
            ring_bytes: capacity.ring_kib << 10,
            threads: capacity.threads,
            attempts: capacity.attempts,
        }
    }
}

impl Serving {
    /// What is served: nothing, unless an address was typed or there is one by default.
    fn served(self, address: Option<&str>) -> Option<observation::Serving> {
        let listen = self.listen.or_else(|| address.map(str::to_owned))?;
        Some(observation::Serving {
            listen,
            labels: self.labels,
            max_series: self.max_series,
            series_ttl: self.series_ttl,
        })
    }
}
