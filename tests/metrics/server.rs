//! The server: what it answers, and what clients cannot do to it.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    http,
    scrape::{ADDRESS, export, memory_kib, metrics},
    support::{agent, scratch::Scratch, wait},
    workload,
};

pub(crate) fn formats() -> Result<()> {
    const UID: u32 = 61_031;
    let agent = export(UID, &[])?;
    workload::run("one", UID)?;
    let openmetrics = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    for (accept, content_type) in [
        ("Accept: */*", "text/plain; version=0.0.4; charset=utf-8"),
        (
            openmetrics,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ] {
        let answer = http::get(ADDRESS, "/metrics", &[accept])?;
        let header = format!("content-type: {content_type}\r\n");
        ensure!(answer.head.contains(&header), "{}", answer.head);
        let is_openmetrics = accept == openmetrics;
        ensure!(
            answer.body.ends_with("# EOF\n") == is_openmetrics,
            "{}",
            answer.body
        );
        let name = if is_openmetrics {
            "connects"
        } else {
            "connects_total"
        };
        let declared = format!("# TYPE connect_observer_{name} counter\n");
        ensure!(answer.body.contains(&declared), "{}", answer.body);
    }
    let accept = "Accept: application/vnd.google.protobuf;\
                  proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let bytes = http::get_bytes(ADDRESS, "/metrics", &[accept])?;
    let head = b"content-type: application/vnd.google.protobuf; ";
    ensure!(
        bytes.windows(head.len()).any(|window| window == head),
        "no protobuf"
    );
    agent.terminate()?;
    Ok(())
}

pub(crate) fn pages() -> Result<()> {
    let agent = export(61_032, &[])?;
    for (target, status, beginning) in [
        ("/healthz", 200, "ok\n"),
        ("/", 200, "<!DOCTYPE html>"),
        ("/nothing", 404, ""),
    ] {
        let answer = http::get(ADDRESS, target, &[])?;
        ensure!(answer.status == status, "{target}: {}", answer.status);
        ensure!(
            answer.body.starts_with(beginning),
            "{target}: {}",
            answer.body
        );
    }
    agent.terminate()?;
    Ok(())
}

/// More connections than the server allows, of clients that never finish their request or never read
/// their answer. Others are served meanwhile, and memory stays as it is.
pub(crate) fn slow_clients() -> Result<()> {
    const UID: u32 = 61_033;
    let scratch = Scratch::new()?;
    let events = scratch.file("events");
    let events = events.to_string_lossy();
    let agent = export(UID, &["--output", "json", "-o", &events])?;
    metrics()?;
    let before = memory_kib(&agent)?;
    let mut clients = Vec::new();
    for number in 0..300 {
        let mut client = TcpStream::connect(ADDRESS)?;
        let request = if number % 2 == 0 {
            "GET /metrics HTTP/1.1\r\nX-Slow: "
        } else {
            "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        };
        // It may have been thrown out already.
        let _written = client.write_all(request.as_bytes());
        clients.push(client);
    }
    for _ in 0..10 {
        let start = Instant::now();
        let metrics = metrics()?;
        // Far below the time after which a slow client is thrown out.
        ensure!(
            start.elapsed() < Duration::from_secs(3),
            "a scrape took {:?}",
            start.elapsed()
        );
        let open = metrics.sum("process_open_fds", &[]);
        ensure!(open < 120, "{open} descriptors are open");
    }
    workload::run("mixed", UID)?;
    let made = workload::MIXED
        .iter()
        .map(|(_, _, count)| count)
        .sum::<u64>();
    wait::until_true("the events to be written", || {
        let events = scratch.text("events")?;
        let connects = events
            .lines()
            .filter(|line| line.contains(r#""event":"connect""#));
        Ok(connects.count() as u64 == made)
    })?;
    let after = agent.status_kib("VmHWM:")?;
    ensure!(
        after < before + (16 << 10),
        "memory was {before} KiB, and is {after} KiB"
    );
    drop(clients);
    agent.terminate()?;
    Ok(())
}

pub(crate) fn large_headers() -> Result<()> {
    let agent = export(61_034, &[])?;
    for header in [
        format!("X-Large: {}\r\n", "x".repeat(64 << 10)),
        "X-Many: x\r\n".repeat(500),
    ] {
        let mut client = TcpStream::connect(ADDRESS)?;
        // The server may hang up before it has everything.
        let _written = client.write_all(format!("GET / HTTP/1.1\r\n{header}\r\n").as_bytes());
        let mut answer = String::new();
        let _read = client.read_to_string(&mut answer);
        ensure!(!answer.contains(" 200 "), "{answer}");
    }
    metrics()?;
    agent.terminate()?;
    Ok(())
}

/// What it says and returns where it cannot listen.
fn refused(words: &[&str]) -> Result<String> {
    let ended = agent::run(words)?;
    ensure!(ended.code() == 1, "{:?}", ended.status);
    let said = ended.stderr;
    ensure!(said.lines().count() == 1, "{said}");
    Ok(said)
}

pub(crate) fn port_in_use() -> Result<()> {
    let _taken = TcpListener::bind(ADDRESS)?;
    for words in [&["export"][..], &["trace", "--listen", ADDRESS]] {
        let said = refused(words)?;
        ensure!(
            said.starts_with("error: cannot listen on 127.0.0.1:9788: Address already in use"),
            "{said}"
        );
    }
    Ok(())
}

pub(crate) fn no_address() -> Result<()> {
    for address in [
        "no-such-host.invalid:9788",
        "192.0.2.1:9788",
        "\u{1b}[31m:1",
    ] {
        let said = refused(&["export", "--listen", address])?;
        ensure!(said.starts_with("error: cannot listen on "), "{said}");
        ensure!(!said.contains('\u{1b}'), "{said:?}");
    }
    Ok(())
}

pub(crate) fn idle_at_end() -> Result<()> {
    let agent = export(61_037, &[])?;
    let mut kept = TcpStream::connect(ADDRESS)?;
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut answer = [0; 1024];
    let length = kept.read(&mut answer)?;
    let answer = answer.get(..length).context("nothing")?;
    ensure!(answer.starts_with(b"HTTP/1.1 200 OK"), "{answer:?}");
    let mut half = TcpStream::connect(ADDRESS)?;
    half.write_all(b"GET /met")?;
    let start = Instant::now();
    agent.terminate()?;
    // Two seconds for the drain, and the hooks are taken away.
    ensure!(
        start.elapsed() < Duration::from_secs(20),
        "it took {:?}",
        start.elapsed()
    );
    Ok(())
}
