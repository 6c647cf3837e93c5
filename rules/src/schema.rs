//! The JSON Schema of a policy file, written from the tables that the reader itself uses.
//!
//! schema tables → **JSON Schema** (draft 2020-12). It says of a file what the reader says: keys, types, closed words and
//! what has to be there. What texts and numbers mean is the check's business, and is not told here.

use serde_json::{Map, Value, json};

use crate::document::schema::{Key, Kind, Need, Support, Table, Word};
use crate::document::{MAIN_ONLY, ROOT, tables};

/// The schema of the main file.
#[must_use]
pub fn policy_schema() -> Value {
    schema("A Ravelin policy", &[])
}

/// The schema of an included file, which holds fewer tables.
#[must_use]
pub fn included_schema() -> Value {
    schema("An included file of a Ravelin policy", &MAIN_ONLY)
}

fn schema(title: &str, without: &[&str]) -> Value {
    let mut schema = object(&ROOT, without);
    let below = tables(&ROOT)
        .into_iter()
        .filter(|table| !std::ptr::eq(*table, &raw const ROOT));
    let mut definitions = Map::new();
    for table in below {
        definitions.insert(name(table), Value::Object(object(table, &[])));
    }
    schema.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert("title".to_owned(), json!(title));
    schema.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(schema)
}

fn object(table: &Table, without: &[&str]) -> Map<String, Value> {
    let keys = || {
        let supported = table
            .keys
            .iter()
            .filter(|key| matches!(key.support, Support::Now));
        supported.filter(|key| !without.contains(&key.name))
    };
    let properties: Map<String, Value> = keys()
        .map(|key| (key.name.to_owned(), Value::Object(property(key))))
        .collect();
    let required: Vec<&str> = keys()
        .filter(|key| matches!(key.need, Need::Required))
        .map(|key| key.name)
        .collect();
    let mut object = Map::new();
    object.insert("type".to_owned(), json!("object"));
    object.insert("description".to_owned(), json!(table.about));
    object.insert("properties".to_owned(), Value::Object(properties));
    object.insert("required".to_owned(), json!(required));
    object.insert("additionalProperties".to_owned(), json!(false));
    object
}

fn property(key: &Key) -> Map<String, Value> {
    let mut property = takes(key.kind);
    let mut description = key.explained();
    if let Need::Optional(default) = key.need {
        match default_value(key, default) {
            Some(value) => {
                property.insert("default".to_owned(), value);
            }
            None => description = format!("{description}\n\nDefault: {default}."),
        }
    }
    property.insert("description".to_owned(), json!(description));
    if let Some(example) = example(key) {
        property.insert("examples".to_owned(), json!([example]));
    }
    property
}

/// What a key of this kind takes.
fn takes(kind: Kind) -> Map<String, Value> {
    let scalar = json!({ "type": ["integer", "string"] });
    let value = match kind {
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::TextOrTexts => json!({ "type": ["string", "array"], "items": { "type": "string" } }),
        Kind::Scalars => json!({ "type": ["integer", "string", "array"], "items": scalar }),
        Kind::Table(table) => reference(table),
        Kind::Tables(table) => json!({ "type": "array", "items": reference(table) }),
        Kind::TextsOrTables(table) => {
            json!({ "type": "array", "items": { "anyOf": [{ "type": "string" }, reference(table)] } })
        }
        Kind::Word(words) => closed(words),
        Kind::WordOrTable(words, table) => json!({ "anyOf": [closed(words), reference(table)] }),
        Kind::Moment => json!({ "type": "string", "pattern": MOMENT }),
    };
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn closed(words: &[Word]) -> Value {
    let supported = || words.iter().filter(|word| matches!(word.support, Support::Now));
    let names: Vec<&str> = supported().map(|word| word.name).collect();
    let meanings: Vec<&str> = supported().map(|word| word.meaning).collect();
    let mut closed = json!({ "type": "string", "enum": names });
    if meanings.iter().any(|meaning| !meaning.is_empty())
        && let Some(closed) = closed.as_object_mut()
    {
        // What editors show beside each word; validators pass over it.
        closed.insert(
            "x-taplo".to_owned(),
            json!({ "docs": { "enumValues": meanings } }),
        );
    }
    closed
}

fn reference(table: &Table) -> Value {
    json!({ "$ref": format!("#/$defs/{}", name(table)) })
}

/// The heading without its brackets, and without what a JSON pointer would have to escape.
fn name(table: &Table) -> String {
    table
        .heading
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
        .collect()
}

/// The default as a value, where it is one: `auto` of a closed list, or TOML in code quotes.
fn default_value(key: &Key, default: &str) -> Option<Value> {
    if key.kind.words().iter().any(|word| word.name == default) {
        return Some(json!(default));
    }
    let written = default.strip_prefix('`')?.strip_suffix('`')?;
    value_of(&format!("{} = {written}", key.name), key.name)
}

fn example(key: &Key) -> Option<Value> {
    // `[firewall]` opens a table and says nothing of a value.
    if key.example.starts_with('[') {
        return None;
    }
    value_of(key.example, key.name)
}

/// The value that `key` has in a line of TOML.
fn value_of(line: &str, key: &str) -> Option<Value> {
    let mut table: toml::Table = line.parse().ok()?;
    table.remove(key).map(to_json)
}

/// A TOML value as validators for JSON see it: a date-time is the text it is written as.
fn to_json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(value) => Value::Bool(value),
        toml::Value::Datetime(moment) => Value::String(moment.to_string()),
        toml::Value::Array(list) => list.into_iter().map(to_json).collect(),
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(key, value)| (key, to_json(value)))
            .collect(),
    }
}

/// A TOML date-time with its offset from UTC, in whole seconds, as it is written. The TOML parser has the calendar.
const MOMENT: &str =
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.0+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";

#[cfg(test)]
mod tests;
