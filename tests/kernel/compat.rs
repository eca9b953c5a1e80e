//! Connects by the system calls of 32-bit programs.

use std::{
    arch::asm,
    net::TcpListener,
    os::fd::{AsRawFd as _, OwnedFd},
    time::{Instant, SystemTime},
};

use anyhow::{Result, ensure};
use libc::{EBADF, ECONNREFUSED, EFAULT, SOCK_NONBLOCK, SOCK_STREAM};

use crate::support::{
    case::Case,
    feature::FUNCTIONS,
    memory::Pages,
    sockaddr::{Sockaddr, loopback},
    stage::{Attempt, Outcome, Settlement, Stage},
    syscall::{socket, tcp, udp},
    truth::Caller,
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("compat_connects", both_ways).needs(&FUNCTIONS),
    Case::new(
        "compat_connects_by_functions_alone",
        |case| case.run(&["--hooks", "function"])?.assert_outcomes(),
        both_ways,
    )
    .needs(&FUNCTIONS),
    Case::new(
        "compat_attempts_are_seen_by_tracepoints",
        |case| {
            let observation = case.run(&["--hooks", "tracepoint"])?;
            ensure!(observation.connects.is_empty(), "{observation:?}");
            observation.assert_nothing_lost()?;
            observation.assert_only_outcomes()
        },
        unexplained,
    ),
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
