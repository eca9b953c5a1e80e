//! What strace sees of connect(2), in the keys of our events.

use std::{collections::BTreeMap, net::Ipv6Addr};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::{observation::Event, truth::escape};

/// How strace has to be started for [`parse`]: connect(2) of the program and its descendants, all
/// text in hex.
pub(crate) const OPTIONS: [&str; 10] = [
    "-f",
    "-qq",
    "-xx",
    "-s",
    "1024",
    "-e",
    "trace=connect",
    "-e",
    "signal=none",
    "-o",
];

/// The keys of an event that strace knows too.
const KEYS: [&str; 7] = [
    "fd",
    "addrlen",
    "address.family",
    "network.peer.address",
    "network.peer.port",
    "unix.type",
    "error.type",
];

/// Calls by thread id, in order.
pub(crate) type Calls = BTreeMap<i64, Vec<Map<String, Value>>>;

/// The calls of events, in the keys that strace knows.
pub(crate) fn of_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Calls> {
    let mut calls = Calls::new();
    for event in events {
        let mut keys = event.0.clone();
        keys.retain(|key, _| KEYS.contains(&key.as_str()));
        calls
            .entry(event.integer("thread.id")?)
            .or_default()
            .push(keys);
    }
    Ok(calls)
}

/// Adds the calls of one output of strace.
pub(crate) fn parse(output: &str, calls: &mut Calls) -> Result<()> {
    // Calls that another thread's call has interrupted in the output.
    let mut unfinished = BTreeMap::new();
    for line in output.lines() {
        let (tid, rest) = line.split_once(' ').with_context(|| line.to_owned())?;
        let (tid, rest) = (tid.parse()?, rest.trim_start());
        let whole = if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(tid, begun.to_owned());
            continue;
        } else if let Some(end) = rest.strip_prefix("<... connect resumed>") {
            let begun: String = unfinished.remove(&tid).with_context(|| line.to_owned())?;
            begun + end
        } else {
            rest.to_owned()
        };
        let call = call(&whole).with_context(|| format!("strace says: {whole}"))?;
        calls.entry(tid).or_default().push(call);
    }
    ensure!(unfinished.is_empty(), "strace has not ended {unfinished:?}");
    Ok(())
}

/// `connect(FD, ADDRESS, LENGTH) = RESULT`
fn call(text: &str) -> Result<Map<String, Value>> {
    let (call, result) = text.rsplit_once(" = ").context("no result")?;
    let arguments = call
        .trim_end()
        .strip_prefix("connect(")
        .context("no connect")?;
    let arguments = arguments.strip_suffix(')').context("no end")?;
    let (fd, rest) = arguments.split_once(", ").context("no descriptor")?;
    let (address, length) = rest.rsplit_once(", ").context("no length")?;
    let mut keys = self::address(address)?;
    let mut set = |key: &str, value: Value| {
        keys.insert(key.to_owned(), value);
    };
    set("fd", fd.parse::<i32>()?.into());
    set("addrlen", length.parse::<i32>()?.into());
    // `0`, `-1 ENOENT (No such file or directory)`, `? ERESTARTSYS (To be restarted ...)`
    match result.split(' ').collect::<Vec<_>>()[..] {
        ["0"] => {}
        ["-1" | "?", name, ..] => set("error.type", name.into()),
        _ => bail!("unknown result {result}"),
    }
    Ok(keys)
}

/// `{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}`
fn address(text: &str) -> Result<Map<String, Value>> {
    let after = |key: &str| {
        let (_, rest) = text
            .split_once(key)
            .with_context(|| format!("no {key} in {text}"))?;
        anyhow::Ok(rest)
    };
    let until =
        |key: &str, end: char| anyhow::Ok(after(key)?.split(end).next().unwrap_or_default());
    let port = |key: &str| anyhow::Ok(until(key, ')')?.parse::<u16>()?);
    let family = until("sa_family=", ',')?.trim_end_matches('}');
    let mut keys = match family {
        "AF_UNSPEC" => json!({}),
        "AF_UNIX" if text.contains("sun_path=@") => json!({
            "unix.type": "abstract",
            "network.peer.address": format!("@{}", escape(&quoted(after("sun_path=@")?)?)),
        }),
        "AF_UNIX" if text.contains("sun_path=") => json!({
            "unix.type": "pathname",
            "network.peer.address": escape(&quoted(after("sun_path=")?)?),
        }),
        "AF_UNIX" => json!({"unix.type": "unnamed"}),
        "AF_INET" => json!({
            "network.peer.address": String::from_utf8(quoted(after("inet_addr(")?)?)?,
            "network.peer.port": port("sin_port=htons(")?,
        }),
        "AF_INET6" => {
            let mut address = String::from_utf8(quoted(after("inet_pton(AF_INET6, ")?)?)?;
            let scope = until("sin6_scope_id=", '}')?;
            // We show IPv4 as IPv4.
            let ip: Ipv6Addr = address.parse()?;
            if let Some(mapped) = ip.to_ipv4_mapped() {
                address = mapped.to_string();
            } else if scope != "0" {
                address = format!("{address}%{scope}");
            }
            json!({
                "network.peer.address": address,
                "network.peer.port": port("sin6_port=htons(")?,
            })
        }
        "AF_NETLINK" => {
            let groups = until("nl_groups=", '}')?.trim_start_matches("0x");
            let (pid, groups) = (until("nl_pid=", ',')?, u32::from_str_radix(groups, 16)?);
            json!({"network.peer.address": format!("pid={pid},groups={groups}")})
        }
        _ => bail!("this family is not read here"),
    };
    keys["address.family"] = family.into();
    Ok(keys.as_object().cloned().unwrap_or_default())
}

/// The bytes of `"\x61\x62"` at the beginning of a text.
fn quoted(text: &str) -> Result<Vec<u8>> {
    let (_, text) = text.split_once('"').context("no quote")?;
    let (text, _) = text.split_once('"').context("no other quote")?;
    let bytes = text.split("\\x").skip(1);
    Ok(bytes
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<_, _>>()?)
}

/// The same threads with the same calls in the same order.
pub(crate) fn assert_same(strace: &Calls, ours: &Calls) -> Result<()> {
    let mut differences = Vec::new();
    let mut tids: Vec<_> = strace.keys().chain(ours.keys()).collect();
    tids.sort_unstable();
    tids.dedup();
    for tid in tids {
        let none = Vec::new();
        let (theirs, ours) = (
            strace.get(tid).unwrap_or(&none),
            ours.get(tid).unwrap_or(&none),
        );
        for index in 0..theirs.len().max(ours.len()) {
            let (theirs, ours) = (theirs.get(index), ours.get(index));
            if theirs != ours {
                let text = |keys: Option<&Map<_, _>>| match keys {
                    Some(keys) => Value::Object(keys.clone()).to_string(),
                    None => "nothing".to_owned(),
                };
                differences.push(format!(
                    "thread {tid} call {index}
  strace: {}
  ours:   {}",
                    text(theirs),
                    text(ours)
                ));
            }
        }
    }
    ensure!(
        differences.is_empty(),
        "strace sees other calls:\n{}",
        differences.join("\n")
    );
    Ok(())
}
