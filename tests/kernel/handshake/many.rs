//! Many attempts at once: each is settled exactly once.

use std::{net::TcpStream, thread};

use anyhow::{Result, ensure};
use libc::ECONNREFUSED;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{begin, conclude, listener};
use crate::support::{
    attempt::Settlement,
    case::Case,
    child::join,
    network::{SILENT, route_to_silence},
    sockaddr::{inet, loopback},
    stage::Stage,
};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "a_thousand_attempts_at_once_are_each_settled_once",
        |case| {
            let observation = case.run(&[])?;
            observation.assert_outcomes()?;
            let (calls, outcomes) = (observation.connects.len(), observation.outcomes.len());
            ensure!((calls, outcomes) == (1200, 1200), "{calls} and {outcomes}");
            Ok(())
        },
        thousand,
    )
    .alone(),
    Case::outcomes("attempts_of_many_threads", threads).alone(),
];

fn thousand(stage: &Stage) -> Result<()> {
    let room = Rlimit {
        current: Some(4096),
        maximum: Some(4096),
    };
    setrlimit(Resource::Nofile, room)?;
    route_to_silence()?;
    let (_listener, address) = listener()?;
    let silent = inet(SILENT, 80);
    let waiting: Vec<TcpStream> = (0..1000)
        .map(|_| begin(stage, &silent))
        .collect::<Result<_>>()?;
    // Others come and go meanwhile.
    let refusing = loopback(9);
    for _ in 0..100 {
        let socket = begin(stage, &address)?;
        conclude(stage, &socket, &address, 0)?;
        let socket = begin(stage, &refusing)?;
        conclude(stage, &socket, &refusing, ECONNREFUSED)?;
    }
    for socket in waiting {
        stage.settled(&socket, &silent, Settlement::Abandoned)?;
    }
    Ok(())
}

fn threads(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let refusing = loopback(9);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let socket = begin(stage, &address)?;
                        conclude(stage, &socket, &address, 0)?;
                        let socket = begin(stage, &refusing)?;
                        conclude(stage, &socket, &refusing, ECONNREFUSED)?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(join)
    })
}
