//! What was expected and what happened.

use std::fmt;

use crate::screen;

/// Every expectation of the demo, in order.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Vec<Row>);

#[derive(Debug)]
struct Row {
    what: String,
    expected: String,
    happened: String,
    agrees: bool,
}

impl Ledger {
    /// Enters an expectation that is met by exactly these words.
    pub(crate) fn expect(&mut self, what: &str, expected: &str, happened: &str) {
        self.enter(what, expected, happened, expected == happened);
    }

    /// Enters an expectation that was judged by the caller.
    pub(crate) fn enter(&mut self, what: &str, expected: &str, happened: &str, agrees: bool) {
        println!("   {} {what}: {happened}", screen::mark(agrees));
        self.0.push(Row {
            what: what.to_owned(),
            expected: expected.to_owned(),
            happened: happened.to_owned(),
            agrees,
        });
    }

    /// Whether everything happened as expected.
    pub(crate) fn agrees(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|row| row.agrees)
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: fn(&Row) -> &str, title: &str| {
            let cells = self.0.iter().map(|row| column(row).chars().count());
            cells.chain([title.len()]).max().unwrap_or(0)
        };
        let what = width(|row| &row.what, "what");
        let expected = width(|row| &row.expected, "expected");
        let happened = width(|row| &row.happened, "happened");
        let line = "─".repeat(what + expected + happened + 8);
        writeln!(
            f,
            "\n     {}",
            screen::bold(&format!("{:<what$}  {:<expected$}  happened", "what", "expected"))
        )?;
        writeln!(f, "   {line}")?;
        for row in &self.0 {
            let Row {
                what: w,
                expected: e,
                happened: h,
                agrees,
            } = row;
            writeln!(f, "   {} {w:<what$}  {e:<expected$}  {h}", screen::mark(*agrees))?;
        }
        writeln!(f, "   {line}")?;
        let good = self.0.iter().filter(|row| row.agrees).count();
        write!(f, "   {good} of {} as expected", self.0.len())
    }
}
