//! `combination.svg`: from the classes of source, destination and service to the first matching rule.

mod classes;

use std::net::Ipv4Addr;

use ravelin_rules::image::Combined;
use ravelin_rules::ir::Row;
use ravelin_rules::lower::lower;
use ravelin_rules::{Direction, HostFacts, Loaded, Policy, load_text};

use self::classes::{Class, Dimension, Packet};
use super::svg::{Anchor, Area, Canvas, EDGE, FAINT, FOLLOWED, INK, LEFT, PAPER};

const POLICY: &str = r#"
[firewall]
stateful = false

[[rule]]
name   = "scanners"
action = "deny"
source = "203.0.113.0/24"

[[rule]]
name        = "web"
action      = "allow"
destination = "192.0.2.10"
protocol    = ["http", "https"]

[[rule]]
name        = "names"
action      = "allow"
destination = "192.0.2.20"
protocol    = "udp"
ports       = 53

[[rule]]
name     = "office"
action   = "allow"
source   = "198.51.100.0/24"
protocol = "ssh"
"#;

/// The packet that is followed.
const SAMPLE: Packet = Packet {
    source: Ipv4Addr::new(198, 51, 100, 7),
    destination: Ipv4Addr::new(192, 0, 2, 10),
    protocol: 6,
    port: 22,
};

/// A cross product: which dimensions are paired, and the rows that pairs lead to.
struct Product<'d> {
    /// The pair, and the third.
    order: [&'d Dimension; 3],
    /// The row of each pair, by its classes.
    pairs: Vec<Vec<usize>>,
    /// What each row finds, by the third class.
    rows: Vec<Vec<Option<usize>>>,
    /// The followed packet's classes, in the order of the tables.
    followed: [usize; 3],
}

pub(super) fn draw() -> Result<String, String> {
    let loaded = load_text(POLICY).map_err(|report| report.render())?;
    let policy = &loaded.policy;
    let rows = lower(policy, &HostFacts::default(), Direction::Inbound).rows;
    let [sources, destinations, services] = &Dimension::all(&rows);
    // The pairing that takes the fewest cells; the other dimension comes third.
    let products = [
        Product::of([sources, destinations, services], &rows),
        Product::of([sources, services, destinations], &rows),
        Product::of([destinations, services, sources], &rows),
    ];
    let best = products.iter().min_by_key(|product| product.cells());
    let best = best.ok_or("there is no pairing")?;

    is_what_is_compiled(&loaded, best)?;

    let mut canvas = Canvas::new("How three classes become a rule");
    let y = rules(&mut canvas, policy, &rows);
    let y = meanings(&mut canvas, [sources, destinations, services], &rows, y + 34.0);
    let names: Vec<&str> = rows
        .iter()
        .map(|row| policy.rules[row.rule as usize].name.as_str())
        .collect();
    let tables = y + 34.0;
    let left = best.draw_pairs(&mut canvas, tables);
    let right = best.draw_rows(&mut canvas, tables, &names);
    let y = left.max(right) + 30.0;
    let y = best.explain(&mut canvas, y, &products, &names);
    Ok(canvas.finish(y))
}

impl<'d> Product<'d> {
    fn of(order: [&'d Dimension; 3], rules: &[Row]) -> Self {
        let [first, second, third] = order;
        let mut rows: Vec<Vec<Option<usize>>> = Vec::new();
        let mut row_of = |a: &Class, b: &Class| {
            let row: Vec<Option<usize>> = third
                .classes
                .iter()
                .map(|c| (0..rules.len()).find(|rule| a.meets[*rule] && b.meets[*rule] && c.meets[*rule]))
                .collect();
            rows.iter().position(|known| *known == row).unwrap_or_else(|| {
                rows.push(row);
                rows.len() - 1
            })
        };
        let pairs = first
            .classes
            .iter()
            .map(|a| second.classes.iter().map(|b| row_of(a, b)).collect())
            .collect();
        Self {
            order,
            pairs,
            rows,
            followed: order.map(|dimension| dimension.class_of(rules, &SAMPLE)),
        }
    }

    fn pair_count(&self) -> usize {
        self.order[0].classes.len() * self.order[1].classes.len()
    }

    fn cells(&self) -> usize {
        self.pair_count() + self.rows.len() * self.order[2].classes.len()
    }

    /// Tells where the table ends.
    fn draw_pairs(&self, canvas: &mut Canvas, y: f64) -> f64 {
        let [first, second, _] = self.order;
        let [at_first, at_second, _] = self.followed;
        let title = format!("The pairs: {} × {}", first.name, second.name);
        canvas.step(LEFT + 8.5, y - 4.5, 2);
        canvas.bold(LEFT + 24.0, y, Anchor::Start, INK, &title);
        let top = y + 34.0;
        let left = LEFT + 34.0;
        for at in 0..second.classes.len() {
            let x = left + (at as f64 + 0.5) * PAIR;
            canvas.small(
                x,
                top - 7.0,
                Anchor::Middle,
                ink(at == at_second),
                &second.label(at),
            );
        }
        for (down, rows) in self.pairs.iter().enumerate() {
            let y = top + down as f64 * CELL;
            let fill = ink(down == at_first);
            canvas.small(LEFT + 12.0, y + 17.0, Anchor::Middle, fill, &first.label(down));
            for (along, row) in rows.iter().enumerate() {
                let area = Area {
                    x: left + along as f64 * PAIR,
                    y,
                    width: PAIR,
                    height: CELL,
                };
                canvas.area(area, tint(*row), EDGE, 0.8);
                canvas.text(area.x + PAIR / 2.0, y + 17.5, Anchor::Middle, INK, &letter(*row));
            }
        }
        let area = Area {
            x: left + at_second as f64 * PAIR,
            y: top + at_first as f64 * CELL,
            width: PAIR,
            height: CELL,
        };
        canvas.area(area, "none", FOLLOWED, 2.5);
        top + first.classes.len() as f64 * CELL
    }

    /// Tells where the table ends.
    fn draw_rows(&self, canvas: &mut Canvas, y: f64, names: &[&str]) -> f64 {
        let [_, second, third] = self.order;
        let [at_first, at_second, at_third] = self.followed;
        let followed = self.pairs[at_first][at_second];
        let title = format!("The rows: the first rule, by {}", third.name);
        canvas.step(ROWS + 8.5, y - 4.5, 3);
        canvas.bold(ROWS + 24.0, y, Anchor::Start, INK, &title);
        let top = y + 34.0;
        let left = ROWS + 34.0;
        for at in 0..third.classes.len() {
            let x = left + (at as f64 + 0.5) * RULE;
            canvas.small(
                x,
                top - 7.0,
                Anchor::Middle,
                ink(at == at_third),
                &third.label(at),
            );
        }
        for (down, row) in self.rows.iter().enumerate() {
            let y = top + down as f64 * CELL;
            canvas.text(
                ROWS + 12.0,
                y + 17.5,
                Anchor::Middle,
                ink(down == followed),
                &letter(down),
            );
            for (along, rule) in row.iter().enumerate() {
                let area = Area {
                    x: left + along as f64 * RULE,
                    y,
                    width: RULE,
                    height: CELL,
                };
                canvas.area(area, tint(down), EDGE, 0.8);
                canvas.text(
                    area.x + RULE / 2.0,
                    y + 17.5,
                    Anchor::Middle,
                    INK,
                    name(names, *rule),
                );
            }
        }
        let area = Area {
            x: left + at_third as f64 * RULE,
            y: top + followed as f64 * CELL,
            width: RULE,
            height: CELL,
        };
        canvas.area(area, "none", FOLLOWED, 2.5);
        // From the pair to its row, over the gap between the tables.
        let from = LEFT + 34.0 + second.classes.len() as f64 * PAIR;
        let (y_from, y_to) = (
            top + (at_first as f64 + 0.5) * CELL,
            top + (followed as f64 + 0.5) * CELL,
        );
        canvas.arrow(&[(from + 4.0, y_from), (ROWS - 2.0, y_to)], FOLLOWED);
        let end = top + self.rows.len() as f64 * CELL + 18.0;
        canvas.small(left, end, Anchor::Start, FAINT, "–: no rule matches");
        end
    }

    /// The steps in words; tells where they end.
    fn explain(&self, canvas: &mut Canvas, y: f64, products: &[Self], names: &[&str]) -> f64 {
        let [first, second, third] = self.order;
        let [at_first, at_second, at_third] = self.followed;
        let row = self.pairs[at_first][at_second];
        let labels = [
            first.label(at_first),
            second.label(at_second),
            third.label(at_third),
        ];
        let [a, b, c] = &labels;
        let steps = [
            format!("A packet: {SAMPLE}. Its classes are {a}, {b} and {c}."),
            format!(
                "Pair {a}, {b} leads to row {}. Pairs that find the same rules share a row: {} pairs, {} rows.",
                letter(row),
                self.pair_count(),
                self.rows.len()
            ),
            format!(
                "Row {}, {c}: “{}”, the first rule that all three classes satisfy.",
                letter(row),
                name(names, self.rows[row][at_third])
            ),
        ];
        let mut y = y;
        for (number, step) in (1..).zip(steps) {
            canvas.step(LEFT + 8.5, y - 4.5, number);
            canvas.small(LEFT + 26.0, y, Anchor::Start, INK, &step);
            y += 24.0;
        }
        let sizes: Vec<String> = products
            .iter()
            .map(|product| {
                format!(
                    "{} × {} {}",
                    product.order[0].name,
                    product.order[1].name,
                    product.cells()
                )
            })
            .collect();
        let text = format!("Cells, by what is paired first: {}.", sizes.join(", "));
        canvas.small(LEFT, y + 2.0, Anchor::Start, FAINT, &text);
        y + 20.0
    }
}

/// The compiler came to the same tables: a picture of others would mislead.
fn is_what_is_compiled(loaded: &Loaded, drawn: &Product<'_>) -> Result<(), String> {
    let image = loaded
        .compile(&HostFacts::default(), Direction::Inbound)
        .map_err(|report| report.render())?;
    let combined = image.report().families.first().map(|family| &family.combined);
    let sizes = [drawn.pair_count(), drawn.rows.len(), drawn.cells()].map(|count| count as u64);
    match combined {
        Some(Combined::CrossProduct {
            pairs, rows, cells, ..
        }) if [*pairs, *rows, *cells] == sizes => Ok(()),
        other => Err(format!(
            "the picture has {sizes:?} pairs, rows and cells, the compiler {other:?}"
        )),
    }
}

/// The policy as a table; tells where it ends.
fn rules(canvas: &mut Canvas, policy: &Policy, rows: &[Row]) -> f64 {
    let columns = [LEFT, 150.0, 310.0, 470.0, 660.0];
    let mut y = 58.0;
    for (x, head) in columns
        .into_iter()
        .zip(["rule", "source", "destination", "service", "action"])
    {
        canvas.bold(x, y, Anchor::Start, INK, head);
    }
    canvas.path(&[(LEFT, y + 7.0), (732.0, y + 7.0)], EDGE, "stroke-width=\"1\"");
    for row in rows {
        y += 22.0;
        let rule = &policy.rules[row.rule as usize];
        let [source, destination] = [&row.source, &row.destination].map(classes::addresses);
        let service = classes::service(row);
        let texts = [
            rule.name.as_str(),
            &source,
            &destination,
            &service,
            rule.action.word(),
        ];
        for (x, text) in columns.into_iter().zip(texts) {
            let fill = if text == "any" { FAINT } else { INK };
            canvas.text(x, y, Anchor::Start, fill, text);
        }
    }
    y
}

/// What the classes stand for; tells where the lists end.
fn meanings(canvas: &mut Canvas, dimensions: [&Dimension; 3], rows: &[Row], y: f64) -> f64 {
    let mut end = y;
    for (x, dimension) in [LEFT, 275.0, 522.0].into_iter().zip(dimensions) {
        canvas.step(x + 8.5, y - 4.5, 1);
        let title = format!("Classes of {}", dimension.name);
        canvas.bold(x + 24.0, y, Anchor::Start, INK, &title);
        let followed = dimension.class_of(rows, &SAMPLE);
        for (at, class) in dimension.classes.iter().enumerate() {
            let y = y + 22.0 + at as f64 * 20.0;
            let fill = ink(at == followed);
            canvas.text(x, y, Anchor::Start, fill, &dimension.label(at));
            canvas.text(x + 34.0, y, Anchor::Start, fill, &class.meaning);
            end = end.max(y);
        }
    }
    end
}

fn name<'n>(names: &[&'n str], rule: Option<usize>) -> &'n str {
    rule.map_or("–", |rule| names[rule])
}

fn letter(row: usize) -> String {
    ('a'..='z').nth(row).unwrap_or('?').to_string()
}

const fn ink(followed: bool) -> &'static str {
    if followed { FOLLOWED } else { INK }
}

/// The colour of a row.
fn tint(row: usize) -> &'static str {
    const TINTS: [&str; 5] = [PAPER, "#d6e6f5", "#fbe6c8", "#d9efdc", "#ecdff3"];
    TINTS[row % TINTS.len()]
}

/// Where the table of rows begins.
const ROWS: f64 = 395.0;
/// Pixels of a pair, of a rule, and how high both are.
const PAIR: f64 = 64.0;
const RULE: f64 = 98.0;
const CELL: f64 = 26.0;
