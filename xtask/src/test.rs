//! Lint, then run every test: on this kernel, and on the oldest and the newest of the matrix.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Command, ExitCode, Stdio},
    thread::{self, ScopedJoinHandle},
};

use anyhow::{Context as _, Result};

use crate::{
    build,
    conformance::Results,
    lint,
    suites::{Privilege, cargo_test},
    support::{
        architecture::Architecture,
        process::{cannot_start, succeed},
        say,
    },
    vm,
};

/// Targets of cargo that need no privilege, beside the documentation's examples.
const FAST: [&str; 6] = ["--lib", "--bins", "--test", "replay", "--test", "usage"];
/// Targets of cargo that load the kernel object.
const KERNEL: [&str; 6] = ["--test", "cli", "--test", "kernel", "--test", "metrics"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Lint, and the tests that need no privilege: under a minute when built
    #[arg(long)]
    fast: bool,

    /// The tests on the kernel of this host, as root
    #[arg(long)]
    kernel: bool,

    /// A selection of these in VMs: on the oldest and the newest kernel of the matrix
    #[arg(long)]
    vm: bool,

    /// Run only the tests whose name contains this
    ///
    /// Not in VMs, unless they are asked for.
    filter: Option<String>,
}

impl Args {
    /// What is asked for; without a choice, everything.
    const fn tiers(&self) -> Tiers {
        let is_all = !(self.fast || self.kernel || self.vm);
        Tiers {
            fast: self.fast || is_all,
            kernel: self.kernel || is_all,
            vm: self.vm || (is_all && self.filter.is_none()),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Tiers {
    fast: bool,
    kernel: bool,
    vm: bool,
}

/// Runs the tests. Its status is a failure unless there are some and all pass.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let tiers = args.tiers();
    let filter = args.filter.as_deref();
    if tiers.fast {
        lint::run()?;
    }
    // Everything is built before anything is run, as the two would disturb each other.
    let selection: Vec<_> = vm::brief().into_iter().chain(args.filter.clone()).collect();
    let machines = tiers
        .vm
        .then(|| vm::Machines::build(&vm::ends(), &selection))
        .transpose();
    let mut hosts = on_host(&tiers, filter)?;
    for cargo in &mut hosts {
        build(cargo)?;
    }

    say("running the tests");
    // Machines are emulated, each by one processor, while the tests of the host mostly wait for their
    // kernel. The host's come first whenever they want to run.
    let (in_machines, on_host) = thread::scope(|scope| {
        let in_machines = match machines {
            Ok(machines) => Ok(machines.map(|machines| scope.spawn(move || machines.run()))),
            Err(error) => Err(error),
        };
        let on_host = run_on_host(hosts, &tiers, filter);
        let in_machines = in_machines.map(|running| running.map(ScopedJoinHandle::join));
        (in_machines, on_host)
    });
    let mut sum = on_host?;
    match in_machines {
        Ok(None) => {}
        Ok(Some(Ok(tested))) => {
            sum.passed += tested.passed();
            sum.failed += tested.failed();
        }
        Ok(Some(Err(_panic))) => sum.failed += 1,
        Err(error) => {
            say(format_args!("error: {error:#}"));
            sum.failed += 1;
        }
    }
    let mut passed = sum.failed == 0;
    if !passed {
        say("error: not every test passed");
    } else if sum.passed == 0 {
        say("error: no test has such a name");
        passed = false;
    }
    writeln!(io::stdout(), "{} passed, {} failed", sum.passed, sum.failed)?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What runs the tests of this host: the words of cargo, each with the filter.
fn on_host(tiers: &Tiers, filter: Option<&str>) -> Result<Vec<Run>> {
    let targets: &[&[&str]] = match (tiers.fast, tiers.kernel) {
        // All targets, and the examples.
        (true, true) => &[&[]],
        (true, false) => &[&FAST, &["--doc"]],
        (false, true) => &[&KERNEL],
        (false, false) => &[],
    };
    let program32 = if tiers.kernel {
        build::program32(Architecture::HOST)?
    } else {
        None
    };
    let run = |targets: &&[&str]| {
        let privilege = if tiers.kernel {
            Privilege::Root
        } else {
            Privilege::None
        };
        let cargo = || -> Result<Command> {
            let mut cargo = cargo_test("test", privilege)?;
            // A package of its own has the tests, but units are tested in all.
            cargo.args(["--workspace", "--no-fail-fast"]).args(*targets);
            if let Some(program) = &program32 {
                cargo.env("PROGRAM32", program);
            }
            Ok(cargo)
        };
        let is_built = *targets != ["--doc"];
        let build = is_built.then(&cargo).transpose()?;
        let mut run = cargo()?;
        run.arg("--").args(filter);
        Ok(Run { build, run })
    };
    targets.iter().map(run).collect()
}

/// One cargo that tests, and the same that only builds, where that can be told apart.
struct Run {
    build: Option<Command>,
    run: Command,
}

fn build(run: &mut Run) -> Result<()> {
    match &mut run.build {
        Some(cargo) => succeed(cargo.arg("--no-run"), "building the tests"),
        None => Ok(()),
    }
}

fn run_on_host(runs: Vec<Run>, tiers: &Tiers, filter: Option<&str>) -> Result<Sum> {
    // A run of all tests also checks whether the document that is made of them is up to date.
    let results = (tiers.kernel && filter.is_none())
        .then(Results::new)
        .transpose()?;
    let mut sum = Sum::default();
    for Run { run: mut cargo, .. } in runs {
        if let Some(results) = &results {
            results.collect(&mut cargo);
        }
        cargo.stdout(Stdio::piped());
        let mut child = cargo.spawn().with_context(|| cannot_start(&cargo))?;
        if let Some(output) = child.stdout.take() {
            sum.add(&pass_on(BufReader::new(output), io::stdout())?);
        }
        // Of a test that crashes, nobody says that it has failed.
        if !child.wait()?.success() && sum.failed == 0 {
            sum.failed += 1;
        }
    }
    match results.as_ref().map(Results::check) {
        None => {}
        Some(Ok(())) => sum.passed += 1,
        Some(Err(error)) => {
            say(format_args!("error: {error:#}"));
            sum.failed += 1;
        }
    }
    Ok(sum)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
}

impl Sum {
    const fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Copies line by line, as the lines come, and sums up what they say.
fn pass_on(mut from: impl BufRead, mut to: impl Write) -> Result<Sum> {
    let mut sum = Sum::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        let text = String::from_utf8_lossy(&line);
        if let Some(result) = text.strip_prefix("test result: ") {
            sum.passed += number_before(" passed;", result)?;
            sum.failed += number_before(" failed;", result)?;
        }
        line.clear();
    }
    Ok(sum)
}

fn number_before(word: &str, result: &str) -> Result<u64> {
    result
        .split_once(word)
        .and_then(|(before, _)| before.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("no number before{word} in {result}"))
}

#[cfg(test)]
mod tests {
    use super::{Args, Sum, Tiers, pass_on};

    #[test]
    fn without_a_choice_everything_is_tested() {
        let none = Args {
            fast: false,
            kernel: false,
            vm: false,
            filter: None,
        };
        let tiers = |fast, kernel, vm| Tiers { fast, kernel, vm };
        assert_eq!(none.tiers(), tiers(true, true, true));
        let filter = Some("name".to_owned());
        assert_eq!(Args { filter, ..none }.tiers(), tiers(true, true, false));
        let none = || Args {
            fast: false,
            kernel: false,
            vm: false,
            filter: None,
        };
        let fast = Args {
            fast: true,
            ..none()
        };
        assert_eq!(fast.tiers(), tiers(true, false, false));
        let two = Args {
            kernel: true,
            vm: true,
            filter: Some("name".to_owned()),
            ..none()
        };
        assert_eq!(two.tiers(), tiers(false, true, true));
    }

    #[test]
    fn sums_up_and_passes_everything_on() {
        let output = "running 2 tests\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            \n\
            test result: FAILED. 10 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out\n\
            no newline";
        let mut seen = Vec::new();
        let sum = pass_on(output.as_bytes(), &mut seen);
        assert_eq!(
            sum.ok(),
            Some(Sum {
                passed: 12,
                failed: 3
            })
        );
        assert_eq!(seen, output.as_bytes());
    }

    #[test]
    fn a_result_that_cannot_be_read_is_an_error() {
        assert!(pass_on(&b"test result: unheard of\n"[..], Vec::new()).is_err());
    }
}
