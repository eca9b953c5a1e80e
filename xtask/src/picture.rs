//! Draw docs/run.svg, the README's picture, from the real output of a real run.

use std::{fmt::Write as _, fs};

use anyhow::{Context as _, Result, ensure};

use crate::{
    build,
    support::{privilege::as_root, process::stdout_of, root, say},
};

/// What is observed in the picture: common programs, and failures that everybody meets.
const WORKLOAD: &str = r#"
exec >/dev/null 2>&1
python3 -c '
import select, socket
def connect(family, kind, address, wait=True):
    s = socket.socket(family, kind)
    s.setblocking(wait)
    try: s.connect(address)
    except OSError: pass
    return s
tcp = lambda address, wait=True: connect(socket.AF_INET, socket.SOCK_STREAM, address, wait)
unix = lambda path: connect(socket.AF_UNIX, socket.SOCK_STREAM, path)
listener = socket.create_server(("127.0.0.1", 8443))
tcp(listener.getsockname())
tcp(listener.getsockname(), wait=False)
tcp(("127.0.0.1", 5432))
tcp(("127.0.0.1", 6379), wait=False)
# A server that accepts nobody, and a client that waits no longer.
overloaded = socket.create_server(("127.0.0.1", 9200), backlog=0)
full = tcp(overloaded.getsockname())
late = tcp(overloaded.getsockname(), wait=False)
select.select([], [late], [], 0.25)
late.close()
# A resolver that is down.
resolver = connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.2", 53))
resolver.send(b"anybody there?")
connect(socket.AF_INET6, socket.SOCK_DGRAM, ("::1", 53))
tcp(("255.255.255.255", 80))
unix("/run/postgresql/.s.PGSQL.5432")
unix("/tmp/\033[2Jhostile\nname")
connect(socket.AF_NETLINK, socket.SOCK_RAW, (0, 0))
'
curl http://localhost:1/
exit 0
"#;

/// Width of a character, in the unit of the drawing.
const CHARACTER: f32 = 8.0;
/// Height of a line.
const LINE: f32 = 19.0;
/// Room around the text.
const MARGIN: f32 = 14.0;

pub(crate) fn run() -> Result<()> {
    let agent = build::agent()?;
    let mut command = as_root(agent)?;
    command.args(["run", "-o", "-", "--color", "always", "--"]);
    command.args(["sh", "-c", WORKLOAD]);
    let output = stdout_of(&mut command)?;
    ensure!(output.lines().count() > 5, "the run shows too little");
    let path = root().join("docs/run.svg");
    fs::write(&path, svg(&output)?).with_context(|| format!("cannot write {}", path.display()))?;
    say(format_args!("drew {}", path.display()));
    Ok(())
}

/// Lines with SGR colours as text elements.
fn svg(output: &str) -> Result<String> {
    let lines: Vec<_> = output.lines().map(spans).collect();
    let columns = lines
        .iter()
        .map(|line| line.iter().map(|span| span.text.chars().count()).sum())
        .max()
        .unwrap_or(0_usize);
    let columns = f32::from(u16::try_from(columns).context("a line is too long")?);
    let rows = f32::from(u16::try_from(lines.len()).context("too many lines")?);
    let width = columns.mul_add(CHARACTER, 2.0 * MARGIN);
    let height = rows.mul_add(LINE, 2.0 * MARGIN);
    let mut svg = String::new();
    writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>Output of connect-observer run</title>
<rect width="100%" height="100%" rx="8" fill="#16181d"/>
<g font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="13" fill="#d8dee9">"##
    )?;
    let mut y = MARGIN;
    for line in lines {
        y += LINE;
        let baseline = y - 5.0;
        let mut column: u16 = 0;
        for span in line {
            // Word by word, as renderers differ in what they make of spaces.
            for word in span.text.split(' ') {
                let length = u16::try_from(word.chars().count())?;
                if length > 0 {
                    let x = f32::from(column).mul_add(CHARACTER, MARGIN);
                    let width = f32::from(length) * CHARACTER;
                    writeln!(
                        svg,
                        r#"<text x="{x}" y="{baseline}" textLength="{width}"{}>{}</text>"#,
                        span.style,
                        escaped(word)
                    )?;
                }
                column += length + 1;
            }
            // The last word of a span has no space behind it.
            column = column.saturating_sub(1);
        }
    }
    svg.push_str("</g>\n</svg>\n");
    Ok(svg)
}

struct Span {
    style: &'static str,
    text: String,
}

/// The pieces of a line by colour. Only the table's own colours are known.
fn spans(line: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut style = "";
    for (index, piece) in line.split("\x1b[").enumerate() {
        let text = if index == 0 {
            piece
        } else {
            let (code, text) = piece.split_once('m').unwrap_or(("", piece));
            style = match code {
                "1;31" => r##" fill="#ff6b6b" font-weight="bold""##,
                "33" => r##" fill="#ebcb8b""##,
                "2" => r##" fill="#7b8496""##,
                _ => "",
            };
            text
        };
        if !text.is_empty() {
            spans.push(Span {
                style,
                text: text.to_owned(),
            });
        }
    }
    spans
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::svg;

    #[test]
    fn colours_become_fills_and_text_stays_text() {
        let drawn = svg("a\x1b[1;31m<b>\x1b[0m").unwrap_or_default();
        assert!(drawn.contains(">a</text>"), "{drawn}");
        assert!(
            drawn.contains(r##"fill="#ff6b6b" font-weight="bold">&lt;b&gt;</text>"##),
            "{drawn}"
        );
    }
}
