//! What an observation is about, in words: the line with which it begins.

use std::fmt::Write as _;

use crate::{
    address,
    escape::Escaped,
    observation::{Filters, Observation, Order, Whom},
};

/// Whom and what is observed.
pub(super) fn of(observation: &Observation) -> String {
    let Filters {
        pid,
        uid,
        family,
        failed,
    } = observation.filters;
    let mut words = match (&observation.whom, pid, uid) {
        (Whom::Command(order), ..) => command(order),
        (Whom::Host, Some(pid), _) => format!("process {pid}"),
        (Whom::Host, None, Some(uid)) => format!("every connect of user {uid}"),
        (Whom::Host, None, None) => "every connect of this host".to_owned(),
    };
    let is_command = observation.whom != Whom::Host;
    let only = [
        pid.filter(|_| is_command)
            .map(|pid| format!("process {pid}")),
        uid.filter(|_| is_command || pid.is_some())
            .map(|uid| format!("user {uid}")),
        failed.then(|| "failures".to_owned()),
        family.map(family_name),
    ];
    for what in only.into_iter().flatten() {
        // Writing to a String does not fail.
        let _ok = write!(words, ", only {what}");
    }
    words
}

/// How it ends, if nothing else ends it.
pub(super) const fn end(observation: &Observation) -> &'static str {
    match &observation.whom {
        Whom::Host => "end with ^C",
        Whom::Command(Order { follow: false, .. }) => "ends with the command",
        Whom::Command(Order { follow: true, .. }) => "ends with the last of them, or ^C",
    }
}

fn family_name(number: u16) -> String {
    let label = address::family_label(number);
    if label.parse() == Ok(number) {
        format!("family {number}")
    } else {
        label.into_owned()
    }
}

fn command(order: &Order) -> String {
    let program = order
        .words
        .first()
        .map_or(&[][..], |word| word.as_encoded_bytes());
    let program = Escaped(program);
    match &order.user {
        Some(user) => format!(
            "{program} as user {} and all that it starts",
            Escaped(user.as_bytes())
        ),
        None => format!("{program} and all that it starts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(filters: Filters, whom: Whom) -> String {
        of(&Observation {
            filters,
            ..Observation::of(whom)
        })
    }

    #[test]
    fn names_every_filter() {
        let all = Filters {
            pid: Some(17),
            uid: Some(1000),
            family: Some(2),
            failed: true,
        };
        let host = |filters| with(filters, Whom::Host);
        assert_eq!(host(Filters::ALL), "every connect of this host");
        assert_eq!(
            host(all),
            "process 17, only user 1000, only failures, only AF_INET"
        );
        let of_user = Filters {
            uid: Some(1000),
            ..Filters::ALL
        };
        assert_eq!(host(of_user), "every connect of user 1000");
        let order = Order {
            words: vec!["curl".into(), "-s".into()],
            user: Some("nobody".to_owned()),
            follow: false,
        };
        assert_eq!(
            with(of_user, Whom::Command(order)),
            "curl as user nobody and all that it starts, only user 1000"
        );
    }
}
