//! The schema and the reader say the same of a file: of every policy at hand, and of thousands with a mistake put in.

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use toml::{Table, Value as Toml};

use super::*;
use crate::diagnostic::Reporter;
use crate::document::{Document, Role};
use crate::{Code, Diagnostic, Severity};

#[test]
fn the_schema_accepts_what_the_reader_accepts_of_every_policy_at_hand() {
    let judges = Judges::new();
    let (mut accepted, mut refused) = (0, 0);
    for (name, text) in policies() {
        let Ok(table) = text.parse::<Table>() else {
            continue;
        };
        for role in [Role::Main, Role::Included] {
            match judges.compare(role, &table, &text) {
                Same::Accepted => accepted += 1,
                Same::Refused => refused += 1,
                Same::Blind => {}
                Same::No(why) => panic!("{name} as {role:?}: {why}"),
            }
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted >= 80 && refused >= 80, "{accepted} {refused}");
}

#[test]
fn the_schema_accepts_what_the_reader_accepts_after_any_mistake() {
    let judges = Judges::new();
    let originals: Vec<Table> = policies()
        .into_iter()
        .filter_map(|(_, text)| text.parse().ok())
        .filter(|table| {
            let text = toml::to_string(table).unwrap();
            reader_errors(Role::Main, &text).is_empty()
        })
        .collect();
    assert!(originals.len() >= 50, "{} valid policies", originals.len());
    let mut random = Random(0x5eed);
    let (mut accepted, mut refused, mut blind) = (0, 0, 0);
    for round in 0..MUTATIONS {
        let role = if round % 2 == 0 {
            Role::Main
        } else {
            Role::Included
        };
        let mut table = random.pick(&originals).clone();
        if role == Role::Included {
            table.retain(|key, _| !MAIN_ONLY.contains(&key));
        }
        let gentle = random.below(2) == 0;
        for _ in 0..=random.below(2) {
            mutate(&mut table, gentle, &mut random);
        }
        let text = toml::to_string(&table).unwrap();
        match judges.compare(role, &table, &text) {
            Same::Accepted => accepted += 1,
            Same::Refused => refused += 1,
            Same::Blind => blind += 1,
            Same::No(why) => panic!("as {role:?}: {why}\n{text}"),
        }
    }
    println!("{accepted} accepted, {refused} refused, {blind} where JSON has no such type");
    assert!(accepted * 5 >= MUTATIONS && refused * 5 >= MUTATIONS);
    assert!(blind * 20 < MUTATIONS, "{blind} of {MUTATIONS} prove nothing");
}

#[test]
fn a_date_time_is_refused_unless_it_is_a_moment() {
    let judges = Judges::new();
    for (moment, good) in [
        ("2026-12-31T00:00:00Z", true),
        ("2026-12-31t00:00:00z", true),
        ("2026-12-31 00:00:00-05:30", true),
        ("2026-12-31T00:00:00.000Z", true),
        ("2026-12-31T00:00:00.5Z", false),
        ("2026-12-31T00:00:00", false),
        ("2026-12-31", false),
        ("07:32:00", false),
    ] {
        let text = format!("[[rule]]\nname = \"a\"\naction = \"allow\"\nexpires = {moment}\n");
        let same = judges.compare(Role::Main, &text.parse().unwrap(), &text);
        let expected = if good { Same::Accepted } else { Same::Refused };
        assert_eq!(same, expected, "{moment}");
        // As it is written, too: editors do not normalize it.
        let raw = json!({ "rule": [{ "name": "a", "action": "allow", "expires": moment }] });
        assert_eq!(judges.main.is_valid(&raw), good, "{moment} as written");
    }
}

#[test]
fn both_schemas_are_valid_and_what_is_not_supported_is_not_in_them() {
    for schema in [policy_schema(), included_schema()] {
        assert!(jsonschema::draft202012::meta::is_valid(&schema));
        let text = schema.to_string();
        assert!(!text.contains("\"nftables\""));
    }
    let included = included_schema();
    for key in MAIN_ONLY {
        assert!(policy_schema()["properties"][key].is_object(), "{key}");
        assert!(included["properties"][key].is_null(), "{key}");
    }
}

#[test]
fn every_default_and_every_example_of_the_schema_fits_it() {
    let schema = policy_schema();
    let mut found = 0;
    let objects = std::iter::once(&schema).chain(schema["$defs"].as_object().unwrap().values());
    for object in objects {
        for (key, property) in object["properties"].as_object().unwrap() {
            let mut alone = property.clone();
            alone["$defs"] = schema["$defs"].clone();
            let validator = jsonschema::draft202012::new(&alone).unwrap();
            let examples = property["examples"].as_array().into_iter().flatten();
            for value in examples.chain(property.get("default")) {
                found += 1;
                assert!(validator.is_valid(value), "{key}: {value}");
            }
        }
    }
    assert!(found > 80, "{found} values");
}

#[test]
fn every_table_has_a_definition_of_its_own() {
    let tables = tables(&ROOT).len() - 1;
    assert_eq!(policy_schema()["$defs"].as_object().unwrap().len(), tables);
}

struct Judges {
    main: Validator,
    included: Validator,
}

/// Whether the two judges of a file agree.
#[derive(Debug, PartialEq, Eq)]
enum Same {
    Accepted,
    Refused,
    /// TOML tells a date from a text and `1.0` from `1`; JSON cannot.
    Blind,
    No(String),
}

impl Judges {
    fn new() -> Self {
        Self {
            main: jsonschema::draft202012::new(&policy_schema()).unwrap(),
            included: jsonschema::draft202012::new(&included_schema()).unwrap(),
        }
    }

    fn compare(&self, role: Role, table: &Table, text: &str) -> Same {
        let validator = match role {
            Role::Main => &self.main,
            Role::Included => &self.included,
        };
        let errors = reader_errors(role, text);
        let json = to_json(Toml::Table(table.clone()));
        match (validator.validate(&json), errors.as_slice()) {
            (Ok(()), []) => Same::Accepted,
            (Err(_), [_, ..]) => Same::Refused,
            (Ok(()), errors) if errors.iter().all(no_such_type_in_json) => Same::Blind,
            (Ok(()), errors) => Same::No(format!("only the reader objects: {errors:?}")),
            (Err(error), []) => Same::No(format!("only the schema objects: {error}")),
        }
    }
}

fn no_such_type_in_json(error: &Diagnostic) -> bool {
    error.code == Code::WrongType
        && (error.message.ends_with("found a date")
            || error.message.ends_with("found a number with a fraction"))
}

/// What the reader alone says: nothing is checked yet.
fn reader_errors(role: Role, text: &str) -> Vec<Diagnostic> {
    let mut reporter = Reporter::default();
    let file = reporter
        .sources
        .add(PathBuf::from("policy.toml"), text.to_owned());
    Document::default().read(file, role, &mut reporter);
    let report = reporter.into_report();
    let errors = report.diagnostics().iter().filter(|diagnostic| {
        // Whether a moment is still to come is a question of its meaning.
        let too_early =
            diagnostic.code == Code::BadMoment && diagnostic.message.ends_with("is not after 1970");
        diagnostic.code.severity() == Severity::Error && !too_early
    });
    errors.cloned().collect()
}

/// Every policy of the tests, the documentation and the reference page.
fn policies() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for folder in ["rules/tests", "docs", "tests/fixtures"] {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    let mut policies = Vec::new();
    for file in files {
        let (name, text) = (file.display().to_string(), fs::read(&file).unwrap());
        let Ok(text) = String::from_utf8(text) else {
            continue;
        };
        if file.extension().is_some_and(|extension| extension == "toml") {
            policies.push((name, text));
            continue;
        }
        for block in text.split("\n```toml").skip(1) {
            let block = block.split_once('\n').unwrap_or_default().1;
            let block = block.split("```").next().unwrap_or_default();
            policies.push((name.clone(), block.to_owned()));
        }
    }
    let examples = tables(&ROOT).into_iter();
    policies.extend(examples.map(|table| (table.heading.to_owned(), table.example.to_owned())));
    policies
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml" || extension == "md")
        {
            files.push(path);
        }
    }
}

/// Puts one mistake, or a change that is none, somewhere into the table; a gentle change keeps types more often than not.
fn mutate(table: &mut Table, gentle: bool, random: &mut Random) {
    // Into a table below, more often than not.
    let below: Vec<String> = table
        .iter()
        .filter(|(_, value)| match value {
            Toml::Table(_) => true,
            Toml::Array(list) => list.iter().any(Toml::is_table),
            _ => false,
        })
        .map(|(key, _)| key.clone())
        .collect();
    if !below.is_empty() && random.below(4) > 0 {
        let key = random.pick(&below).clone();
        match table.get_mut(&key) {
            Some(Toml::Table(table)) => return mutate(table, gentle, random),
            Some(Toml::Array(list)) => {
                let mut tables: Vec<&mut Table> = list.iter_mut().filter_map(Toml::as_table_mut).collect();
                let chosen = random.below(tables.len());
                return mutate(tables[chosen], gentle, random);
            }
            _ => unreachable!("only tables were kept"),
        }
    }
    let keys: Vec<String> = table.keys().cloned().collect();
    if keys.is_empty() || (!gentle && random.below(5) == 0) {
        table.insert(any_key(random), any_value(random, 2));
        return;
    }
    let key = random.pick(&keys).clone();
    let value = table[&key].clone();
    let change = if gentle {
        *random.pick(&[0, 3, 4, 4, 4])
    } else {
        random.below(8)
    };
    match change {
        0 => drop(table.remove(&key)),
        1 => {
            table.remove(&key);
            table.insert(any_key(random), value);
        }
        2 => drop(table.insert(format!("{key}s"), value)),
        3 => drop(table.insert(key, Toml::Array(vec![value]))),
        4 => {
            let changed = match value {
                Toml::Array(mut list) => {
                    let first = list.first().cloned().filter(|_| gentle);
                    list.push(first.unwrap_or_else(|| any_value(random, 1)));
                    Toml::Array(list)
                }
                Toml::String(_) => Toml::String(any_word(random)),
                Toml::Integer(number) => Toml::Integer(number.wrapping_neg()),
                Toml::Boolean(value) => Toml::Boolean(!value),
                other => other,
            };
            table.insert(key, changed);
        }
        5 => {
            // The first of a list in its place, which a key that takes both allows.
            let first = value.as_array().and_then(|list| list.first().cloned());
            table.insert(key, first.unwrap_or(Toml::Array(Vec::new())));
        }
        _ => drop(table.insert(key, any_value(random, 2))),
    }
}

fn any_key(random: &mut Random) -> String {
    let keys: Vec<&Key> = tables(&ROOT).into_iter().flat_map(|table| table.keys).collect();
    match random.below(10) {
        0 => String::new(),
        1 => "$ref".to_owned(),
        _ => random.pick(&keys).name.to_owned(),
    }
}

fn any_word(random: &mut Random) -> String {
    let words: Vec<&Word> = tables(&ROOT)
        .into_iter()
        .flat_map(|table| table.keys.iter().flat_map(|key| key.kind.words()))
        .collect();
    match random.below(4) {
        0 => "Allow".to_owned(),
        1 => String::new(),
        _ => random.pick(&words).name.to_owned(),
    }
}

fn any_value(random: &mut Random, depth: usize) -> Toml {
    let kinds = if depth == 0 { 7 } else { 10 };
    match random.below(kinds) {
        0 => Toml::Boolean(random.below(2) == 0),
        1 => Toml::Integer(i64::MIN),
        2 => Toml::Integer(443),
        3 => Toml::Float(if random.below(4) == 0 { 1.0 } else { 1.5 }),
        4 => {
            let moments = [
                "2026-12-31T00:00:00Z",
                "2026-12-31T00:00:00.5Z",
                "2026-12-31",
                "07:32:00",
            ];
            Toml::Datetime(random.pick(&moments).parse().unwrap())
        }
        5 | 6 => Toml::String(any_word(random)),
        7 | 8 => (0..random.below(3))
            .map(|_| any_value(random, depth - 1))
            .collect::<Vec<_>>()
            .into(),
        _ => Toml::Table(
            (0..random.below(3))
                .map(|_| (any_key(random), any_value(random, depth - 1)))
                .collect(),
        ),
    }
}

/// `SplitMix64`: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

const MUTATIONS: usize = 30_000;
