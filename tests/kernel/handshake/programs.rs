//! Real programs, and what they do with their attempts.

use std::{net::TcpListener, process::Command, thread};

use anyhow::{Result, ensure};

use super::superseded::assert_superseded;
use crate::support::{
    case::Case,
    feature::PROGRAMS,
    namespace::add_to_loopback,
    network::route_to_silence,
    stage::Stage,
    tool::{CURL, PYTHON},
};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "happy_eyeballs_leaves_one_attempt_and_takes_the_other",
        |case| {
            let observation = case.run(&[])?;
            observation.assert_nothing_lost()?;
            let mut ends: Vec<_> = observation
                .outcomes
                .iter()
                .map(|outcome| {
                    Ok((
                        outcome.text("network.peer.address")?,
                        outcome.text("outcome")?,
                    ))
                })
                .collect::<Result<_>>()?;
            ends.sort_unstable();
            ensure!(
                ends == [("127.0.0.1", "established"), ("2001:db8::1", "abandoned")],
                "{ends:?}"
            );
            assert_superseded(&observation)?;
            let failed = case.run(&["--failed"])?;
            ensure!(failed.outcomes.is_empty(), "{:?}", failed.outcomes);
            Ok(())
        },
        happy_eyeballs,
    )
    .needs(&PROGRAMS),
    Case::new(
        "asyncio_with_hundreds_of_connects",
        |case| {
            let observation = case.run(&[])?;
            observation.assert_nothing_lost()?;
            let count = |word| {
                let of = observation.outcomes.iter();
                of.filter(|outcome| outcome.text("outcome").is_ok_and(|found| found == word))
                    .count()
            };
            let counts = (count("established"), count("failed"), count("abandoned"));
            ensure!(counts == (300, 100, 50), "{counts:?}");
            ensure!(observation.unsettled == 0, "{}", observation.unsettled);
            Ok(())
        },
        asyncio,
    )
    .alone()
    .needs(&PROGRAMS),
];

/// The first address answers nothing, so the second is tried beside it.
fn happy_eyeballs(_stage: &Stage) -> Result<()> {
    // Of a network for documentation (RFC 3849): the loopback takes what is sent there, and nobody
    // answers.
    add_to_loopback("2001:db8::2".parse()?, 64)?;
    let listener = TcpListener::bind("127.0.0.1:8080")?;
    thread::spawn(move || {
        while let Ok((mut peer, _)) = listener.accept() {
            use std::io::{Read as _, Write as _};
            // A client that has gone is its own affair.
            let _asked = peer.read(&mut [0; 4096]);
            let _told = peer.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let status = Command::new(CURL.path()?)
        .args([
            "--silent",
            "--show-error",
            "--output",
            "/dev/null",
            "--noproxy",
            "*",
        ])
        .args(["--resolve", "host.test:8080:[2001:db8::1],127.0.0.1"])
        .args(["--happy-eyeballs-timeout-ms", "50"])
        .arg("http://host.test:8080/")
        .status()?;
    ensure!(status.success(), "curl ended with {status}");
    Ok(())
}

fn asyncio(_stage: &Stage) -> Result<()> {
    const PROGRAM: &str = r#"
import asyncio

async def serve(reader, writer):
    await reader.read()
    writer.close()

async def established(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()

async def refused():
    try:
        await asyncio.open_connection("127.0.0.1", 9)
    except ConnectionRefusedError:
        return
    raise SystemExit("not refused")

async def abandoned():
    try:
        await asyncio.wait_for(asyncio.open_connection("192.0.2.1", 80), 0.05)
    except asyncio.TimeoutError:
        return
    raise SystemExit("not timed out")

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    port = server.sockets[0].getsockname()[1]
    work = [established(port) for _ in range(300)]
    work += [refused() for _ in range(100)] + [abandoned() for _ in range(50)]
    await asyncio.gather(*work)

asyncio.run(main())
"#;
    route_to_silence()?;
    let status = Command::new(PYTHON.path()?)
        .args(["-I", "-c", PROGRAM])
        .status()?;
    ensure!(status.success(), "python3 ended with {status}");
    Ok(())
}
