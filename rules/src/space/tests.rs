//! The algebra against sets of numbers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A small world: protocols and flags below 6.
fn set_of(space: &mut Space, boxes: &[(u8, u8, u8, u8)]) -> (Diagram, BTreeSet<(u8, u8)>) {
    let (mut set, mut naive) = (Diagram::NOTHING, BTreeSet::new());
    for &(a, b, c, d) in boxes {
        let run = |a: u8, b: u8| Run {
            first: a.min(b).into(),
            last: a.max(b).into(),
        };
        let flags = space
            .split(Level::Flags, &[run(c, d)], Diagram::EVERYTHING, Diagram::NOTHING)
            .unwrap();
        let block = space
            .split(Level::Protocol, &[run(a, b)], flags, Diagram::NOTHING)
            .unwrap();
        set = space.or(set, block).unwrap();
        for x in a.min(b)..=a.max(b) {
            naive.extend((c.min(d)..=c.max(d)).map(|y| (x, y)));
        }
    }
    (set, naive)
}

fn members(space: &Space, set: Diagram) -> BTreeSet<(u8, u8)> {
    let mut members = BTreeSet::new();
    for (x, below) in space.runs(set, Level::Protocol) {
        for (y, answer) in space.runs(below, Level::Flags) {
            assert!(answer.answer().is_some());
            if answer == Diagram::EVERYTHING {
                for a in x.first..=x.last {
                    for b in y.first..=y.last {
                        members.insert((u8::try_from(a).unwrap(), u8::try_from(b).unwrap()));
                    }
                }
            }
        }
    }
    members
}

proptest! {
    #[test]
    fn sets_are_those_of_numbers_and_equal_sets_are_one_diagram(
        a in proptest::collection::vec((0..6u8, 0..6u8, 0..6u8, 0..6u8), 0..6),
        b in proptest::collection::vec((0..6u8, 0..6u8, 0..6u8, 0..6u8), 0..6),
    ) {
        let mut space = Space::default();
        let (one, ones) = set_of(&mut space, &a);
        let (other, others) = set_of(&mut space, &b);
        let and = space.and(one, other).unwrap();
        let or = space.or(one, other).unwrap();
        let minus = space.minus(one, other).unwrap();
        prop_assert_eq!(members(&space, and), &ones & &others);
        prop_assert_eq!(members(&space, or), &ones | &others);
        prop_assert_eq!(members(&space, minus), &ones - &others);
        prop_assert_eq!(one == other, ones == others);
        let rest = space.and(one, other).unwrap();
        let back = space.or(minus, rest).unwrap();
        prop_assert_eq!(back, one);
        let chosen = space.choose(one, Diagram::always(7), other).unwrap();
        let seven = space.map(chosen, &mut |answer| u32::from(answer == 7)).unwrap();
        prop_assert_eq!(seven, one);
    }
}
