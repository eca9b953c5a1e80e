//! What cannot be meant is refused before anything is done: exit status 2, and the reason on
//! standard error.

use crate::support::agent::run;

/// What is typed, and what the answer must mention.
const WRONG: &[(&[&str], &str)] = &[
    (&[], "Usage: connect-observer"),
    (&["follow"], "'follow'"),
    (&["--output", "json"], "'--output'"),
    (&["trace", "--nope"], "'--nope'"),
    (&["trace", "curl"], "'curl'"),
    (&["trace", "--", "curl"], "'curl'"),
    (&["check", "--count", "1"], "'--count'"),
    (&["run"], "<COMMAND>"),
    (&["run", "--"], "<COMMAND>"),
    (&["run", "--count", "1"], "<COMMAND>"),
    (&["run", "--nope", "true"], "'--nope'"),
    (&["run", "--nope", "--", "true"], "'--nope'"),
    (&["trace", "--duration"], "'--duration <TIME>'"),
    (&["trace", "--duration", "0"], "above 0"),
    (&["trace", "--duration", "0.0"], "above 0"),
    (&["trace", "--duration", "1e-10"], "above 0"),
    (&["trace", "--duration", "-1"], "-1"),
    (&["trace", "--duration=-1"], "above 0"),
    (&["trace", "--duration=-0.0"], "above 0"),
    (&["trace", "--duration", "nan"], "above 0"),
    (&["trace", "--duration", "inf"], "above 0"),
    (&["trace", "--duration", "1e400"], "above 0"),
    (&["trace", "--duration", "abc"], "above 0"),
    (&["trace", "--duration", "0s"], "above 0"),
    (&["trace", "--duration", "1x"], "such as 500ms"),
    (&["trace", "--duration", "1mo"], "above 0"),
    (&["trace", "--duration=-1m"], "above 0"),
    (&["export", "--series-ttl", "soon"], "'--series-ttl <TIME>'"),
    (&["trace", "--duration", ""], "above 0"),
    (
        &["trace", "--duration", "1", "--duration", "2"],
        "--duration",
    ),
    (
        &["export", "--listen", "9788"],
        "or :9788 for every address",
    ),
    (
        &["trace", "--listen", "127.0.0.1"],
        "'--listen <ADDR:PORT>'",
    ),
    (
        &["run", "--listen", ":99999", "--", "true"],
        "such as 127.0.0.1:9788",
    ),
    (&["export", "--listen", "::1:9788"], "[::1]:9788"),
    (&["export", "--listen", ""], "--listen"),
    (&["trace", "--count", "0"], "'--count <N>'"),
    (&["trace", "--count=-1"], "'--count <N>'"),
    (&["trace", "--count", "1.5"], "'--count <N>'"),
    (&["trace", "--count", "many"], "'--count <N>'"),
    (
        &["trace", "--count", "18446744073709551616"],
        "'--count <N>'",
    ),
    (&["trace", "--family", "inet7"], "'inet7'"),
    (&["trace", "--family", ""], "--family"),
    (&["trace", "--family", "65536"], "'65536'"),
    (&["trace", "--family=-1"], "'-1'"),
    (&["trace", "--ring-kib", "0"], "power of two"),
    (&["trace", "--ring-kib", "32"], "from 64"),
    (&["trace", "--ring-kib", "100"], "power of two"),
    (&["trace", "--ring-kib", "2097152"], "to 1048576"),
    (&["trace", "--ring-kib", "8M"], "power of two"),
    (&["trace", "--threads", "0"], "'--threads <N>'"),
    (&["trace", "--threads", "4194305"], "4194304"),
    (&["trace", "--pid", "0"], "'--pid <PID>'"),
    (&["trace", "--pid", "2147483648"], "2147483647"),
    (&["trace", "--pid", "self"], "'self'"),
    (
        &["trace", "--uid", "root"],
        "'root' for '--uid <UID>': give a number; `id -u root` prints it",
    ),
    (&["trace", "--uid", "a b"], "from 0 to 4294967294"),
    (&["trace", "--uid", ""], "--uid"),
    (&["trace", "--user", "nobody"], "'--user'"),
    (&["trace", "--follow"], "'--follow'"),
    (&["export", "--follow"], "'--follow'"),
    (&["export", "-o", "events"], "--output <FORMAT>"),
    (&["check", "--quiet"], "'--quiet'"),
    (&["run", "--user", "no-such-user", "true"], "no such user"),
    (&["trace", "--uid", "4294967295"], "'--uid <UID>'"),
    (
        &["trace", "--output", "xml"],
        "[possible values: table, json]",
    ),
    (
        &["trace", "--color", "red"],
        "[possible values: auto, always, never]",
    ),
    (&["trace", "--explain", "--output", "json"], "--output json"),
    (
        &["run", "--explain", "--output", "json", "--", "true"],
        "--output json",
    ),
    (
        &["trace", "--hooks", "kprobe"],
        "[possible values: auto, tracepoint, function]",
    ),
    (&["--log-level", "loud", "check"], "'loud'"),
    (&["check", "--log-level", "connect_observer=loud"], "loud"),
    (&["check", "--log-level", ""], "--log-level"),
];

#[test]
fn is_refused_with_its_reason() {
    let mut failures = Vec::new();
    for (arguments, mention) in WRONG {
        let ended = run(*arguments).unwrap();
        let code = ended.code();
        let is_told = ended.stderr.contains(mention)
            && (arguments.is_empty() || ended.stderr.starts_with("error: "));
        if code != 2 || !is_told || !ended.stdout.is_empty() {
            failures.push(format!(
                "{arguments:?}: status {code}, wanted is {mention:?}\n{}{}",
                ended.stdout, ended.stderr
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
