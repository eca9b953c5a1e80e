//! What the hooks cost: operations of a program, timed without hooks and with each set of them, in turns;
//! and what it costs the kernel's verifier to load them.
//! `cargo xtask cost` runs it, as root, and makes docs/cost.md of what it prints.
//!
//! The machine may be noisy, and is at different speeds at different times. So what counts are ratios
//! within one round, in which everything is measured within seconds; and of all rounds the median.

#![expect(
    unsafe_code,
    reason = "it makes the calls that no safe library would make"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "what all suites share stops at what it did not expect"
)]
#![expect(clippy::print_stdout, reason = "what it finds")]
#![expect(clippy::print_stderr, reason = "how far it is")]

use std::{
    collections::BTreeSet,
    env,
    io::Write as _,
    net::UdpSocket,
    os::fd::AsRawFd as _,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{Ebpf, programs::TracePoint};
use io_uring::{IoUring, opcode};
use support::{
    agent::{self, Agent},
    verified::instructions,
};
#[cfg(target_arch = "x86_64")]
use support::{
    compat::{Low, Way},
    sockaddr::loopback,
};

#[path = "../support/mod.rs"]
mod support;

/// How often everything is measured.
const ROUNDS: usize = 7;
/// How long an operation is repeated to be timed.
const TIMED: Duration = Duration::from_millis(150);
/// So often between two looks at the clock.
const BATCH: u32 = 200;
/// What the agent says where the kernel refuses hooks on its functions.
const REFUSED: &str = "--hooks function does not work";

/// What is attached while operations are timed.
enum Hooks {
    None,
    /// Two programs on the tracepoints of connect(2) that do nothing.
    Empty,
    /// The agent with these words.
    Agent(&'static [&'static str]),
}

const HOOKS: [(&str, Hooks); 10] = [
    ("no hooks", Hooks::None),
    ("empty hooks", Hooks::Empty),
    ("trace", Hooks::Agent(&["trace"])),
    (
        "trace --skip-socket",
        Hooks::Agent(&["trace", "--skip-socket"]),
    ),
    (
        "trace --skip-io-uring",
        Hooks::Agent(&["trace", "--skip-io-uring"]),
    ),
    (
        "trace --skip-io-uring --skip-socket",
        Hooks::Agent(&["trace", "--skip-io-uring", "--skip-socket"]),
    ),
    (
        "export",
        Hooks::Agent(&["export", "--listen", "127.0.0.1:0"]),
    ),
    (
        "trace --hooks tracepoint",
        Hooks::Agent(&["trace", "--hooks", "tracepoint"]),
    ),
    (
        "trace --hooks tracepoint --compat",
        Hooks::Agent(&["trace", "--hooks", "tracepoint", "--compat"]),
    ),
    (
        "trace --hooks function",
        Hooks::Agent(&["trace", "--hooks", "function"]),
    ),
];

/// Those of [`HOOKS`] whose programs' instructions are counted.
const VERIFIED: [&str; 2] = ["trace", "export"];

type Operation = (&'static str, fn() -> Result<f64>);

const OPERATIONS: &[Operation] = &[
    ("connect, UDP", connect_udp),
    #[cfg(target_arch = "x86_64")]
    ("connect, UDP, 32-bit", connect_udp_compat),
    ("connect, refused by unix", connect_unix),
    ("getppid", getppid),
    ("io_uring NOP", nop),
];

fn main() -> Result<()> {
    ratios()?;
    println!();
    verified()
}

/// The first table: how much slower operations are.
fn ratios() -> Result<()> {
    // cargo bench passes words of its own.
    let rounds = env::var("COST_ROUNDS").map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    // For each set of hooks and each operation, the ratio of every round; none where refused.
    let mut ratios: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); OPERATIONS.len()]; HOOKS.len()];
    let mut times = vec![Vec::new(); OPERATIONS.len()];
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for ((_, hooks), ratios) in HOOKS.iter().zip(&mut ratios) {
            let base: Vec<f64> = measure()?;
            let Some(attached) = Attached::new(hooks)? else {
                continue;
            };
            let found = measure()?;
            attached.end()?;
            for (operation, (found, base)) in found.iter().zip(&base).enumerate() {
                if let (Some(ratios), Some(times)) =
                    (ratios.get_mut(operation), times.get_mut(operation))
                {
                    ratios.push(found / base);
                    times.push(*base);
                }
            }
        }
    }
    let names: Vec<_> = OPERATIONS.iter().map(|(name, _)| *name).collect();
    print!("| | {} |", names.join(" | "));
    println!("\n|---|{}", "---:|".repeat(OPERATIONS.len()));
    for ((name, _), ratios) in HOOKS.iter().zip(ratios) {
        print!("| `{name}` |");
        for mut ratios in ratios {
            match median(&mut ratios) {
                Some(ratio) => print!(" {ratio:.2} |"),
                None => print!(" refused |"),
            }
        }
        println!();
    }
    print!("| ns without hooks, here |");
    for mut times in times {
        print!(" {:.0} |", median(&mut times).context("nothing was timed")?);
    }
    println!();
    Ok(())
}

/// The second table: how many instructions the verifier looks at to load each program.
fn verified() -> Result<()> {
    let mut names = BTreeSet::new();
    let mut columns = Vec::new();
    for (name, hooks) in &HOOKS {
        if !VERIFIED.contains(name) {
            continue;
        }
        let Some(Attached::Agent(agent)) = Attached::new(hooks)? else {
            bail!("{name} is refused");
        };
        let counts = instructions(&agent);
        agent.terminate()?;
        let counts = counts?;
        names.extend(counts.keys().cloned());
        columns.push((name, counts));
    }
    print!("| program |");
    for (name, _) in &columns {
        print!(" `{name}` |");
    }
    println!("\n|---|{}", "---:|".repeat(columns.len()));
    for name in names {
        print!("| `{name}` |");
        for (_, counts) in &columns {
            match counts.get(&name) {
                Some(count) => print!(" {count} |"),
                None => print!(" – |"),
            }
        }
        println!();
    }
    print!("| all |");
    for (_, counts) in &columns {
        print!(" {} |", counts.values().sum::<u64>());
    }
    println!();
    Ok(())
}

fn median(of: &mut [f64]) -> Option<f64> {
    of.sort_unstable_by(f64::total_cmp);
    of.get(of.len() / 2).copied()
}

/// Every operation once, in ns.
fn measure() -> Result<Vec<f64>> {
    OPERATIONS
        .iter()
        .map(|(name, operation)| operation().with_context(|| format!("cannot time {name}")))
        .collect()
}

/// Hooks that are attached.
enum Attached {
    Nothing,
    Programs(Box<Ebpf>),
    Agent(Agent),
}

impl Attached {
    /// `None` where the kernel refuses them.
    fn new(hooks: &Hooks) -> Result<Option<Self>> {
        match hooks {
            Hooks::None => Ok(Some(Self::Nothing)),
            Hooks::Empty => {
                let mut object = Ebpf::load(policy::OBJECT)?;
                for (program, tracepoint) in [
                    ("empty_enter", "sys_enter_connect"),
                    ("empty_exit", "sys_exit_connect"),
                ] {
                    let program: &mut TracePoint = object
                        .program_mut(program)
                        .context("no program")?
                        .try_into()?;
                    program.load()?;
                    program.attach("syscalls", tracepoint)?;
                }
                Ok(Some(Self::Programs(Box::new(object))))
            }
            Hooks::Agent(words) => {
                let mut command = agent::command(*words);
                if words.first() == Some(&"trace") {
                    command.args(["--output", "json"]);
                }
                let agent = Agent::start_to(&mut command, Stdio::null())?;
                match agent.ready() {
                    Ok(()) => Ok(Some(Self::Agent(agent))),
                    Err(_) if agent.stderr.text().contains(REFUSED) => Ok(None),
                    Err(error) => Err(error.context("the agent does not start")),
                }
            }
        }
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Nothing => {}
            Self::Programs(object) => drop(object),
            Self::Agent(agent) => {
                agent.terminate()?;
            }
        }
        Ok(())
    }
}

/// Time of one operation in ns.
fn time(mut operation: impl FnMut() -> Result<()>) -> Result<f64> {
    operation()?;
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < TIMED {
        for _ in 0..BATCH {
            operation()?;
        }
        count += BATCH;
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(count))
}

/// The same socket again and again.
fn connect_udp() -> Result<f64> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    time(|| Ok(socket.connect(("127.0.0.1", 9))?))
}

/// The same by the system call of 32-bit programs.
#[cfg(target_arch = "x86_64")]
fn connect_udp_compat() -> Result<f64> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = loopback(9);
    let mut low = Low::new()?;
    time(|| {
        let errno = low.connect(Way::Direct, socket.as_raw_fd(), &address)?;
        ensure!(errno == 0, "errno {errno}");
        Ok(())
    })
}

/// The cheapest call that comes so far that it has an address: nobody has this name.
fn connect_unix() -> Result<f64> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    let mut address = [0_u8; 16];
    address
        .as_mut_slice()
        .write_all(&[1, 0, 0, b'n', b'o', b'b', b'o', b'd', b'y'])?;
    time(|| {
        // SAFETY: pointer and length are of one array.
        let result = unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), 9) };
        ensure!(result == -1, "somebody has the name");
        Ok(())
    })
}

/// A system call that is not observed.
fn getppid() -> Result<f64> {
    time(|| {
        // SAFETY: no arguments.
        let parent = unsafe { libc::syscall(libc::SYS_getppid) };
        ensure!(parent >= 0, "no parent");
        Ok(())
    })
}

/// An operation of io_uring that is not observed, of 32 that are submitted at once.
fn nop() -> Result<f64> {
    const AT_ONCE: usize = 32;
    let mut ring = IoUring::new(64)?;
    let all = time(|| {
        for _ in 0..AT_ONCE {
            // SAFETY: it points to nothing.
            unsafe { ring.submission().push(&opcode::Nop::new().build()) }?;
        }
        ring.submit_and_wait(AT_ONCE)?;
        ensure!(
            ring.completion().count() == AT_ONCE,
            "not all are completed"
        );
        Ok(())
    })?;
    Ok(all / 32.0)
}
