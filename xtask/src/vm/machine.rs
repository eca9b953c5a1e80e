//! A machine that QEMU emulates, from its boot to its end.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::kernel::Kernel;
use crate::support::{
    architecture::Architecture,
    packages::Package,
    process::{cannot_start, command},
    say,
};

/// How long a boot may take: alone, it takes some seconds.
const BOOT: Duration = Duration::from_secs(180);
/// How often a boot is tried, which sometimes fails for reasons of the emulation.
const BOOTS: u32 = 4;
/// How long nothing may happen after that: a test that waits for something gives up earlier.
const SILENCE: Duration = Duration::from_secs(900);

/// What the machine has printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) series: &'static str,
    pub(super) release: String,
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    /// What `connect-observer check` says.
    pub(super) check: Vec<String>,
    /// As `tests/support/feature.rs` announces them.
    pub(super) features: Vec<Feature>,
    /// Why each test is skipped.
    pub(super) reasons: BTreeMap<String, String>,
    /// Whether the tests have come to their end.
    pub(super) ended: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) needs: String,
    pub(super) state: String,
}

/// Boots, as often as it takes, and runs the tests once.
pub(super) fn run(kernel: &Kernel, initrd: &Path) -> Result<Report> {
    for boot in 1..=BOOTS {
        let machine = Machine::start(kernel, initrd)?;
        if machine.boot() {
            return machine.test(kernel);
        }
        let console = machine.console();
        say(format_args!(
            "kernel {}: boot {boot} of {BOOTS} failed{console}",
            kernel.series
        ));
    }
    bail!("kernel {} does not boot", kernel.series)
}

struct Machine {
    process: Child,
    /// Of the second serial line.
    lines: Receiver<String>,
    /// File of what the kernel says on the first.
    console: PathBuf,
}

impl Machine {
    fn start(kernel: &Kernel, initrd: &Path) -> Result<Self> {
        let console = initrd.with_file_name(format!("console-{}", kernel.series));
        File::create(&console).with_context(|| format!("cannot write {}", console.display()))?;
        let mut qemu = qemu(kernel, initrd, &console);
        let mut process = qemu.spawn().with_context(|| cannot_start(&qemu))?;
        let stdout = process.stdout.take().context("no output")?;
        let (tell, lines) = channel();
        thread::spawn(move || {
            for_each_line(stdout, |line| {
                // Nobody listens any more when the machine has been given up.
                let _heard = tell.send(line);
            });
        });
        Ok(Self {
            process,
            lines,
            console,
        })
    }

    /// Whether the tests begin.
    fn boot(&self) -> bool {
        let start = Instant::now();
        loop {
            match self
                .lines
                .recv_timeout(BOOT.saturating_sub(start.elapsed()))
            {
                Ok(line) if line == "vm begin" => return true,
                Ok(line) => say(line),
                Err(_) => return false,
            }
        }
    }

    fn test(&self, kernel: &Kernel) -> Result<Report> {
        let mut report = Report {
            series: kernel.series,
            release: kernel.release.clone(),
            ..Report::default()
        };
        let mut stdout = io::stdout();
        let mut show = |text: &str| writeln!(stdout, "{:<5} {text}", kernel.series);
        loop {
            match self.lines.recv_timeout(SILENCE) {
                Ok(line) => {
                    if let Some(text) = report.take(&line) {
                        show(&text)?;
                    }
                    if report.ended {
                        return Ok(report);
                    }
                }
                Err(error) => {
                    report.failed += 1;
                    let how = match error {
                        RecvTimeoutError::Timeout => "hangs",
                        RecvTimeoutError::Disconnected => "has stopped",
                    };
                    show(&format!("FAILED  the machine {how}{}", self.console()))?;
                    return Ok(report);
                }
            }
        }
    }

    /// The last that the kernel has said, to go on after something else.
    fn console(&self) -> String {
        let said = fs::read(&self.console).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<_> = said.lines().collect();
        match lines.rchunks(20).next() {
            None => "; its kernel says nothing".to_owned(),
            Some(last) => format!("; its kernel says:\n{}", last.join("\n")),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// What emulates this processor.
pub(super) const fn package(architecture: Architecture) -> Package {
    match architecture {
        Architecture::Aarch64 => Package {
            command: "qemu-system-aarch64",
            name: "qemu-system-arm",
        },
        Architecture::X86_64 => Package {
            command: "qemu-system-x86_64",
            name: "qemu-system-x86",
        },
    }
}

fn qemu(kernel: &Kernel, initrd: &Path, console: &Path) -> Command {
    // What runs on the host meanwhile comes first: it mostly waits, and an emulated machine never does.
    let mut qemu = command("nice");
    qemu.args(["-n", "5", package(kernel.architecture).command])
        // Both processors in one thread: with one each, a kernel that changes its own code, as it
        // does whenever a tracepoint is attached, sometimes waits for the other for ever.
        .args(["-accel", "tcg,thread=single", "-smp", "2"])
        .args(["-m", "1536", "-nodefaults", "-no-reboot"])
        .args(["-display", "none", "-monitor", "none"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initrd)
        .arg("-serial")
        .arg(format!("file:{}", console.display()));
    // The second serial line is the tests'.
    let (of_kernel, of_tests) = match kernel.architecture {
        Architecture::Aarch64 => {
            qemu.args(["-machine", "virt", "-cpu", "cortex-a72"])
                .args(["-chardev", "stdio,id=tests"])
                .args(["-device", "pci-serial,chardev=tests"]);
            ("ttyAMA0", "ttyS0")
        }
        Architecture::X86_64 => {
            qemu.args(["-cpu", "max", "-serial", "stdio"]);
            ("ttyS0", "ttyS1")
        }
    };
    // A panic ends the machine. Mitigations are expensive when emulated. And where the kernel may
    // preempt BPF programs (7.0), which it then does not run for whoever comes next, it does so at
    // every tick: our programs take a great many ticks of an emulated processor.
    qemu.arg("-append").arg(format!(
        "console={of_kernel} quiet panic=-1 mitigations=off preempt=lazy TESTS_TTY=/dev/{of_tests}"
    ));
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    qemu
}

/// Reads to the end, or to where it cannot go on.
fn for_each_line(from: impl Read, mut each: impl FnMut(String)) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        each(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
}

impl Report {
    /// Takes note of a line. Returns what is to be shown of it.
    fn take(&mut self, line: &str) -> Option<String> {
        if let Some(told) = line.strip_prefix("vm ") {
            self.take_told(told);
            return None;
        }
        // test [conformance] errno_ebadf_closed          ... ok
        if let Some((name, result)) = line
            .strip_prefix("test ")
            .and_then(|line| line.split_once(" ... "))
        {
            let name = name.trim().rsplit(' ').next().unwrap_or_default();
            let result = match result {
                "ok" => {
                    self.passed += 1;
                    "ok"
                }
                "ignored" => {
                    self.skipped += 1;
                    let why = self.reasons.get(name).map_or("", String::as_str);
                    return Some(format!("skipped {name}: {why}"));
                }
                _ => {
                    self.failed += 1;
                    "FAILED"
                }
            };
            return Some(format!("{result:<7} {name}"));
        }
        // Of every test that would be, also where a filter leaves it out.
        if let Some((name, why)) = line
            .strip_prefix("skipped ")
            .and_then(|line| line.split_once(": "))
        {
            self.reasons.insert(name.to_owned(), why.to_owned());
            return None;
        }
        (!line.is_empty()).then(|| format!("        {line}"))
    }

    fn take_told(&mut self, told: &str) {
        if let Some(line) = told.strip_prefix("check ") {
            self.check.push(line.to_owned());
        } else if told.starts_with("end ") {
            self.ended = true;
        } else if let ["feature", name, needs, state] = told.split('\t').collect::<Vec<_>>()[..] {
            self.features.push(Feature {
                name: name.to_owned(),
                needs: needs.to_owned(),
                state: state.to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Feature, Report};

    #[test]
    fn a_report_is_what_the_machine_tells() {
        let mut report = Report::default();
        let shown: Vec<_> = [
            "running 3 tests",
            "",
            "test [conformance] errno_a ... ok",
            "test               b       ... FAILED",
            "skipped c: needs more",
            "test               c       ... ignored",
            "vm check kernel  ok",
            "vm feature\tveth\tLinux 5.10\tyes",
            "vm end 101",
        ]
        .into_iter()
        .filter_map(|line| report.take(line))
        .collect();
        assert_eq!(
            shown,
            [
                "        running 3 tests",
                "ok      errno_a",
                "FAILED  b",
                "skipped c: needs more"
            ]
        );
        let expected = Report {
            passed: 1,
            failed: 1,
            skipped: 1,
            reasons: [("c".to_owned(), "needs more".to_owned())].into(),
            check: vec!["kernel  ok".to_owned()],
            features: vec![Feature {
                name: "veth".to_owned(),
                needs: "Linux 5.10".to_owned(),
                state: "yes".to_owned(),
            }],
            ended: true,
            ..Report::default()
        };
        assert_eq!(report, expected);
    }
}
