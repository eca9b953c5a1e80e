//! Options that are about outcomes.

use anyhow::{Result, ensure};
use libc::ECONNREFUSED;

use super::{begin, conclude, listener};
use crate::support::{
    attempt::Settlement,
    case::Case,
    child::fork,
    network::{SILENT, route_to_silence},
    sockaddr::{inet, loopback},
    stage::Stage,
    syscall::tcp,
    wait,
};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "attempts_that_find_no_room_are_counted",
        |case| {
            let observation = case.run(&["--attempts", "4"])?;
            // Half of them in flight at once; of these, four found room.
            let lost = observation.lost.get("attempts_full").copied();
            ensure!(lost == Some(6), "{:?}", observation.lost);
            ensure!(observation.connects.len() == 20, "not every call");
            ensure!(observation.outcomes.len() == 14, "not every outcome");
            Ok(())
        },
        twice_ten,
    ),
    Case::new(
        "settled_shows_each_attempt_once",
        |case| {
            let observation = case.run(&["--settled"])?;
            observation.assert_nothing_lost()?;
            let (calls, outcomes) = (&observation.connects, &observation.outcomes);
            // The blocking one; and the one that is left at the end.
            ensure!(calls.len() == 2, "{calls:?}");
            ensure!(outcomes.len() == 3, "{outcomes:?}");
            ensure!(observation.unsettled == 1, "{}", observation.unsettled);
            let left = calls
                .iter()
                .filter(|call| call.0.contains_key("unsettled"))
                .count();
            ensure!(left == 1, "{calls:?}");
            Ok(())
        },
        one_of_each,
    ),
    Case::new(
        "failed_shows_failed_and_abandoned_outcomes",
        |case| {
            let observation = case.run(&["--failed"])?;
            observation.assert_nothing_lost()?;
            ensure!(observation.connects.is_empty(), "{observation:?}");
            let outcomes: Vec<_> = observation
                .outcomes
                .iter()
                .map(|outcome| outcome.text("outcome"))
                .collect::<Result<_>>()?;
            ensure!(outcomes == ["failed", "abandoned"], "{outcomes:?}");
            Ok(())
        },
        one_of_each,
    ),
    Case::new(
        "without_sockets_there_are_outcomes_all_the_same",
        |case| {
            let observation = case.run(&["--skip-socket"])?;
            observation.assert_nothing_lost()?;
            ensure!(observation.outcomes.len() == 3, "{observation:?}");
            for event in observation.connects.iter().chain(&observation.outcomes) {
                ensure!(event.text("network.transport")? == "tcp", "{event:?}");
                ensure!(event.integer("network.local.port")? > 0, "{event:?}");
            }
            Ok(())
        },
        one_of_each,
    ),
];

fn twice_ten(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let silent = inet(SILENT, 80);
    let waiting: Vec<_> = (0..10)
        .map(|_| begin(stage, &silent))
        .collect::<Result<_>>()?;
    drop(waiting);
    // Room again.
    let (_listener, address) = listener()?;
    for _ in 0..10 {
        let socket = begin(stage, &address)?;
        conclude(stage, &socket, &address, 0)?;
    }
    Ok(())
}

/// Established, refused, abandoned, settled in the call, and left to a process that outlives the
/// observation.
fn one_of_each(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let socket = begin(stage, &address)?;
    conclude(stage, &socket, &address, 0)?;
    let refusing = loopback(9);
    let socket = begin(stage, &refusing)?;
    conclude(stage, &socket, &refusing, ECONNREFUSED)?;
    route_to_silence()?;
    let silent = inet(SILENT, 80);
    let socket = begin(stage, &silent)?;
    stage.settled(&socket, &silent, Settlement::Abandoned)?;
    drop(socket);
    stage.expect(0, &tcp()?, &address)?;
    let _left = begin(stage, &silent)?;
    // The child has it too.
    fork(|| {
        // Nor does it keep open what the agent's test reads to its end.
        // SAFETY: nothing in this process uses the descriptor again.
        unsafe {
            libc::close(2);
        }
        wait::until_true("the end of the observation", || {
            Ok(!stage.directory().exists())
        })
    })?;
    Ok(())
}
