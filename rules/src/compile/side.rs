//! The addresses of one side of a packet: the classes that rows and spoofed sources make of them.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ravelin_datapath::classify::SourceClass;
use ravelin_datapath::wire::{Plane, Setting, Settings};

use super::address::{Shape, Trie};
use super::bits::Bits;
use super::dimension::Conditions;
use super::partition::{Partition, Run, Span};
use super::spoofed::Spoofed;
use super::{in_plane, words};
use crate::ir::{Addresses, Row};

/// Which address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
}

/// What tells classes apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// The rows that its addresses satisfy.
    pub(super) rows: Bits,
    pub(super) mark: Mark,
}

/// What a source class is besides the rows it satisfies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    /// Spoofed on every interface.
    everywhere: bool,
    /// Spoofed on the interfaces of these zones, one bit each.
    pub(super) zones: u32,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Source, Self::Destination];

    /// What the row asks of this side.
    pub(super) fn of(self, row: &Row) -> Option<&Addresses> {
        match self {
            Self::Source => row.source.as_deref(),
            Self::Destination => row.destination.as_deref(),
        }
    }

    /// The classes of the addresses of one family, where `spans` spells a condition out.
    pub(super) fn classes(
        self,
        plane: Plane,
        rows: &[Row],
        spoofed: &Spoofed,
        spans: impl Fn(&Addresses) -> Vec<Span>,
    ) -> (Partition, Vec<Class>) {
        let reaches: Vec<bool> = rows.iter().map(|row| row.reaches(plane)).collect();
        let asked = rows.iter().zip(&reaches).map(|(row, reaches)| match self {
            Self::Destination if !reaches => None,
            _ => self.of(row),
        });
        let conditions = Conditions::collect(asked, Addresses::key, spans);
        let mut sets = conditions.sets.clone();
        let everywhere = sets.len();
        if self == Self::Source {
            sets.extend(spoofed.spans(plane));
        }
        let zones = everywhere + 1..sets.len();
        let partition = Partition::of(&sets);
        let mut rows_of = conditions.rows_of(&partition);
        if self == Self::Source {
            // A row that cannot match in this family must not win in it: it satisfies no source class.
            for class in &mut rows_of {
                for (row, _) in reaches.iter().enumerate().filter(|(_, reaches)| !**reaches) {
                    class.set(row, false);
                }
            }
        }
        let mark = |class: &Bits| Mark {
            everywhere: class.contains(everywhere),
            zones: (1..)
                .zip(zones.clone())
                .filter(|(_, set)| class.contains(*set))
                .fold(0, |zones, (zone, _)| zones | 1 << zone),
        };
        let marks = partition.classes.iter().map(mark);
        let classes = rows_of
            .into_iter()
            .zip(marks)
            .map(|(rows, mark)| Class { rows, mark })
            .collect();
        (partition, classes)
    }

    /// Sets what leads to the trie.
    pub(super) fn set(self, settings: &mut Settings, plane: Plane, trie: Trie) {
        let mut set = |[source, destination]: [Setting; 2], word| {
            let setting = match self {
                Self::Source => source,
                Self::Destination => destination,
            };
            settings.set(in_plane(setting, plane), word);
        };
        set(
            [Setting::SourceRootBits4, Setting::DestinationRootBits4],
            trie.root_bits,
        );
        set([Setting::SourceRoot4, Setting::DestinationRoot4], trie.root);
        if let Some(bitmap) = trie.bitmap {
            set(
                [Setting::SourceBitmapBits4, Setting::DestinationBitmapBits4],
                bitmap.bits,
            );
            set(
                [Setting::SourceBitmap4, Setting::DestinationBitmap4],
                bitmap.first,
            );
            set(
                [Setting::SourceBitmapClass4, Setting::DestinationBitmapClass4],
                bitmap.class,
            );
        }
        let levels = [Setting::SourceLevels4, Setting::DestinationLevels4];
        match trie.shape {
            Shape::OneClass => {}
            Shape::Multibit { stride, .. } => {
                set(levels, trie.levels);
                set([Setting::SourceStride4, Setting::DestinationStride4], stride);
            }
            Shape::Ranges { lanes, lists, .. } => {
                let [low, high] = words::halves(lanes.ones());
                set(levels, trie.levels + SPARE_STEPS);
                set([Setting::SourceLanes4, Setting::DestinationLanes4], lanes.count);
                set(
                    [Setting::SourceLaneBits4, Setting::DestinationLaneBits4],
                    lanes.bits,
                );
                set([Setting::SourceOnesLow4, Setting::DestinationOnesLow4], low);
                set([Setting::SourceOnesHigh4, Setting::DestinationOnesHigh4], high);
                set([Setting::SourceLists4, Setting::DestinationLists4], lists);
            }
        }
    }
}

/// A change in place may make the longest path longer by this.
pub(super) const SPARE_STEPS: u32 = 1;

/// The numbers of classes: those that satisfy the same rows, and are spoofed in the same zones, are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    numbers: HashMap<(Bits, u32), u32, RandomState>,
}

impl Numbers {
    /// Numbers the classes of a partition, and gives the rows and the zones of each number.
    pub(super) fn of(classes: &[Class]) -> (Self, Vec<Bits>, Vec<u32>) {
        let mut numbers = HashMap::default();
        let (mut rows_of, mut zones_of) = (Vec::new(), Vec::new());
        for Class { rows, mark } in classes {
            numbers.entry((rows.clone(), mark.zones)).or_insert_with(|| {
                rows_of.push(rows.clone());
                zones_of.push(mark.zones);
                u32::try_from(rows_of.len() - 1).unwrap_or(u32::MAX)
            });
        }
        (Self { numbers }, rows_of, zones_of)
    }

    /// The word of a class in a trie; `None` when it has no number.
    pub(super) fn word(&self, class: &Class) -> Option<u32> {
        let number = self.numbers.get(&(class.rows.clone(), class.mark.zones))?;
        let everywhere = if class.mark.everywhere {
            SourceClass::SPOOFED
        } else {
            0
        };
        let zoned = if class.mark.zones == 0 {
            0
        } else {
            SourceClass::ZONED
        };
        Some(number | everywhere | zoned)
    }

    /// The runs of a partition with the words of their classes; `None` when one has none.
    pub(super) fn runs(&self, partition: &Partition, classes: &[Class]) -> Option<Vec<Run>> {
        let words: Vec<Option<u32>> = classes.iter().map(|class| self.word(class)).collect();
        let mut runs: Vec<Run> = Vec::with_capacity(partition.runs.len());
        for run in &partition.runs {
            // Only those that occur: part of a partition is given with the classes of all of it.
            let class = (*words.get(usize::try_from(run.class).ok()?)?)?;
            if runs.last().is_none_or(|last| last.class != class) {
                runs.push(Run {
                    first: run.first,
                    class,
                });
            }
        }
        Some(runs)
    }
}
