//! A report as one JSON object. The shape is documented at [`Report::to_json`] and is kept.

use serde_json::{Map, Value, json};

use super::{Location, Report, Severity};

pub(super) fn to_json(report: &Report) -> String {
    let diagnostics: Vec<Value> = report
        .diagnostics()
        .iter()
        .map(|diagnostic| {
            let related: Vec<Value> = diagnostic
                .related
                .iter()
                .map(|(at, why)| located(at, &[("message", why)]))
                .collect();
            let words = [
                ("code", diagnostic.code.text()),
                ("severity", diagnostic.severity().word()),
                ("message", &diagnostic.message),
                ("help", &diagnostic.help),
            ];
            let mut object = located(&diagnostic.at, &words);
            if let Value::Object(fields) = &mut object {
                fields.insert("related".to_owned(), related.into());
            }
            object
        })
        .collect();
    json!({
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "left_out": report.left_out(),
        "diagnostics": diagnostics,
    })
    .to_string()
}

fn located(at: &Location, words: &[(&str, &str)]) -> Value {
    let mut fields = Map::new();
    for (key, word) in words {
        fields.insert((*key).to_owned(), (*word).into());
    }
    let spot = at.spot.as_ref();
    fields.insert("file".to_owned(), at.file.display().to_string().into());
    fields.insert("line".to_owned(), spot.map(|spot| spot.line).into());
    fields.insert("column".to_owned(), spot.map(|spot| spot.column).into());
    fields.insert("length".to_owned(), spot.map(|spot| spot.length).into());
    Value::Object(fields)
}
