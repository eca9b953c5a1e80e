//! Programs that only these tests start.

use crate::support::tool::Tool;

pub(crate) const PROMETHEUS: Tool = Tool {
    name: "prometheus",
    package: "prometheus",
};
pub(crate) const PROMTOOL: Tool = Tool {
    name: "promtool",
    package: "prometheus",
};
pub(crate) const SYSTEMD_ANALYZE: Tool = Tool {
    name: "systemd-analyze",
    package: "systemd",
};
