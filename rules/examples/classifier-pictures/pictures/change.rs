//! `change.svg`: one more line in a set, and the live tables are changed in place.

use super::svg::{Anchor, Area, Canvas, EDGE, FAINT, FOLLOWED, INK, LEFT, PAPER};
use super::trie::{self, CELL, Cell, LANE_HEIGHT, OF_BIT, OF_ROOT, Prefix, SET};

/// The line that is added. It lies in a part whose cell is full.
const ADDED: Prefix = (193, 32);

/// The tables at one moment.
struct Moment<'m> {
    step: Option<usize>,
    title: &'m str,
    remark: &'m str,
    root: &'m [Cell],
    /// What stands in the room that was kept.
    room: &'m [Cell],
    /// The cell leads there.
    swung: bool,
}

pub(super) fn draw() -> String {
    let mut canvas = Canvas::new(&format!("A line is added to a set: 10.0.0.{}", ADDED.0));
    trie::legend(&mut canvas, 580.0, 30.0);
    let longer: Vec<Prefix> = SET.into_iter().chain([ADDED]).collect();
    let (before, after) = (trie::root(&SET), trie::root(&longer));
    let changed = (ADDED.0 / OF_ROOT) as usize;
    let room: &[Cell] = match &after[changed] {
        Cell::Table(cells) => cells,
        Cell::Ranges { .. } => &[],
    };
    let keys = trie::keys(&longer, ADDED.0 - ADDED.0 % OF_ROOT, OF_ROOT).len();
    let grown = format!("{keys} keys do not fit a cell: a table takes its place. No packet reads it yet.");
    let moments = [
        Moment {
            step: None,
            title: "Before",
            remark: "Room is kept for changes. Nothing leads there.",
            root: &before,
            room: &[],
            swung: false,
        },
        Moment {
            step: Some(1),
            title: "New words are written into the room",
            remark: &grown,
            root: &before,
            room,
            swung: false,
        },
        Moment {
            step: Some(2),
            title: "One store of 64 bits swings the cell",
            remark: "A packet that read the old cell has the old keys: it is judged as before, to its end.",
            root: &after,
            room,
            swung: true,
        },
    ];
    let mut y = 62.0;
    for moment in moments {
        moment.draw(&mut canvas, y, changed);
        y += 160.0;
    }
    let bit = if trie::bitmap(&SET)[(ADDED.0 / OF_BIT) as usize] {
        "is set already. One that is not is set last, by a store of its own."
    } else {
        "is set last, by a store of its own."
    };
    let bit = format!("The bit of 10.0.0.{} in the bitmap {bit}", ADDED.0);
    canvas.small(LEFT, y - 6.0, Anchor::Start, FAINT, &bit);
    canvas.finish(y + 14.0)
}

impl Moment<'_> {
    fn draw(&self, canvas: &mut Canvas, y: f64, changed: usize) {
        let mut left = LEFT;
        if let Some(step) = self.step {
            canvas.step(LEFT + 8.5, y - 4.5, step);
            left += 24.0;
        }
        canvas.bold(left, y, Anchor::Start, INK, self.title);
        canvas.small(LEFT, y + 18.0, Anchor::Start, FAINT, self.remark);
        let y = y + 46.0;
        let cells = format!("cells {} to {} of the root", changed - 1, changed + 1);
        canvas.small(LEFT, y - 5.0, Anchor::Start, FAINT, &cells);
        canvas.small(ROOM, y - 5.0, Anchor::Start, FAINT, "room for changes");
        // The cell that changes, between its neighbours.
        for (place, at) in (0_u32..).zip(changed - 1..=changed + 1) {
            let x = LEFT + f64::from(place) * CELL;
            self.root[at].draw(canvas, x, y);
        }
        let cell = Area {
            x: LEFT + CELL,
            y,
            width: CELL,
            height: LANE_HEIGHT,
        };
        if self.swung {
            canvas.area(cell, "none", FOLLOWED, 2.5);
            let below = y + LANE_HEIGHT + 27.0;
            let from = cell.x + CELL / 2.0;
            let to = ROOM + CELL / 2.0;
            canvas.arrow(
                &[
                    (from, y + LANE_HEIGHT),
                    (from, below),
                    (to, below),
                    (to, y + LANE_HEIGHT + 16.0),
                ],
                FOLLOWED,
            );
        }
        self.kept(canvas, y);
        self.seen(canvas, y + 66.0, changed);
    }

    fn kept(&self, canvas: &mut Canvas, y: f64) {
        let room = Area {
            x: ROOM,
            y,
            width: CELL * 4.0,
            height: LANE_HEIGHT,
        };
        canvas.area(room, "#f5f6f8", EDGE, 0.8);
        for (place, cell) in (0_u32..).zip(self.room) {
            cell.draw(canvas, ROOM + f64::from(place) * CELL, y);
        }
        if self.room.is_empty() {
            canvas.small(ROOM + CELL * 2.0, y + 15.0, Anchor::Middle, FAINT, "empty");
        } else if !self.swung {
            canvas.area(room, "none", FOLLOWED, 2.5);
        }
    }

    /// What packets from the cell's addresses meet.
    fn seen(&self, canvas: &mut Canvas, y: f64, changed: usize) {
        let class = |digit: u32| self.root[changed].class(digit, OF_ROOT);
        let first = OF_ROOT * u32::try_from(changed).unwrap_or(0);
        let text = format!("packets from .{first} to .{}", first + OF_ROOT - 1);
        canvas.small(LEFT, y + 12.0, Anchor::Start, FAINT, &text);
        for digit in 0..OF_ROOT {
            let area = Area {
                x: SEEN + f64::from(digit) * ADDRESS,
                y,
                width: ADDRESS,
                height: 16.0,
            };
            canvas.area(area, trie::color(class(digit)), PAPER, 0.8);
        }
        let digit = ADDED.0 % OF_ROOT;
        let area = Area {
            x: SEEN + f64::from(digit) * ADDRESS,
            y,
            width: ADDRESS,
            height: 16.0,
        };
        canvas.area(area, "none", FOLLOWED, 2.0);
        let x = SEEN + f64::from(OF_ROOT) * ADDRESS + 14.0;
        let text = format!("10.0.0.{} is {}", ADDED.0, trie::word(class(digit)));
        canvas.bold(x, y + 12.5, Anchor::Start, FOLLOWED, &text);
    }
}

/// Where the room begins.
const ROOM: f64 = 380.0;
/// Where the addresses that packets come from begin, and how wide one is.
const SEEN: f64 = 204.0;
const ADDRESS: f64 = 10.5;
