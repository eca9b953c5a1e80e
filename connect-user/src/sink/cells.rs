//! What the cells of both tables look like.

/// `AF_INET6` as `inet6`; a number as it is.
pub(super) fn family(name: Option<&str>) -> String {
    let name = name.unwrap_or("-");
    name.strip_prefix("AF_").unwrap_or(name).to_lowercase()
}

/// So many spaces.
pub(super) fn pad(columns: usize) -> String {
    " ".repeat(columns)
}

/// A duration in three digits and a unit: `870ns`, `41.2us`, `1.03ms`, `130s`.
pub(super) fn duration(ns: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us")];
    for (unit, name) in UNITS {
        if ns >= unit {
            let whole = ns / unit;
            let thousandths = ns % unit / (unit / 1000);
            return match whole {
                0..10 => format!("{whole}.{:02}{name}", thousandths / 10),
                10..100 => format!("{whole}.{}{name}", thousandths / 100),
                _ => format!("{whole}{name}"),
            };
        }
    }
    format!("{ns}ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        for (ns, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1000, "1.00us"),
            (41_250, "41.2us"),
            (999_999, "999us"),
            (1_030_000, "1.03ms"),
            (130_000_000_000, "130s"),
            (u64::MAX, "18446744073s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }
}
