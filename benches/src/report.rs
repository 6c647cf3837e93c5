//! What a bench found out: rows → **`Report`** → a table for people, and with `RAVELIN_BENCH_KEEP` a text, JSON and plots in
//! that folder, beside what the machine was.
//!
//! Must not know what is measured.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::print_stdout,
    reason = "a bench talks to people and stops when it cannot measure"
)]

use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::{Plot, Spread, machine};

/// The figures of one bench.
pub struct Report {
    name: &'static str,
    keep: Option<PathBuf>,
    text: String,
    tables: Vec<Value>,
}

/// Rows that have the same columns.
pub struct Table {
    title: String,
    columns: Vec<Column>,
    rows: Vec<(String, Vec<Cell>)>,
}

/// A heading and its unit; no unit for words and counts.
pub type Column = (&'static str, &'static str);

/// A figure.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Of several rounds.
    Spread(Spread),
    /// Measured once.
    Number(f64),
    /// Counted: the same in each run.
    Count(u64),
    /// Not a figure.
    Words(String),
    /// Not measured here.
    Missing,
}

impl Report {
    /// Of the bench of that name; `RAVELIN_BENCH_KEEP` names the folder that it is kept in.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let keep = std::env::var_os("RAVELIN_BENCH_KEEP").map(PathBuf::from);
        if let Some(folder) = &keep {
            fs::create_dir_all(folder).expect("a folder for the results");
        }
        Self {
            name,
            keep,
            text: String::new(),
            tables: vec![],
        }
    }

    /// Says lines to people; they are kept in the text.
    pub fn say(&mut self, lines: &str) {
        println!("{lines}");
        self.text += lines;
        self.text += "\n";
    }

    /// Shows a table.
    pub fn table(&mut self, table: &Table) {
        self.say(&table.text());
        self.tables.push(table.json());
    }

    /// Keeps a plot.
    pub fn plot(&self, plot: &Plot) {
        if let Some(folder) = &self.keep {
            plot.write(folder).expect("a plot is written");
        }
    }

    /// Writes what is to be kept.
    pub fn finish(self) {
        let Some(folder) = self.keep else {
            return;
        };
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a result is written");
        let pretty = |value: &Value| serde_json::to_string_pretty(value).expect("JSON is text") + "\n";
        write(&format!("{}.txt", self.name), &self.text);
        let figures = json!({ "bench": self.name, "tables": self.tables });
        write(&format!("{}.json", self.name), &pretty(&figures));
        write("machine.json", &pretty(&machine::describe()));
    }
}

impl Table {
    /// Without rows; the first column, the name of the row, has the title as its heading.
    #[must_use]
    pub fn new(title: &str, columns: &[Column]) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.to_vec(),
            rows: vec![],
        }
    }

    /// Adds a row, a cell for each column.
    pub fn row(&mut self, name: &str, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push((name.to_owned(), cells));
    }

    fn text(&self) -> String {
        let heading = self.columns.iter().map(|(name, unit)| match *unit {
            "" => (*name).to_owned(),
            unit => format!("{name}, {unit}"),
        });
        let mut lines = vec![
            std::iter::once(self.title.clone())
                .chain(heading)
                .collect::<Vec<_>>(),
        ];
        lines.extend(self.rows.iter().map(|(name, cells)| {
            std::iter::once(name.clone())
                .chain(cells.iter().map(Cell::text))
                .collect()
        }));
        let widths: Vec<usize> = (0..=self.columns.len())
            .map(|at| {
                let width = |line: &Vec<String>| line[at].chars().count();
                lines.iter().map(width).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for line in &lines {
            let mut row = String::new();
            for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // Words at the end are read from the left.
                let words = at + 1 == line.len() && self.ends_in_words();
                row += &match (at, words) {
                    (0, _) => format!("{cell:<width$}"),
                    (_, true) => format!("  {cell}"),
                    (_, false) => format!("  {cell:>width$}"),
                };
            }
            text += row.trim_end();
            text += "\n";
        }
        text
    }

    fn ends_in_words(&self) -> bool {
        let last = self.rows.iter().filter_map(|(_, cells)| cells.last());
        last.into_iter().any(|cell| matches!(cell, Cell::Words(_)))
    }

    fn json(&self) -> Value {
        let row = |(name, cells): &(String, Vec<Cell>)| {
            let mut row = Map::from_iter([("name".to_owned(), json!(name))]);
            for ((column, unit), cell) in self.columns.iter().zip(cells) {
                row.insert((*column).to_owned(), cell.json(unit));
            }
            Value::Object(row)
        };
        json!({ "title": self.title, "rows": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

impl Cell {
    /// Of rounds; missing when there are none.
    #[must_use]
    pub fn of(rounds: Vec<f64>) -> Self {
        Spread::of(rounds).map_or(Self::Missing, Self::Spread)
    }

    fn text(&self) -> String {
        match self {
            Self::Spread(Spread { low, median, high }) => {
                let digits = digits(*median);
                format!("{median:.digits$} ({low:.digits$} - {high:.digits$})")
            }
            Self::Number(number) => format!("{number:.*}", digits(*number)),
            Self::Count(count) => count.to_string(),
            Self::Words(words) => words.clone(),
            Self::Missing => "-".to_owned(),
        }
    }

    fn json(&self, unit: &str) -> Value {
        match self {
            Self::Spread(Spread { low, median, high }) => {
                json!({ "unit": unit, "low": low, "median": median, "high": high })
            }
            Self::Number(number) => json!({ "unit": unit, "value": number }),
            Self::Count(count) => json!(count),
            Self::Words(words) => json!(words),
            Self::Missing => Value::Null,
        }
    }
}

/// Behind the point: three figures are more than a shared machine can promise.
fn digits(number: f64) -> usize {
    match number.abs() {
        1000.0.. => 0,
        1.0.. => 1,
        0.01.. => 3,
        0.0 => 1,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("set", &[("net", "ns"), ("jited", ""), ("by", "")]);
        let spread = Spread::of(vec![3.0, 1.0, 2.0]).expect("three rounds");
        table.row(
            "a",
            [
                Cell::Spread(spread),
                Cell::Count(7),
                Cell::Words("rows".to_owned()),
            ],
        );
        table.row("long", [Cell::Missing, Cell::Count(17), Cell::Missing]);
        table
    }

    #[test]
    fn people_get_columns() {
        assert_eq!(
            table().text(),
            "set           net, ns  jited  by\n\
             a     2.0 (1.0 - 3.0)      7  rows\n\
             long                -     17  -\n"
        );
    }

    #[test]
    fn programs_get_every_figure_with_its_unit() {
        let row = &table().json()["rows"][0];
        assert_eq!(
            row["net"],
            json!({ "unit": "ns", "low": 1.0, "median": 2.0, "high": 3.0 })
        );
        assert_eq!((&row["jited"], &row["name"]), (&json!(7), &json!("a")));
    }
}
