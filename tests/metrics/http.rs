//! As much of an HTTP client as these tests need.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use anyhow::{Context as _, Result};

use crate::support::wait;

/// What a server has answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One request on a connection of its own. With HTTP/1.0, a body ends with the connection.
pub(crate) fn get(address: &str, target: &str, headers: &[&str]) -> Result<Answer> {
    let bytes = get_bytes(address, target, headers)?;
    let text = String::from_utf8(bytes).context("no UTF-8")?;
    let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer {
        status,
        head: head.to_lowercase(),
        body: body.to_owned(),
    })
}

/// The whole answer.
pub(crate) fn get_bytes(address: &str, target: &str, headers: &[&str]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    // Decides only that a test fails.
    stream.set_read_timeout(Some(wait::deadline()))?;
    let mut request = format!("GET {target} HTTP/1.0\r\nHost: {address}\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    stream.write_all(format!("{request}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// A value as it stands in a query.
pub(crate) fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
