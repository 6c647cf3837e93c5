//! `ravelin compile`: what a policy becomes, and what it costs.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use ravelin_rules::image::FamilyReport;
use ravelin_rules::{Direction, HostFacts, SizeReport, TableImage, load};
use serde_json::json;

use super::{Failure, Format, Outcome, output};

/// Compile a policy: tables, memory, classes, worst-case lookups, build time
#[derive(Args, Debug)]
pub(super) struct Compile {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Compile {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let start = Instant::now();
        let policy = match load(&self.file) {
            Ok(loaded) => loaded.policy,
            Err(report) => {
                output::print_error(&report.render());
                return Ok(Outcome::No);
            }
        };
        let read = start.elapsed();
        let start = Instant::now();
        // The host's own addresses are added by the filter; they cost one trie entry each.
        let host = HostFacts::default();
        let inbound = TableImage::compile(&policy, &host, Direction::Inbound)?;
        let outbound = TableImage::compile_outbound(&policy, &host)?;
        let built = start.elapsed();
        let outbound = outbound.as_ref().map(TableImage::report);
        match self.format {
            Format::Json => output::print(&json(inbound.report(), outbound, read, built)),
            Format::Text => output::print(&text(inbound.report(), outbound, read, built)),
        }
        Ok(Outcome::Done)
    }
}

fn json(inbound: &SizeReport, outbound: Option<&SizeReport>, read: Duration, built: Duration) -> String {
    let worst = |report: &SizeReport| -> Vec<u32> {
        let families = report.families.iter();
        families.map(|family| report.worst_reads(family)).collect()
    };
    json!({
        "tables": inbound,
        "worst_reads": worst(inbound),
        "outbound": outbound.map(|report| json!({ "tables": report, "worst_reads": worst(report) })),
        "read_seconds": read.as_secs_f64(),
        "build_seconds": built.as_secs_f64(),
    })
    .to_string()
}

fn text(inbound: &SizeReport, outbound: Option<&SizeReport>, read: Duration, built: Duration) -> String {
    let mut text = direction_text(inbound);
    if let Some(outbound) = outbound {
        text += "\noutbound\n\n";
        text += &direction_text(outbound);
    }
    // Writing to a string cannot fail.
    let _ok = writeln!(text, "read in          {read:.1?}\nbuilt in         {built:.1?}");
    text
}

fn direction_text(report: &SizeReport) -> String {
    let mut text = format!(
        "rules            {} in {} rows\ntables           {}\nservice classes  {}\n",
        report.rules,
        report.rows,
        size(report.bytes),
        report.service_classes
    );
    for family in &report.families {
        family_text(&mut text, report, family);
    }
    text
}

fn family_text(text: &mut String, report: &SizeReport, family: &FamilyReport) {
    let name = match family.plane {
        ravelin_datapath::wire::Plane::V4 => "IPv4",
        ravelin_datapath::wire::Plane::V6 => "IPv6",
    };
    let _ok = write!(
        text,
        "{name}\n  source         {}\n  destination    {}\n  combined by    {}\n  worst case     {} table reads a packet\n",
        family.source,
        family.destination,
        family.combined,
        report.worst_reads(family),
    );
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
