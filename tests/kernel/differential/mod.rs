//! Real programs, seen by strace and by us: the same calls.

use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead as _, BufReader},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    os::unix::net::UnixListener,
    path::Path,
    process::Command as Process,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    mount::{MountPropagationFlags, mount_bind, mount_change},
    thread::UnshareFlags,
};

use crate::support::{
    case::Case,
    feature::PROGRAMS,
    namespace::{add_to_loopback, unshare},
    observer::{Command, Observer},
    scratch::Scratch,
    stage::Stage,
    strace::{self, Calls},
    tool::{CURL, GETENT, PYTHON, STRACE, Tool},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("curl_calls_what_strace_sees", |case| same(case, 15), curl).needs(&PROGRAMS),
    Case::new(
        "resolver_calls_what_strace_sees",
        |case| same(case, 15),
        resolver,
    )
    .needs(&PROGRAMS),
    Case::new(
        "python_sockets_call_what_strace_sees",
        |case| same(case, 30),
        python_sockets,
    )
    .needs(&PROGRAMS),
    Case::new(
        "python_threads_call_what_strace_sees",
        |case| same(case, 400),
        python_threads,
    )
    .needs(&PROGRAMS),
    Case::new(
        "python_asyncio_calls_what_strace_sees",
        |case| same(case, 100),
        python_asyncio,
    )
    .needs(&PROGRAMS),
    Case::new(
        "program_calls_the_same_alone_as_under_strace",
        apart,
        python_apart,
    )
    .needs(&PROGRAMS),
];

/// Where the web server listens.
const HTTP_PORT: u16 = 8080;
/// A name that only our own name server knows.
const NAME: &str = "service.connect-observer.test";
/// Beginning of the names of strace's outputs.
const OUTPUT: &str = "strace-";

/// The program ran once, under both: strace is part of the command that the agent observes.
fn same(case: &Case, at_least: usize) -> Result<()> {
    let scratch = Scratch::new()?;
    let command = case.command(&scratch, "")?;
    let observation = Observer::start(&scratch, &Command::run(&[], command))?.end()?;
    observation.assert_nothing_lost()?;
    let mut calls = Calls::new();
    for entry in fs::read_dir(scratch.path())? {
        let name = entry?.file_name();
        if let Some(name) = name.to_str().filter(|name| name.starts_with(OUTPUT)) {
            strace::parse(&scratch.text(name)?, &mut calls)?;
        }
    }
    strace::assert_same(&calls, &strace::of_events(&observation.connects)?)?;
    let made: usize = calls.values().map(Vec::len).sum();
    ensure!(
        made >= at_least,
        "{made} calls are too few for a comparison"
    );
    Ok(())
}

/// The program ran twice: once under the agent, once under strace.
fn apart(case: &Case) -> Result<()> {
    let scratch = Scratch::new()?;
    let command = case.command(&scratch, "alone")?;
    let observation = Observer::start(&scratch, &Command::run(&[], command))?.end()?;
    observation.assert_nothing_lost()?;
    let traced = case.start(&scratch, "strace")?;
    ensure!(
        traced.end("the traced program")?.success(),
        "the program failed"
    );
    let mut calls = Calls::new();
    strace::parse(&scratch.text(&format!("{OUTPUT}0"))?, &mut calls)?;
    // One thread each, of another number.
    let [(_, strace), (_, ours)] = [calls, strace::of_events(&observation.connects)?]
        .map(|mut calls| calls.pop_first().unwrap_or_default());
    ensure!(strace.len() >= 30, "{} calls are too few", strace.len());
    strace::assert_same(&Calls::from([(0, strace)]), &Calls::from([(0, ours)]))
}

fn curl(stage: &Stage) -> Result<()> {
    serve(stage)?;
    let socket = stage.file("http.sock");
    let socket = socket.to_str().context("no path")?;
    let by_name = format!("http://{NAME}:{HTTP_PORT}/");
    for (number, (arguments, succeeds)) in [
        (&["http://127.0.0.1:8080/"][..], true),
        (&["http://[::1]:8080/", "http://localhost:8080/"], true),
        (&["http://127.0.0.1:9/"], false),
        (&["http://localhost:9/"], false),
        (&[&by_name], true),
        (&["http://no-such-name.invalid/"], false),
        (&["http://192.0.2.1/"], false),
        (&["--unix-socket", socket, "http://127.0.0.1/"], true),
        (
            &["--unix-socket", "/no/such/socket", "http://127.0.0.1/"],
            false,
        ),
        (&["--parallel", "http://127.0.0.1:8080/[1-20]"], true),
    ]
    .into_iter()
    .enumerate()
    {
        let silent = [
            "-q",
            "-s",
            "--no-progress-meter",
            "--noproxy",
            "*",
            "-o",
            "/dev/null",
        ];
        let arguments = [&silent[..], arguments].concat();
        let succeeded = under_strace(stage, number, &CURL, &arguments)?;
        ensure!(
            succeeded == succeeds,
            "curl {arguments:?}: success {succeeded}"
        );
    }
    Ok(())
}

/// The C library's: name servers over UDP, then a connect to each address it found, to sort them.
fn resolver(stage: &Stage) -> Result<()> {
    serve(stage)?;
    for (number, (arguments, succeeds)) in [
        (["ahosts", NAME], true),
        (["ahosts", "localhost"], true),
        (["ahostsv6", NAME], true),
        (["hosts", NAME], true),
        (["ahosts", "no-such-name.invalid"], false),
        (["passwd", "root"], true),
    ]
    .into_iter()
    .enumerate()
    {
        let succeeded = under_strace(stage, number, &GETENT, &arguments)?;
        ensure!(
            succeeded == succeeds,
            "getent {arguments:?}: success {succeeded}"
        );
    }
    Ok(())
}

fn python_sockets(stage: &Stage) -> Result<()> {
    python(stage, include_str!("sockets.py"))
}

fn python_threads(stage: &Stage) -> Result<()> {
    python(stage, include_str!("threads.py"))
}

fn python_asyncio(stage: &Stage) -> Result<()> {
    python(stage, include_str!("coroutines.py"))
}

fn python(stage: &Stage, script: &str) -> Result<()> {
    serve(stage)?;
    std::env::set_current_dir(stage.directory())?;
    let succeeded = under_strace(stage, 0, &PYTHON, &["-I", "-c", script])?;
    ensure!(succeeded, "the script failed");
    Ok(())
}

fn python_apart(stage: &Stage) -> Result<()> {
    serve(stage)?;
    std::env::set_current_dir(stage.directory())?;
    let arguments = ["-I", "-c", include_str!("sockets.py")];
    let succeeded = match stage.role.as_str() {
        "strace" => under_strace(stage, 0, &PYTHON, &arguments)?,
        _ => Process::new(PYTHON.path()?)
            .args(arguments)
            .status()?
            .success(),
    };
    ensure!(succeeded, "the script failed");
    Ok(())
}

/// Runs a tool under strace. Returns whether it succeeded.
fn under_strace(
    stage: &Stage,
    number: usize,
    tool: &Tool,
    arguments: &[impl AsRef<OsStr>],
) -> Result<bool> {
    let status = Process::new(STRACE.path()?)
        .args(strace::OPTIONS)
        .arg(stage.file(&format!("{OUTPUT}{number}")))
        .arg(tool.path()?)
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .status()?;
    Ok(status.success())
}

/// A web server on TCP and on a unix socket, and a name server which every program asks.
fn serve(stage: &Stage) -> Result<()> {
    let tcp = TcpListener::bind(("::", HTTP_PORT))?;
    let socket = stage.file("http.sock");
    if socket.exists() {
        // Of the run before.
        fs::remove_file(&socket)?;
    }
    let unix = UnixListener::bind(socket)?;
    let names = UdpSocket::bind("127.0.0.1:53")?;
    thread::spawn(move || tcp.incoming().map(|client| answer(client?)).for_each(drop));
    thread::spawn(move || unix.incoming().map(|client| answer(client?)).for_each(drop));
    thread::spawn(move || resolve(&names));

    // Resolvers look for IPv6 addresses only where there is one that is not the loopback's.
    add_to_loopback("2001:db8::5".parse()?, 128)?;
    unshare(UnshareFlags::NEWNS)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    let configuration = stage.file("resolv.conf");
    fs::write(&configuration, "nameserver 127.0.0.1\n")?;
    // Without the file, resolvers ask 127.0.0.1 as well.
    if Path::new("/etc/resolv.conf").exists() {
        mount_bind(&configuration, "/etc/resolv.conf")?;
    }
    Ok(())
}

/// Answers one request, whatever it is.
fn answer(client: impl io::Read + io::Write) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    while client.read_line(&mut line)? > 2 {
        line.clear();
    }
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
    client.get_mut().write_all(answer)
}

/// Knows one name, as `127.0.0.1` and `::1` (RFC 1035).
fn resolve(socket: &UdpSocket) -> Result<()> {
    const HEADER: usize = 12;
    const A: u16 = 1;
    const AAAA: u16 = 28;
    let mut name = Vec::new();
    for label in NAME.split('.') {
        name.push(u8::try_from(label.len())?);
        name.extend(label.bytes());
    }
    name.push(0);
    let mut buffer = [0; 512];
    loop {
        let (length, client) = socket.recv_from(&mut buffer)?;
        let query = &buffer[..length];
        let asked = query[HEADER..].split_inclusive(|&byte| byte == 0).next();
        let asked = asked.context("no question")?;
        // The question ends with its type and class.
        let question = &query[HEADER..HEADER + asked.len() + 4];
        let kind = u16::from_be_bytes([question[asked.len()], question[asked.len() + 1]]);
        let is_known = asked == name;
        let address = match kind {
            A if is_known => Ipv4Addr::LOCALHOST.octets().to_vec(),
            AAAA if is_known => Ipv6Addr::LOCALHOST.octets().to_vec(),
            _ => vec![],
        };
        // A response, with recursion; "no such name" for any other.
        let flags = [0x81, if is_known { 0x80 } else { 0x83 }];
        let counts = [0, 1, 0, u8::from(!address.is_empty()), 0, 0, 0, 0];
        let mut response = [&query[..2], &flags, &counts, question].concat();
        if !address.is_empty() {
            // The name is the one at offset 12; class IN, for a minute.
            response.extend([0xc0, 12]);
            response.extend(kind.to_be_bytes());
            response.extend([0, 1, 0, 0, 0, 60, 0, u8::try_from(address.len())?]);
            response.extend(address);
        }
        socket.send_to(&response, client)?;
    }
}
