//! The metrics page, as the edge host serves it.

use crate::world::World;

/// One reading of `/metrics`.
pub(crate) struct Page(pub(crate) String);

impl Page {
    /// Fetches it with curl, on the edge host.
    pub(crate) fn fetch(world: &World) -> Self {
        let output = world
            .edge
            .command("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", "5", ADDRESS])
            .output()
            .expect("curl starts");
        assert!(
            output.status.success(),
            "curl {ADDRESS}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The value of the one series with this name and these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        let series = self.0.lines().find(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label.as_str()))
        });
        let value = series.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("no series {name} {labels:?} in:\n{}", self.0))
    }

    /// How much that series has risen since `before`.
    pub(crate) fn rise(&self, before: &Self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.value(name, labels) - before.value(name, labels)
    }

    /// Packets that the rule decided.
    pub(crate) fn rule(&self, rule: &str) -> f64 {
        self.value("ravelin_rule_packets_total", &[("rule", rule)])
    }

    /// Packets that no rule matched, and that were dropped for it.
    pub(crate) fn denied(&self) -> f64 {
        self.value(
            "ravelin_packets_total",
            &[
                ("direction", "inbound"),
                ("verdict", "deny"),
                ("reason", "default"),
            ],
        )
    }
}

pub(crate) const ADDRESS: &str = "http://127.0.0.1:9465/metrics";
