//! A thread that rewrites the address while another connects to it.

use std::{
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed},
    thread,
};

use anyhow::{Context as _, Result, ensure};

use crate::support::{
    attempt::Attempt,
    case::Case,
    feature::FUNCTIONS,
    sockaddr::loopback,
    stage::Stage,
    syscall::{peer, udp},
    truth::Caller,
};

/// Alone, as a kernel that preempts programs (7.0) skips them where several tasks connect at once.
pub(crate) const CASES: &[Case] = &[
    Case::exact("rewritten_address_is_the_kernels", rewrite)
        .also_by_functions()
        .brief()
        .needs(&FUNCTIONS)
        .alone(),
    Case::new(
        "rewritten_address_may_deceive_tracepoints",
        |case| {
            let observation = case.run(&["--hooks", "tracepoint"])?;
            observation.assert_nothing_lost()?;
            ensure!(observation.connects.len() == CALLS, "not every call");
            for (call, event) in observation.truth.iter().zip(&observation.connects) {
                let key = "network.peer.port";
                let real = call.keys.get(key).and_then(serde_json::Value::as_i64);
                let real = real.context("no port")?;
                if event.integer(key)? != real {
                    // It was deceived, but the socket says where the call went.
                    ensure!(event.integer("destination.port")? == real, "{event:?}");
                }
            }
            Ok(())
        },
        rewrite,
    )
    .brief()
    .alone(),
];

const CALLS: usize = 4000;
const PORTS: [u16; 2] = [1001, 2002];

/// `struct sockaddr_in` of 127.0.0.1.
#[repr(C)]
struct Changing {
    family: u16,
    port: AtomicU16,
    address: [u8; 4],
    zero: [u8; 8],
}

fn rewrite(stage: &Stage) -> Result<()> {
    let passed = Changing {
        family: u16::try_from(libc::AF_INET)?,
        port: AtomicU16::new(PORTS[0].to_be()),
        address: [127, 0, 0, 1],
        zero: [0; 8],
    };
    let done = AtomicBool::new(false);
    let pointer = (&raw const passed).expose_provenance() as u64;
    let me = Caller::me();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                for port in PORTS {
                    passed.port.store(port.to_be(), Relaxed);
                }
            }
        });
        let connect = || {
            for _ in 0..CALLS {
                let socket = udp()?;
                let outcome = Attempt::new(&socket, &loopback(0)).at(pointer).make();
                ensure!(outcome.errno == 0, "errno {}", outcome.errno);
                let reached = peer(socket.as_raw_fd()).context("no peer")?;
                let reached = loopback(reached.port());
                let attempt = Attempt::new(&socket, &reached).of_the_kernel();
                stage.record(&attempt, &me, &outcome)?;
            }
            Ok(())
        };
        let connected = connect();
        done.store(true, Relaxed);
        connected
    })
}
