//! How long until a line that comes or goes in a set file is live: file replaced → read, compared, **amended** → packets judged by it.
//! The daemon's own steps, without the pause in which it waits for the writer of a file to be done.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ravelin_benches::{Cell, Column, Report, Table};
use ravelin_rules::{Loaded, load};
use ravelin_tests::home::Home;
use ravelin_tests::random::Random;
use ravelin_tests::scene::Scene;

use crate::live::Live;
use crate::{SETS, compile, milliseconds, write};

/// A policy with one set file, live.
struct Amended {
    folder: PathBuf,
    loaded: Loaded,
    live: Live,
}

/// What became of one change.
struct Step {
    /// Read, and compared with what was kept.
    found: Duration,
    /// From the replaced file until packets are judged by it.
    live: Duration,
    /// What is known of the policy brought up to it.
    after: Duration,
    rebuilt: bool,
}

pub(crate) fn lines(report: &mut Report, scene: &Scene) {
    report.say(&format!(
        "one line of a set file comes or goes, {CHANGES} times each: median (least - most)\n\
         \"live\" is from the replaced file until packets are judged by it; target: 20 ms. Rebuilt: the tables could not be changed in place, \
         and the whole policy was made live {REBUILT} times\n"
    ));
    let mut table = Table::new("set file", &COLUMNS);
    for shape in SETS {
        let (name, folder) = write(shape);
        let row = scene.host.run(|| row(folder.path(), shape.1));
        table.row(&name, row);
    }
    report.table(&table);
}

fn row(folder: &Path, six: bool) -> [Cell; FIGURES] {
    let home = Home::new("bench-swap-amend");
    home.mount_pins();
    let mut amended = Amended::new(folder, &home);
    let text = fs::read_to_string(folder.join(FILE)).expect("the set file");
    let mut random = Random::new(11);
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    while added.len() < CHANGES {
        // Outside of what the set's prefixes are drawn from.
        let line = match six {
            true => format!("fd00::{:x}\n", random.below(1 << 16)),
            false => format!("192.0.2.{}\n", random.below(256)),
        };
        let at = random.index(text.len());
        let at = at + text[at..].find('\n').map_or(0, |end| end + 1);
        added.push(amended.change(&[&text[..at], &line, &text[at..]].concat()));
        removed.push(amended.change(&text));
        if added.len() >= REBUILT && added.iter().chain(&removed).any(|step| step.rebuilt) {
            break;
        }
    }
    amended.live.remove();
    let all = || added.iter().chain(&removed);
    let rebuilt = all().filter(|step| step.rebuilt).count();
    [
        of(all(), |step| step.found),
        of(added.iter(), |step| step.live),
        of(removed.iter(), |step| step.live),
        of(all().filter(|step| !step.rebuilt), |step| step.after),
        Cell::Words(match rebuilt {
            0 => "in place".to_owned(),
            _ => format!("rebuilt {rebuilt} of {}", all().count()),
        }),
    ]
}

impl Amended {
    fn new(folder: &Path, home: &Home) -> Self {
        let loaded = read(folder);
        let mut live = Live::new(home);
        live.apply(&compile(&loaded.policy));
        Self {
            folder: folder.to_owned(),
            loaded,
            live,
        }
    }

    /// Replaces the set file and makes it live.
    fn change(&mut self, text: &str) -> Step {
        let (file, new) = (self.folder.join(FILE), self.folder.join("new"));
        fs::write(&new, text).expect("the set file is written");
        fs::rename(&new, &file).expect("the set file is replaced");
        let started = Instant::now();
        let edits = self.loaded.set_files.edits(&[file], &self.loaded.policy);
        let found = started.elapsed();
        let edits = edits.expect("one line is a small change");
        let [edit] = edits.as_slice() else {
            panic!("one file has changed");
        };
        let rebuilt = !self.live.amend(&self.loaded.policy, &edit.change);
        if rebuilt {
            self.loaded = read(&self.folder);
            self.live.apply(&compile(&self.loaded.policy));
        }
        let live = started.elapsed();
        let started = Instant::now();
        if !rebuilt {
            let policy = self.loaded.set_files.take(&self.loaded.policy, edit);
            self.loaded.policy = policy;
        }
        Step {
            found,
            live,
            after: started.elapsed(),
            rebuilt,
        }
    }
}

fn read(folder: &Path) -> Loaded {
    load(&folder.join("policy.toml")).unwrap_or_else(|report| panic!("{}", report.render()))
}

fn of<'s>(steps: impl Iterator<Item = &'s Step>, time: impl Fn(&Step) -> Duration) -> Cell {
    Cell::of(steps.map(|step| milliseconds(&time(step))).collect())
}

const CHANGES: usize = 21;
/// A rebuilt policy takes as long each time.
const REBUILT: usize = 2;
const FILE: &str = "000.txt";
const FIGURES: usize = 5;
const COLUMNS: [Column; FIGURES] = [
    ("found", "ms"),
    ("added, live", "ms"),
    ("removed, live", "ms"),
    ("policy after", "ms"),
    ("tables", ""),
];
