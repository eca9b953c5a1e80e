//! The observed program: makes calls whose number is known, as a user of its own.

use std::{
    env, io,
    net::{Ipv6Addr, TcpListener, UdpSocket},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    process::Command,
    sync::Barrier,
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use libc::{
    AF_INET, AF_INET6, EAFNOSUPPORT, EBADF, ECONNREFUSED, EINPROGRESS, EINVAL, ENETUNREACH, ENOENT,
    SOCK_NONBLOCK, SOCK_STREAM,
};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::support::{
    child::join,
    process::Guard,
    sockaddr::{Sockaddr, inet, inet6, loopback, mapped, unix, unix_abstract},
    syscall::{await_peer, connect, register, socket, tcp, udp, unix_stream},
};

/// First word of this binary's command line when it is the observed program.
pub(crate) const WORKLOAD: &str = "workload";

/// A program: its name, and what it does.
type Play = (&'static str, fn() -> Result<()>);

const PLAYS: &[Play] = &[
    ("mixed", mixed),
    ("flood", flood),
    ("first", first_of_kind),
    ("errnos", any_errno),
    ("names", names),
    ("ports", ports),
    ("hostile", hostile),
    ("one", one),
    ("own_port", own_port),
    ("transports", transports),
    ("unanswered", unanswered),
];

/// This binary as the program of this name, as this user.
pub(crate) fn words(name: &str, uid: u32) -> Result<Vec<String>> {
    let this = env::current_exe().context("this binary has no path")?;
    let this = this.into_os_string().into_string();
    let this = this.map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))?;
    Ok(vec![this, WORKLOAD.into(), name.into(), uid.to_string()])
}

/// Plays a program to its end, which must be a success.
pub(crate) fn run(name: &str, uid: u32) -> Result<()> {
    let words = words(name, uid)?;
    let workload = Guard::start(Command::new(&words[0]).args(&words[1..]))?;
    let status = workload.end("the workload")?;
    ensure!(status.success(), "the workload {name} ended with {status}");
    Ok(())
}

pub(crate) fn play(words: &[String]) -> Result<()> {
    let [name, uid] = words else {
        bail!("a workload needs a name and a user id");
    };
    let uid = uid.parse()?;
    if uid != 0 {
        // SAFETY: takes integers.
        let result = unsafe { libc::setresuid(uid, uid, uid) };
        ensure!(result == 0, "{}", io::Error::last_os_error());
        // It is forgotten by a change of the user.
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    let (_, play) = PLAYS
        .iter()
        .find(|(known, _)| known == name)
        .context("no such workload")?;
    play()
}

/// Calls of one kind: family, errno, how many.
pub(crate) type Kind = (&'static str, &'static str, u64);

/// What [`mixed`] makes.
pub(crate) const MIXED: &[Kind] = &[
    ("inet", "none", 137 + 19),
    ("inet", "ECONNREFUSED", 53 + 4),
    ("inet", "ENETUNREACH", 29),
    ("inet", "EBADF", 11),
    ("inet", "EINPROGRESS", 7),
    ("inet6", "ECONNREFUSED", 5),
    ("unix", "none", 3),
    ("unix", "ENOENT", 17),
    ("netlink", "EBADF", 2),
    ("other", "EAFNOSUPPORT", 2),
    ("unknown", "EINVAL", 1),
];

/// What becomes of the attempts that [`mixed`] makes: family, outcome, errno, how many. The calls that
/// return EINPROGRESS are established.
pub(crate) const SETTLED: &[(&str, &str, &str, u64)] = &[
    ("inet", "established", "none", 137 + 7),
    ("inet", "failed", "ECONNREFUSED", 53 + 4),
    ("inet6", "failed", "ECONNREFUSED", 5),
];

fn call(fd: i32, address: &Sockaddr) -> i32 {
    let pointer = address.bytes.as_ptr().expose_provenance() as u64;
    connect(register(fd), pointer, address.len() as u64)
}

fn times(
    count: u64,
    errno: i32,
    socket: impl Fn() -> Result<OwnedFd>,
    address: &Sockaddr,
) -> Result<()> {
    for _ in 0..count {
        let got = call(socket()?.as_raw_fd(), address);
        ensure!(got == errno, "needs errno {errno}, got {got}: {address:?}");
    }
    Ok(())
}

fn mixed() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let there = loopback(listener.local_addr()?.port());
    let accepting = thread::spawn(move || {
        for _ in 0..137 + 7 {
            // Its errors show as missing calls.
            let _accepted = listener.accept();
        }
    });
    times(137, 0, tcp, &there)?;
    for _ in 0..7 {
        let client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)?;
        let got = call(client.as_raw_fd(), &there);
        ensure!(got == EINPROGRESS, "needs EINPROGRESS, got {got}");
        await_peer(&client)?;
    }
    if accepting.join().is_err() {
        bail!("the listener panicked");
    }
    times(53, ECONNREFUSED, tcp, &loopback(9))?;
    times(29, ENETUNREACH, tcp, &inet([192, 0, 2, 1], 80))?;
    let tcp6 = || Ok(socket(AF_INET6, SOCK_STREAM, 0)?);
    times(
        5,
        ECONNREFUSED,
        tcp6,
        &inet6(Ipv6Addr::LOCALHOST, 9, 0, "::1"),
    )?;
    // IPv4, though it is passed as IPv6.
    times(4, ECONNREFUSED, tcp6, &mapped([127, 0, 0, 1], 9))?;
    let deaf = UdpSocket::bind("127.0.0.1:0")?;
    times(19, 0, udp, &loopback(deaf.local_addr()?.port()))?;

    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name("mixed")?)?;
    times(3, 0, unix_stream, &unix_abstract(b"mixed"))?;
    drop(listener);
    times(17, ENOENT, unix_stream, &unix(b"/nonexistent"))?;

    for _ in 0..11 {
        ensure!(call(-1, &loopback(9)) == EBADF, "a descriptor -1");
    }
    let netlink = Sockaddr::raw(&[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None);
    for _ in 0..2 {
        ensure!(call(-1, &netlink) == EBADF, "a descriptor -1");
    }
    times(2, EAFNOSUPPORT, tcp, &Sockaddr::raw(&[99; 16], None))?;
    times(1, EINVAL, tcp, &Sockaddr::raw(&[], None))
}

/// Associations of [`unanswered`].
pub(crate) const UNANSWERED: u64 = 50;

/// Connects a datagram socket to a port where nobody listens, and sends twice: the network answers with an error each
/// time.
fn unanswered() -> Result<()> {
    let socket = UdpSocket::from(udp()?);
    for _ in 0..UNANSWERED {
        ensure!(
            call(socket.as_raw_fd(), &loopback(9)) == 0,
            "no association"
        );
        for _ in 0..2 {
            socket.send(b"anybody there?")?;
            let refused = socket.recv(&mut [0]).map_err(|error| error.raw_os_error());
            ensure!(refused == Err(Some(ECONNREFUSED)), "{refused:?}");
        }
    }
    Ok(())
}

/// Threads that call at the same time.
const THREADS: u64 = 4;
/// Calls of each, in a flood.
const FLOOD_EACH: u64 = 50_000;
/// Calls of [`flood`].
pub(crate) const FLOOD: u64 = THREADS * FLOOD_EACH;

/// Calls as fast as can be, from several threads: `calls` are done by each, all at the same time.
fn together(calls: impl Fn(&dyn Fn()) -> Result<()> + Sync) -> Result<()> {
    let barrier = Barrier::new(usize::try_from(THREADS)?);
    let wait = || {
        barrier.wait();
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| calls(&wait))).collect();
        threads.into_iter().try_for_each(join)
    })
}

fn flood() -> Result<()> {
    let address = loopback(9);
    together(|wait| {
        wait();
        for _ in 0..FLOOD_EACH {
            ensure!(call(-1, &address) == EBADF, "a descriptor -1");
        }
        Ok(())
    })
}

/// Families of [`first_of_kind`], each of which is a class of its own.
pub(crate) const FIRST_FAMILIES: [u8; 13] = [0, 1, 2, 10, 16, 17, 29, 30, 31, 38, 40, 42, 44];
/// Calls of [`first_of_kind`] by family.
pub(crate) const FIRST_EACH: u64 = THREADS;

/// All threads make the very first call of each kind at the same time.
fn first_of_kind() -> Result<()> {
    together(|wait| {
        for family in FIRST_FAMILIES {
            let address = Sockaddr::raw(&[family, 0, 1, 1, 1, 1, 1, 1], None);
            wait();
            ensure!(call(-1, &address) == EBADF, "a descriptor -1");
        }
        Ok(())
    })
}

/// Errnos of [`any_errno`]: from 1 to this.
pub(crate) const ANY_ERRNO: u16 = 400;

/// Under seccomp filters of its own, each of which returns another errno to every connect. Any
/// process can do that.
fn any_errno() -> Result<()> {
    // SAFETY: takes integers.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    ensure!(result == 0, "{}", io::Error::last_os_error());
    let address = loopback(9);
    for errno in 1..=ANY_ERRNO {
        // Filters add up, so each errno is had by a thread of its own.
        thread::scope(|scope| {
            join(scope.spawn(|| {
                deny_connect(errno)?;
                let got = call(-1, &address);
                ensure!(got == i32::from(errno), "needs errno {errno}, got {got}");
                Ok(())
            }))
        })?;
    }
    Ok(())
}

/// Has connect(2) of this thread fail with an errno.
fn deny_connect(errno: u16) -> Result<()> {
    let number = u32::try_from(libc::SYS_connect)?;
    let statement = |code: u32, k: u32, jf: u8| libc::sock_filter {
        // The codes of classic BPF have 16 bits.
        code: u16::try_from(code).unwrap_or(0),
        jt: 0,
        jf,
        k,
    };
    let mut filter = [
        // The number of the system call, which comes first in struct seccomp_data.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 1),
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | u32::from(errno),
            0,
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len())?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program lives until the call returns, and the kernel checks it.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    ensure!(result == 0, "{}", io::Error::last_os_error());
    Ok(())
}

/// Calls of [`names`], each under another name.
pub(crate) const NAMES: u64 = 100_000;

fn rename(name: &[u8]) -> Result<()> {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name);
    // SAFETY: a string that ends with a NUL.
    let result = unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
    ensure!(result == 0, "{}", io::Error::last_os_error());
    Ok(())
}

fn names() -> Result<()> {
    let address = loopback(9);
    for number in 0..NAMES {
        rename(format!("name {number}").as_bytes())?;
        ensure!(call(-1, &address) == EBADF, "a descriptor -1");
    }
    Ok(())
}

/// Calls of [`ports`], each to another port.
pub(crate) const PORTS: u16 = 60_000;

fn ports() -> Result<()> {
    // Of TCP, some would connect to themselves, or to what another test listens with.
    // All but the agent's.
    (1..=PORTS + 1)
        .filter(|&port| port != 9788)
        .try_for_each(|port| times(1, 0, udp, &loopback(port)))
}

/// Names and unix paths that would break out of where they are shown.
pub(crate) const HOSTILE: [(&[u8], &[u8]); 6] = [
    (
        b"quote\"",
        b"/no/\"} 1\nconnect_observer_connects_total{errno=\"",
    ),
    (b"back\\slash\\", b"/no/\\\\\"\\n"),
    (b"line\nfeed\r", b"/no/\n# EOF\n"),
    (b"\x1b[31mred\x07", b"/no/\xe2\x80\xaegnp.exe"),
    (b"\xff\xfe\x80", b"/no/\xf0\x28\x8c\x28"),
    ("µ{le=\"1\"}".as_bytes(), "/no/ä ö{},=~".as_bytes()),
];
/// How often each calls.
pub(crate) const HOSTILE_EACH: u64 = 3;

fn hostile() -> Result<()> {
    for (name, path) in HOSTILE {
        rename(name)?;
        times(HOSTILE_EACH, ENOENT, unix_stream, &unix(path))?;
    }
    Ok(())
}

fn one() -> Result<()> {
    times(1, ECONNREFUSED, tcp, &loopback(9))
}

/// Calls of [`transports`]: transport, family, errno, peer address, how many.
pub(crate) const TRANSPORTS: [(&str, &str, &str, &str, u64); 5] = [
    // By sockets of IPv4 and, as an IPv4-mapped address, by those of IPv6.
    ("tcp", "inet", "ECONNREFUSED", "127.0.0.1", 2 + 3),
    ("udp", "inet", "none", "127.0.0.1", 5 + 7),
    ("udp", "inet6", "none", "::1", 11),
    ("unknown", "inet", "EBADF", "127.0.0.1", 13 + 17),
    ("unix", "unix", "ENOENT", "/nonexistent", 19),
];

/// The same peers by several transports.
fn transports() -> Result<()> {
    let (plain, mapped) = (loopback(9), mapped([127, 0, 0, 1], 9));
    let of6 = |kind| move || Ok(socket(AF_INET6, kind, 0)?);
    times(2, ECONNREFUSED, tcp, &plain)?;
    times(3, ECONNREFUSED, of6(SOCK_STREAM), &mapped)?;
    times(5, 0, udp, &plain)?;
    times(7, 0, of6(libc::SOCK_DGRAM), &mapped)?;
    let localhost6 = inet6(Ipv6Addr::LOCALHOST, 9, 0, "::1");
    times(11, 0, of6(libc::SOCK_DGRAM), &localhost6)?;
    for (count, address) in [(13, &plain), (17, &mapped)] {
        for _ in 0..count {
            ensure!(call(-1, address) == EBADF, "a descriptor -1");
        }
    }
    times(19, ENOENT, unix_stream, &unix(b"/nonexistent"))
}

/// To the agent itself, and to the same port of nobody.
fn own_port() -> Result<()> {
    times(5, 0, tcp, &loopback(9788))?;
    let tcp6 = || Ok(socket(AF_INET6, SOCK_STREAM, 0)?);
    times(3, 0, tcp6, &mapped([127, 0, 0, 1], 9788))?;
    times(2, ENETUNREACH, tcp, &inet([192, 0, 2, 1], 9788))
}
