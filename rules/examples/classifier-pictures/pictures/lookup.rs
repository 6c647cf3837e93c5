//! `lookup.svg`: from an address to its class.

use super::svg::{Anchor, Area, Canvas, EDGE, FAINT, FOLLOWED, INK, INSIDE, LEFT, PAPER, width_of};
use super::trie::{self, ADDRESSES, CELL, Cell, LANE_HEIGHT, OF_BIT, OF_ROOT, SET};

/// The last byte of the address that is followed.
const SAMPLE: u32 = 210;

/// Pixels of an address: those of a cell of the root are as wide as the cell is drawn.
const STEP: f64 = CELL / OF_ROOT as f64;

pub(super) fn draw() -> String {
    let mut canvas = Canvas::new("How an address finds its class");
    trie::legend(&mut canvas, 580.0, 30.0);
    let bits = trie::bitmap(&SET);
    let root = trie::root(&SET);
    let followed = x_of(SAMPLE) + STEP / 2.0;

    prefixes(&mut canvas);
    // From here on the address that is followed leads down.
    canvas.path(
        &[(followed, LINE), (followed, STRIP)],
        FOLLOWED,
        "stroke-width=\"1.6\" stroke-dasharray=\"4 3\"",
    );
    bitmap(&mut canvas, &bits);
    cells(&mut canvas, &root);
    strip(&mut canvas, &root);

    let address = format!("10.0.0.{SAMPLE}");
    canvas.small(followed + 8.0, LINE + 32.0, Anchor::Start, FOLLOWED, &address);
    canvas.step(followed + 38.0, BITMAP - 13.0, 1);
    canvas.step(followed + 38.0, CELLS - 13.0, 2);
    let y = explanation(&mut canvas, &bits, &root);
    canvas.finish(y)
}

fn x_of(address: u32) -> f64 {
    LEFT + f64::from(address) * STEP
}

/// The prefixes as bars above the line, their names above them.
fn prefixes(canvas: &mut Canvas) {
    canvas.bold(
        LEFT,
        60.0,
        Anchor::Start,
        INK,
        "The set: eight prefixes of 10.0.0.0/24",
    );
    // From the right: a name in a higher row begins further left, so that the line down from it meets no other name.
    let mut begins = [f64::INFINITY; 3];
    for prefix in SET.into_iter().rev() {
        let name = format!(".{}/{}", prefix.0, prefix.1);
        let (x, width) = (x_of(prefix.0), f64::from(trie::size(prefix)) * STEP);
        let begin = x.min(x_of(ADDRESSES) - width_of(&name));
        let is_free = |row: &usize| begins[*row..].iter().all(|next| begin + width_of(&name) < *next);
        let row = (0..begins.len()).find(is_free).unwrap_or(0);
        begins[row] = begin;
        let y = LINE - 19.0 - row as f64 * 15.0;
        canvas.small(begin, y, Anchor::Start, INK, &name);
        if row > 0 {
            let x = x + 1.0;
            canvas.path(&[(x, y + 3.0), (x, LINE - 14.0)], EDGE, "stroke-width=\"0.8\"");
        }
        let bar = Area {
            x,
            y: LINE - 14.0,
            width,
            height: 9.0,
        };
        canvas.area(bar, INSIDE, INSIDE, 0.5);
    }
    canvas.path(
        &[(LEFT, LINE), (x_of(ADDRESSES), LINE)],
        INK,
        "stroke-width=\"1.2\"",
    );
    for address in (0..=ADDRESSES).step_by(OF_ROOT as usize) {
        let x = x_of(address);
        canvas.path(&[(x, LINE), (x, LINE + 5.0)], INK, "stroke-width=\"1.2\"");
        if address < ADDRESSES {
            canvas.small(x + 2.0, LINE + 16.0, Anchor::Start, FAINT, &format!(".{address}"));
        }
    }
}

fn bitmap(canvas: &mut Canvas, bits: &[bool]) {
    let title =
        format!("The bitmap: a bit for {OF_BIT} addresses; where it is clear, all of them are outside");
    canvas.bold(LEFT, BITMAP - 8.0, Anchor::Start, INK, &title);
    let width = f64::from(OF_BIT) * STEP;
    for (at, set) in bits.iter().enumerate() {
        let area = Area {
            x: LEFT + at as f64 * width,
            y: BITMAP,
            width,
            height: width,
        };
        let (fill, ink) = if *set { (INK, PAPER) } else { (PAPER, FAINT) };
        canvas.area(area, fill, EDGE, 0.8);
        let digit = if *set { "1" } else { "0" };
        canvas.small(area.x + width / 2.0, BITMAP + 15.5, Anchor::Middle, ink, digit);
    }
    let area = Area {
        x: LEFT + f64::from(SAMPLE / OF_BIT) * width,
        y: BITMAP,
        width,
        height: width,
    };
    canvas.area(area, "none", FOLLOWED, 2.5);
}

/// The root, and the table that one of its cells leads to.
fn cells(canvas: &mut Canvas, root: &[Cell]) {
    let title =
        format!("The root: a cell for {OF_ROOT} addresses, with the digits at which the class changes");
    canvas.bold(LEFT, CELLS - 8.0, Anchor::Start, INK, &title);
    for (at, cell) in root.iter().enumerate() {
        let x = LEFT + at as f64 * CELL;
        if let Cell::Table(parts) = cell {
            table(canvas, x, parts);
        }
        cell.draw(canvas, x, CELLS);
    }
    let at = (SAMPLE / OF_ROOT) as usize;
    let x = LEFT + at as f64 * CELL;
    let whole = Area {
        x,
        y: CELLS,
        width: CELL,
        height: LANE_HEIGHT,
    };
    canvas.area(whole, "none", FOLLOWED, 2.5);
    if let Cell::Ranges { keys, .. } = &root[at] {
        let class = trie::class_area(x, CELLS, Cell::rank(keys, SAMPLE % OF_ROOT));
        canvas.area(class, "none", FOLLOWED, 2.5);
        canvas.step(x + CELL + 14.0, class.y + 18.0, 3);
        canvas.path(
            &[
                (x + CELL + 6.0, class.y + 15.0),
                (class.x + class.width + 2.0, class.y + 7.0),
            ],
            FOLLOWED,
            "stroke-width=\"1.2\"",
        );
    }
}

fn table(canvas: &mut Canvas, from: f64, parts: &[Cell]) {
    let width = parts.len() as f64 * CELL;
    let left = from + (CELL - width) / 2.0;
    for (at, part) in parts.iter().enumerate() {
        part.draw(canvas, left + at as f64 * CELL, TABLE);
    }
    let middle = from + CELL / 2.0;
    canvas.arrow(&[(middle, CELLS + LANE_HEIGHT), (middle, TABLE - 2.0)], INK);
    let text = "too many keys for one cell: a table for the next bits";
    canvas.small(left, TABLE + 52.0, Anchor::Start, FAINT, text);
}

/// The class of every address, as the tables tell it.
fn strip(canvas: &mut Canvas, root: &[Cell]) {
    canvas.bold(LEFT, STRIP - 8.0, Anchor::Start, INK, "The classes");
    let class = |address: u32| root[(address / OF_ROOT) as usize].class(address % OF_ROOT, OF_ROOT);
    let mut first = 0;
    for address in 1..=ADDRESSES {
        if address == ADDRESSES || class(address) != class(first) {
            let area = Area {
                x: x_of(first),
                y: STRIP,
                width: f64::from(address - first) * STEP,
                height: 16.0,
            };
            canvas.area(area, trie::color(class(first)), PAPER, 0.5);
            first = address;
        }
    }
    let area = Area {
        x: x_of(SAMPLE),
        y: STRIP - 2.0,
        width: STEP,
        height: 20.0,
    };
    canvas.area(area, FOLLOWED, FOLLOWED, 0.5);
}

/// The steps in words; tells where they end.
fn explanation(canvas: &mut Canvas, bits: &[bool], root: &[Cell]) -> f64 {
    let (bit, cell, digit) = (SAMPLE / OF_BIT, SAMPLE / OF_ROOT, SAMPLE % OF_ROOT);
    let Cell::Ranges { keys, classes } = &root[cell as usize] else {
        return STRIP;
    };
    let rank = Cell::rank(keys, digit);
    let found = if bits[bit as usize] {
        "It is set: ask the trie."
    } else {
        "It is clear: outside."
    };
    let steps = [
        format!(
            "10.0.0.{SAMPLE} ends with {SAMPLE:08b}: its first five bits, {bit:05b}, name bit {bit}. {found}"
        ),
        format!(
            "Its first three bits, {cell:03b}, name cell {cell} of the root. The five behind them are the digit: {digit:05b} = {digit}."
        ),
        format!(
            "{rank} of {} keys are not greater than {digit}: the rank is {rank}. Class {rank} below the cell, counted from 0: {}.",
            keys.len(),
            trie::word(classes[rank])
        ),
    ];
    let mut y = STRIP + 44.0;
    for (number, step) in (1..).zip(steps) {
        canvas.step(LEFT + 8.5, y - 4.5, number);
        canvas.small(LEFT + 26.0, y, Anchor::Start, INK, &step);
        y += 24.0;
    }
    y
}

const LINE: f64 = 132.0;
const BITMAP: f64 = 196.0;
const CELLS: f64 = 262.0;
const TABLE: f64 = 326.0;
const STRIP: f64 = 414.0;
