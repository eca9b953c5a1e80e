//! Tests of the metrics, on the live kernel and with a real Prometheus.
//!
//! Each test has a network namespace of its own, so addresses are fixed, and a user id of its own, by
//! which the agent tells its program from everybody else. Started with the word `workload`, this
//! binary is the program that the agent observes.

#![expect(
    unsafe_code,
    reason = "it makes the calls that no safe library would make"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]
#![expect(
    clippy::print_stderr,
    reason = "the observed program says why it fails, and its test shows it"
)]

#[path = "../support/mod.rs"]
mod support;

mod coverage;
mod deploy;
mod exact;
mod http;
mod labels;
mod prometheus;
mod promtool;
mod scrape;
mod server;
mod systemd;
mod workload;

use std::{env, process::ExitCode};

use anyhow::Result;
use libtest_mimic::{Arguments, Trial};
use support::{namespace::enter_network, suite::ensure_no_name_twice};

/// Runs in a network namespace of its own.
type Test = fn() -> Result<()>;

/// Every test: what is true when it passes.
const TESTS: &[(&str, Test)] = &[
    ("prometheus_has_exactly_the_calls_made", exact::prometheus),
    ("native_histograms_have_every_call", exact::native),
    (
        "associations_that_fail_are_counted_once",
        exact::associations,
    ),
    ("run_counts_only_its_command", exact::run),
    ("counters_are_exact_where_the_ring_overflows", exact::flood),
    (
        "first_calls_of_their_kind_are_all_counted",
        exact::first_of_kind,
    ),
    ("errnos_without_end_stay_in_bounds", exact::any_errno),
    ("names_without_end_stay_at_the_cap", labels::names),
    ("a_port_scan_stays_at_the_cap", labels::ports),
    ("hostile_labels_survive_prometheus", labels::hostile),
    ("what_is_seen_is_said_alike_everywhere", coverage::agrees),
    ("labels_tell_transports_apart", labels::transports),
    (
        "labels_do_without_a_look_at_sockets",
        labels::unknown_transports,
    ),
    ("a_filtered_family_is_what_is_sent", labels::of_a_family),
    ("unused_series_go_away", labels::ttl),
    ("the_agents_own_port_takes_no_series", labels::own_port),
    ("promtool_has_nothing_to_say", promtool::check),
    ("formats_are_negotiated", server::formats),
    ("pages_are_there", server::pages),
    ("slow_clients_hold_up_nothing", server::slow_clients),
    ("large_headers_are_refused", server::large_headers),
    ("a_port_in_use_is_one_line", server::port_in_use),
    ("an_address_that_is_none_is_one_line", server::no_address),
    (
        "an_idle_client_does_not_hold_up_the_end",
        server::idle_at_end,
    ),
    ("systemd_is_told", systemd::notify),
    ("the_unit_is_valid", systemd::unit),
    ("alert_rules_pass_their_tests", deploy::rules),
    ("every_query_of_the_dashboard_runs", deploy::dashboard),
];

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    if let [first, rest @ ..] = &words[..]
        && first == workload::WORKLOAD
    {
        return match workload::play(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error:#}", rest.join(" "));
                ExitCode::FAILURE
            }
        };
    }
    let names = TESTS.iter().map(|(name, _)| (*name).to_owned());
    if let Err(error) = ensure_no_name_twice(names) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let trials = TESTS.iter().map(|&(name, test)| {
        Trial::test(name, move || {
            let tested = enter_network().and_then(|()| test());
            tested.map_err(|error| format!("{error:#}").into())
        })
    });
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(4);
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
