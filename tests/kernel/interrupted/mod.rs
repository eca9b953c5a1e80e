//! Calls that a signal interrupts: one call of the application is one event, with what the
//! application got, timed from its first entry to its last return.
//!
//! Nothing waits for time to pass: a signal is sent to a thread that is seen asleep in its call,
//! and is known to have arrived when its handler has counted it. What the kernel hook itself shows
//! is read from a tracefs instance of the test's own: every return there must be accounted for.

mod attached;
mod denied;
mod gap;
mod killed;
mod left;
mod many;
mod nested;
pub(crate) mod peer;
mod restart;
mod signals;
mod stopped;
mod timed;
mod truth;
mod unfollowed;
mod user;
mod verdict;

use anyhow::Result;
use verdict::exact;

use crate::support::{case::Case, feature::REGISTERS, stage::Stage};

pub(crate) const CASES: &[Case] = &[
    program("interrupted_without_restart_is_eintr", restart::without).also_by_functions(),
    program("interrupted_with_restart_is_one_event", restart::with).also_by_functions(),
    program(
        "interrupted_with_restart_until_the_protocol_gives_up",
        restart::with_timeout_of_the_protocol,
    ),
    program(
        "interrupted_with_restart_and_then_without",
        restart::first_with_then_without,
    ),
    program(
        "interrupted_with_an_address_out_of_memory",
        restart::with_an_address_out_of_memory,
    ),
    program("interrupted_by_a_timer_is_one_event", restart::by_timer),
    program(
        "interrupted_by_a_timer_without_restart_is_eintr",
        restart::by_timer_for_good,
    ),
    program(
        "not_interrupted_by_signals_that_do_nothing",
        restart::by_nothing,
    ),
    program(
        "interrupted_in_the_gap_before_a_restart_is_one_event",
        gap::between,
    )
    .needs(&REGISTERS),
    program("timed_send_never_restarts", timed::never_restarts),
    program("timed_send_killed_says_so", timed::killed).also_by_functions(),
    program(
        "timed_send_not_killed_before_it_has_returned",
        timed::killed_later,
    ),
    program(
        "timed_send_is_interrupted_even_by_a_stop",
        timed::not_even_after_a_stop,
    ),
    program("stopped_and_continued_is_one_event", stopped::by_signals),
    program(
        "interrupted_by_a_debugger_is_one_event",
        stopped::by_debugger,
    ),
    program(
        "interrupted_by_the_freezer_is_one_event",
        stopped::by_freezer,
    ),
    Case::new(
        "killed_says_so",
        killed::assert_one_cgroup,
        killed::by_signals,
    )
    .also_by_functions()
    .alone(),
    program(
        "killed_by_another_thread_says_so",
        killed::by_another_thread,
    ),
    program(
        "killed_by_exec_of_another_thread_says_so",
        killed::by_exec_of_another_thread,
    ),
    program(
        "interrupted_by_a_handler_that_ends",
        killed::by_their_handler,
    ),
    program(
        "killed_with_interrupted_calls_below_says_so_of_each",
        killed::with_the_calls_that_they_interrupted,
    ),
    program("interrupted_by_a_handler_that_connects", nested::at_once),
    program(
        "interrupted_by_a_handler_that_makes_the_same_call",
        nested::the_same_call,
    ),
    program("interrupted_up_to_four_deep", nested::up_to_four_deep),
    Case::new(
        "interrupted_too_deep_is_bounded",
        nested::assert_bounded,
        nested::too_deep,
    ),
    program(
        "interrupted_on_an_alternate_stack",
        nested::on_an_alternate_stack,
    ),
    program(
        "interrupted_while_its_handler_is_interrupted",
        nested::interrupted_in_the_handler,
    )
    .also_by_functions(),
    program("interrupted_by_two_signals_at_once", nested::two_at_once),
    program(
        "interrupted_by_a_handler_that_forks",
        nested::forked_in_the_handler,
    ),
    program("interrupted_and_left_by_a_jump", left::by_jump).also_by_functions(),
    program(
        "interrupted_and_left_by_a_jump_from_an_alternate_stack",
        left::by_jump_from_an_alternate_stack,
    ),
    program(
        "interrupted_and_left_by_another_context",
        left::by_another_context,
    )
    .needs(&REGISTERS),
    program("interrupted_and_left_for_ever", left::for_ever),
    program("interrupted_and_left_two_at_once", left::two_at_once),
    program(
        "interrupted_and_left_within_a_handler",
        left::within_a_handler,
    )
    .needs(&REGISTERS),
    program("interrupted_left_and_made_again", left::and_made_again),
    program("interrupted_in_many_threads_at_once", many::threads),
    Case::new(
        "interrupted_calls_are_filtered_by_their_end",
        many::assert_filtered,
        many::of_each_kind,
    ),
    Case::new(
        "interrupted_calls_are_traced_of_the_whole_host",
        many::assert_traced,
        many::of_each_kind,
    )
    .alone(),
    Case::new(
        "interrupted_calls_of_dead_threads_leave_nothing_behind",
        many::assert_small_table,
        many::dying,
    ),
    Case::new(
        "interrupted_under_way_at_the_start_is_one_event",
        attached::assert_exact,
        attached::under_way,
    )
    .needs(&REGISTERS),
    Case::new(
        "interrupted_while_its_user_changes_is_one_event",
        user::assert_one,
        user::changed,
    ),
    Case::new(
        "interrupted_is_unfollowed_where_signals_are_not_seen",
        unfollowed::assert_said,
        unfollowed::calls,
    ),
    Case::new(
        "denied_with_an_errno_of_interrupted_calls_gets_it",
        many::assert_small_table,
        denied::with_the_kernels_own_errnos,
    ),
    Case::new(
        "denied_in_the_deepest_handler_leaves_nothing_behind",
        many::assert_bounded_in_small_table,
        denied::in_the_deepest_handler,
    )
    .needs(&REGISTERS),
    program(
        "interrupted_while_another_process_decides",
        denied::by_another_process,
    )
    .needs(&REGISTERS),
];

/// A test that finds exactly the program's calls.
const fn program(name: &'static str, play: fn(&Stage) -> Result<()>) -> Case {
    Case::of_seen_by_both(name, exact, play)
}
