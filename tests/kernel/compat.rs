//! Connects by the system calls of 32-bit programs.

use std::{
    arch::asm,
    env, fs,
    io::Read as _,
    net::TcpListener,
    os::fd::{AsRawFd as _, OwnedFd},
    process,
    time::{Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use libc::{EBADF, ECONNREFUSED, EFAULT, EINTR, SA_RESTART, SOCK_NONBLOCK, SOCK_STREAM};
use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Pid, Signal, kill_process},
};

use crate::support::{
    attempt::{Attempt, Outcome, Settlement},
    blocking::FullListener,
    case::Case,
    child::state,
    feature::{COMPAT_PROGRAMS, FUNCTIONS, PROGRAM32},
    memory::Pages,
    sockaddr::{Sockaddr, loopback},
    stage::Stage,
    syscall::{socket, tcp, udp, unix_stream},
    truth::Caller,
    wait,
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("compat_connects", both_ways)
        .also_by_functions()
        .brief()
        .needs(&FUNCTIONS),
    Case::exact("compat_connects_of_a_real_program", of_a_real_program)
        .also_by_functions()
        .brief()
        .needs(&COMPAT_PROGRAMS),
    Case::new(
        "compat_attempts_are_seen_by_tracepoints",
        |case| {
            let observation = case.run(&["--hooks", "tracepoint"])?;
            ensure!(observation.connects.is_empty(), "{observation:?}");
            observation.assert_nothing_lost()?;
            observation.assert_only_outcomes()
        },
        unexplained,
    )
    .brief(),
];

/// `connect` of the i386 table.
const CONNECT: u32 = 362;
/// `socketcall` of the same, and its `SYS_CONNECT`.
const SOCKETCALL: u32 = 102;
const SYS_CONNECT: u32 = 3;

/// A 32-bit system call; returns the errno.
fn int80(number: u32, [first, second, third]: [u32; 3]) -> i32 {
    let result: i32;
    // SAFETY: the kernel checks every pointer; what it changes is declared, and the register that the
    // compiler keeps for itself is restored.
    unsafe {
        asm!(
            "push rbx",
            "mov ebx, {first:e}",
            "int 0x80",
            "pop rbx",
            first = in(reg) first,
            inlateout("eax") number => result,
            in("ecx") second,
            in("edx") third,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    -result
}

#[derive(Clone, Copy)]
enum Way {
    Direct,
    Socketcall,
}

/// Memory that a 32-bit pointer reaches.
struct Low(Pages);

impl Low {
    fn new() -> Result<Self> {
        Ok(Self(Pages::low(1)?))
    }

    fn connect(&mut self, way: Way, fd: i32, address: &Sockaddr) -> Result<i32> {
        let pointer = u32::try_from(self.0.put(64, address))?;
        let length = u32::try_from(address.len())?;
        let arguments = [fd.cast_unsigned(), pointer, length];
        Ok(match way {
            Way::Direct => int80(CONNECT, arguments),
            Way::Socketcall => {
                let bytes = arguments.map(u32::to_ne_bytes).concat();
                let place = self.0.put_bytes(0, &bytes);
                int80(SOCKETCALL, [SYS_CONNECT, u32::try_from(place)?, 0])
            }
        })
    }
}

fn both_ways(stage: &Stage) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = loopback(listener.local_addr()?.port());
    let refusing = loopback(9);
    let mut low = Low::new()?;
    let me = Caller::me();
    for way in [Way::Direct, Way::Socketcall] {
        let not_blocking = || socket(libc::AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        let mut expect = |errno, socket: &OwnedFd, address: &Sockaddr| {
            let (before, start) = (SystemTime::now(), Instant::now());
            let found = low.connect(way, socket.as_raw_fd(), address)?;
            let outcome = Outcome::made_since(before, start, found);
            let attempt = Attempt::new(socket, address).via("compat").of_the_kernel();
            stage.record(&attempt, &me, &outcome)?;
            ensure!(found == errno, "errno {found} instead of {errno}");
            Ok(())
        };
        let clients = [tcp()?, tcp()?, udp()?, not_blocking()?];
        for (client, (address, errno)) in clients.iter().zip([
            (&address, 0),
            (&refusing, ECONNREFUSED),
            (&refusing, 0),
            (&address, libc::EINPROGRESS),
        ]) {
            expect(errno, client, address)?;
        }
        let attempt = Attempt::new(&clients[3], &address).via("compat");
        stage.settled_via(&me, &attempt, &address, Settlement::Established)?;
        // And native ones in between.
        stage.expect(0, &tcp()?, &address)?;

        // Before the kernel has a copy.
        let (before, start) = (SystemTime::now(), Instant::now());
        let found = low.connect(way, 9999, &address)?;
        ensure!(found == EBADF, "errno {found}");
        let outcome = Outcome::made_since(before, start, found);
        stage.record(&Attempt::new(&9999, &address).via("compat"), &me, &outcome)?;
    }
    let client = tcp()?;
    let (before, start) = (SystemTime::now(), Instant::now());
    let found = int80(CONNECT, [client.as_raw_fd().cast_unsigned(), 8, 16]);
    ensure!(found == EFAULT, "errno {found}");
    let outcome = Outcome::made_since(before, start, found);
    let attempt = Attempt::unreadable(u64::try_from(client.as_raw_fd())?, 8, 16).via("compat");
    stage.record(&attempt, &me, &outcome)
}

fn unexplained(stage: &Stage) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = loopback(listener.local_addr()?.port());
    let mut low = Low::new()?;
    for way in [Way::Direct, Way::Socketcall] {
        let client = tcp()?;
        ensure!(
            low.connect(way, client.as_raw_fd(), &address)? == 0,
            "not connected"
        );
        stage.unexplained(&address, Settlement::Established)?;
        let refused = tcp()?;
        let refusing = loopback(9);
        ensure!(
            low.connect(way, refused.as_raw_fd(), &refusing)? == ECONNREFUSED,
            "not refused"
        );
        stage.unexplained(&refusing, Settlement::Failed(ECONNREFUSED))?;
    }
    Ok(())
}

/// The same calls, also with signals, by a program whose handlers return by a system call that passes no hook.
fn of_a_real_program(stage: &Stage) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = loopback(listener.local_addr()?.port());
    for way in ["direct", "socketcall"] {
        for (address, errno) in [(&address, 0), (&loopback(9), ECONNREFUSED)] {
            let client = tcp()?;
            let program = Program::start(way, &client, address, 0)?;
            program.end(stage, errno, &Attempt::new(&client, address))?;
        }
        let full = FullListener::new(stage, way)?;
        for (flags, signals, errno) in [(SA_RESTART, 3, 0), (0, 1, EINTR)] {
            let client = unix_stream()?;
            let mut program = Program::start(way, &client, &full.address, flags)?;
            for _ in 0..signals {
                program.await_blocked()?;
                program.signal(Signal::USR1)?;
            }
            if errno == 0 {
                program.await_blocked()?;
                full.make_room()?;
            }
            let restarts = if errno == 0 { signals } else { 0 };
            let attempt = Attempt::new(&client, &full.address).restarted(restarts);
            program.end(stage, errno, &attempt)?;
        }
    }
    Ok(())
}

/// A 32-bit program, `tests/program32`, that makes one call.
struct Program {
    process: process::Child,
    output: process::ChildStdout,
    pid: Pid,
    since: (SystemTime, Instant),
}

impl Program {
    fn start(way: &str, socket: &OwnedFd, address: &Sockaddr, flags: i32) -> Result<Self> {
        let program = env::var_os(PROGRAM32).context("no 32-bit program")?;
        // It has the same descriptor.
        fcntl_setfd(socket, FdFlags::empty())?;
        let bytes: Vec<_> = address.bytes.iter().map(u8::to_string).collect();
        let since = (SystemTime::now(), Instant::now());
        let mut process = process::Command::new(program)
            .args([
                way,
                &socket.as_raw_fd().to_string(),
                &bytes.join(","),
                &flags.to_string(),
            ])
            .stdout(process::Stdio::piped())
            .spawn()?;
        Ok(Self {
            output: process.stdout.take().context("no output")?,
            pid: Pid::from_child(&process),
            process,
            since,
        })
    }

    fn await_blocked(&self) -> Result<()> {
        let file = format!("/proc/{}/syscall", self.pid);
        wait::until_true("a 32-bit program to block in connect", || {
            let call = fs::read_to_string(&file)?;
            let number = call
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok());
            Ok(state(self.pid, self.pid)? == 'S'
                && number.is_some_and(|number| [CONNECT, SOCKETCALL].contains(&number)))
        })
    }

    /// Sends a signal, and waits until its handler has begun.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal)?;
        let mut told = [0];
        self.output.read_exact(&mut told)?;
        ensure!(told == *b"!", "{told:?}");
        Ok(())
    }

    fn end(mut self, stage: &Stage, errno: i32, attempt: &Attempt<'_>) -> Result<()> {
        let mut told = String::new();
        self.output.read_to_string(&mut told)?;
        let (before, start) = self.since;
        let found: i32 = told.trim_start_matches('!').trim().parse()?;
        ensure!(found == errno, "errno {found} instead of {errno}");
        let outcome = Outcome::made_since(before, start, found);
        ensure!(self.process.wait()?.success(), "it has failed");
        let pid = self.pid.as_raw_nonzero().get();
        let caller = Caller {
            pid,
            tid: pid,
            comm: "program32".to_owned(),
            ..Caller::me()
        };
        let attempt = attempt.via("compat").of_the_kernel();
        stage.record(&attempt, &caller, &outcome)
    }
}
