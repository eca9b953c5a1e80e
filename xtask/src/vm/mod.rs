//! Run the kernel tests on stock kernels, in VMs.

mod apt;
mod cpio;
mod document;
mod initrd;
mod kernel;
mod machine;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Result, ensure};

use self::{
    initrd::Payload,
    kernel::{Kernel, MATRIX, Series},
    machine::Report,
};
use crate::{
    build,
    support::{
        packages::{self, Package},
        say,
    },
};

/// Beside what every Debian has: apt-get, apt-cache and dpkg-deb.
const BUSYBOX: Package = Package {
    command: "busybox",
    name: "busybox-static",
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The kernels, by series [default: all]
    #[arg(long, value_name = "SERIES", value_delimiter = ',', value_parser = series)]
    kernel: Vec<&'static Series>,

    /// Write docs/kernels.md from what all kernels print
    #[arg(long, conflicts_with = "kernel")]
    write_docs: bool,

    /// Run only the selection that `cargo xtask test` runs
    #[arg(long)]
    brief: bool,

    /// Run only the tests whose name contains this
    filter: Option<String>,
}

/// The tests' argument for a selection of them, which `tests/support/suite.rs` makes.
const BRIEF: &str = "--brief";

/// The tests' arguments for the selection that `cargo xtask test` runs.
pub(crate) fn brief() -> Vec<String> {
    vec![BRIEF.to_owned()]
}

fn series(name: &str) -> Result<&'static Series, String> {
    let names: Vec<_> = MATRIX.iter().map(|series| series.name).collect();
    MATRIX
        .iter()
        .find(|series| series.name == name)
        .ok_or_else(|| format!("the series are {}", names.join(", ")))
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let series: Vec<_> = if args.kernel.is_empty() {
        MATRIX.iter().collect()
    } else {
        args.kernel.clone()
    };
    let mut arguments: Vec<_> = args.filter.iter().cloned().collect();
    if args.brief {
        arguments.extend(brief());
    }
    let tested = Machines::build(&series, &arguments)?.run();
    for report in &tested.reports {
        let Report {
            series,
            release,
            passed,
            failed,
            skipped,
            ..
        } = report;
        say(format_args!(
            "kernel {series} ({release}): {passed} passed, {failed} failed, {skipped} skipped"
        ));
    }
    if tested.failed() > 0 {
        say("error: not every test passed");
        return Ok(ExitCode::FAILURE);
    }
    ensure!(tested.passed() > 0, "no test has such a name");
    if args.write_docs {
        document::write(&tested.reports)?;
    } else if args.filter.is_none() && !args.brief {
        document::check(&tested.reports)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The oldest and the newest kernel.
pub(crate) fn ends() -> Vec<&'static Series> {
    let [oldest, .., newest, _foreign] = &MATRIX;
    vec![oldest, newest]
}

/// What has become of the tests.
pub(crate) struct Tested {
    /// In the order of the kernels.
    reports: Vec<Report>,
    /// How many kernels have not even booted.
    missing: u64,
}

impl Tested {
    pub(crate) fn passed(&self) -> u64 {
        self.reports.iter().map(|report| report.passed).sum()
    }

    pub(crate) fn failed(&self) -> u64 {
        let failed: u64 = self.reports.iter().map(|report| report.failed).sum();
        failed + self.missing
    }
}

/// Machines that are ready to boot.
pub(crate) struct Machines {
    series: Vec<&'static Series>,
    /// Each with its initrd.
    machines: Vec<(Kernel, PathBuf)>,
}

impl Machines {
    /// Builds everything that is needed to run the tests, with these arguments, on each of these
    /// kernels.
    pub(crate) fn build(series: &[&'static Series], arguments: &[String]) -> Result<Self> {
        let plain = ["--color".to_owned(), "never".to_owned()];
        let arguments = [&plain, arguments].concat();
        let mut built = BTreeMap::new();
        let mut machines = Vec::new();
        for series in series {
            let tests = match built.entry(series.architecture) {
                Entry::Occupied(tests) => tests.into_mut(),
                Entry::Vacant(place) => {
                    let emulator = machine::package(series.architecture);
                    packages::ensure(&[BUSYBOX, emulator], "the VMs")?;
                    place.insert(build::static_tests(series.architecture)?)
                }
            };
            let payload = Payload {
                tests,
                arguments: &arguments,
            };
            let dir = tests.agent.with_file_name("vm");
            let kernel = series.ensure()?;
            let initrd = initrd::write(&kernel, &payload, &dir)?;
            machines.push((kernel, initrd));
        }
        Ok(Self {
            series: series.to_vec(),
            machines,
        })
    }

    /// Boots them, as many at once as there are processors, and runs the tests.
    pub(crate) fn run(&self) -> Tested {
        let names: Vec<_> = self.series.iter().map(|series| series.name).collect();
        say(format_args!("testing on Linux {}", names.join(", ")));
        let next = AtomicUsize::new(0);
        let reports = Mutex::new(Vec::new());
        let mut missing = 0;
        let work = || {
            let mut missing = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some((kernel, initrd)) = self.machines.get(number) else {
                    return missing;
                };
                match machine::run(kernel, initrd) {
                    Ok(report) => {
                        let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                        reports.push((number, report));
                    }
                    Err(error) => {
                        say(format_args!("error: {error:#}"));
                        missing += 1;
                    }
                }
            }
        };
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                // A worker that panicked has not tested its kernel.
                missing += worker.join().unwrap_or(1);
            }
        });
        let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
        reports.sort_by_key(|(number, _)| *number);
        Tested {
            reports: reports.into_iter().map(|(_, report)| report).collect(),
            missing,
        }
    }
}
