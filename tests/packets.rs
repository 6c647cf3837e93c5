//! The fixture rows in user space: the oracle, and the compiled tables. `kernel.rs` runs the same rows in the kernel.

use ravelin_datapath::{ClassVerdict, Origin, ParseClass, Reason, SliceFrame, decide};
use ravelin_rules::{TableImage, reference};
use ravelin_tests::fixture;
use ravelin_tests::random::Spread;

#[test]
fn the_oracle_decides_as_every_row_says() {
    for row in fixture::all() {
        let decision = reference::judge(
            row.policy(),
            &row.host(),
            row.direction,
            Origin {
                loopback: row.loopback,
                ..Origin::default()
            },
            &row.frame(),
        );
        row.assert("the oracle", &decision);
    }
}

#[test]
fn the_tables_decide_as_every_row_says() {
    let mut count = 0;
    for row in fixture::all() {
        let image = TableImage::compile(row.policy(), &row.host(), row.direction)
            .unwrap_or_else(|error| panic!("{}: {}: {error}", row.file, row.description));
        let origin = Origin {
            loopback: row.loopback,
            ..Origin::default()
        };
        let decision = decide(&SliceFrame(&row.frame()), &image, origin);
        row.assert("the datapath", &decision);
        count += 1;
    }
    println!("{count} rows");
}

#[test]
fn every_reason_and_every_class_is_reached_by_a_row() {
    let mut spread = Spread::default();
    for row in fixture::all() {
        spread.count(&reference::judge(
            row.policy(),
            &row.host(),
            row.direction,
            Origin {
                loopback: row.loopback,
                ..Origin::default()
            },
            &row.frame(),
        ));
    }
    println!("{spread}");
    assert_eq!(
        spread.missing_reasons(),
        Vec::<&str>::new(),
        "reasons without a row"
    );
    assert_eq!(
        spread.missing_classes(),
        Vec::<&str>::new(),
        "classes without a row"
    );
}

#[test]
fn every_verdict_that_a_class_may_be_set_to_has_a_row() {
    let rows = fixture::all();
    for class in ParseClass::ALL {
        let mut verdicts = vec![ClassVerdict::Deny, ClassVerdict::Allow];
        if class.judgeable() {
            verdicts.push(ClassVerdict::Judge);
        }
        for verdict in verdicts {
            // `fragment_later` cannot be set.
            let possible = *class != ParseClass::FragmentLater || verdict == ClassVerdict::Judge;
            let shown = rows.iter().any(|row| {
                let decided_by_class = row.expected.reason == Reason::from(*class);
                row.policy().firewall.classes.of(*class) == verdict
                    && row.expected.seen.contains(*class)
                    && decided_by_class == (verdict != ClassVerdict::Judge)
            });
            assert!(
                shown || !possible,
                "no row shows `{}` with `{}`",
                class.label(),
                verdict.word()
            );
        }
    }
}

#[test]
fn no_two_rows_of_a_file_have_the_same_description() {
    let mut names: Vec<String> = fixture::all()
        .into_iter()
        .map(|row| format!("{}: {}", row.file, row.description))
        .collect();
    names.sort();
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1]);
    }
}
