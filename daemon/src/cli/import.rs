//! `ravelin import`: a policy from what people have.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use ravelin_rules::import::{Draft, Source, Unmapped, import};
use serde_json::json;
use thiserror::Error;

use super::output::{print, print_error};
use super::{Failure, Format, Outcome};

/// Make a policy of another firewall's rules
///
/// Prints TOML. What a policy cannot say is listed on standard error and in comments at the top of the policy, with its place and
/// what to do. Exit code 0: everything is in the policy, 1: something is not, 2: there is nothing to import.
#[derive(Args, Debug)]
pub(super) struct Import {
    /// Whose rules they are
    #[arg(value_name = "SOURCE", value_parser = PossibleValuesParser::new(Source::ALL.map(Source::word)))]
    source: String,
    /// What the other firewall prints: the JSON of `aws ec2 describe-security-groups`, of `describe-network-acls`, of the Anypoint
    /// API or of `nft -j list ruleset`, the text of `iptables-save`; `/dev/stdin` for a pipe
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this security group, network ACL or VPC
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Write the policy to a file, which must not exist yet
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Error)]
enum ImportFileError {
    #[error("cannot read `{}`", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("`{}` is larger than {} MiB", file.display(), MAX_FILE >> 20)]
    TooLarge { file: PathBuf },
    #[error("cannot write `{}`", file.display())]
    Write { file: PathBuf, source: io::Error },
}

impl Import {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let text = self.read()?;
        let words = self.source.as_str();
        let source = Source::ALL.into_iter().find(|source| source.word() == words);
        // The parser takes no other word.
        let source = source.ok_or("no such source")?;
        let draft = import(source, &text, self.id.as_deref())?;
        let policy = draft.to_string();
        match &self.output {
            Some(file) => write(file.clone(), &policy)?,
            None if self.format == Format::Text => print(&policy),
            None => {}
        }
        if self.format == Format::Json {
            print(&to_json(&draft, &policy));
        }
        for missing in draft.unmapped() {
            print_error(&format!("not imported: {missing}"));
        }
        Ok(if draft.unmapped().is_empty() {
            Outcome::Done
        } else {
            Outcome::No
        })
    }

    fn read(&self) -> Result<String, ImportFileError> {
        let file = &self.file;
        let failed = |source| ImportFileError::Read {
            file: file.clone(),
            source,
        };
        let mut text = String::new();
        let mut input = File::open(file).map_err(failed)?.take(MAX_FILE + 1);
        input.read_to_string(&mut text).map_err(failed)?;
        if input.limit() == 0 {
            return Err(ImportFileError::TooLarge { file: file.clone() });
        }
        Ok(text)
    }
}

/// A policy that somebody went on with is not overwritten.
fn write(file: PathBuf, policy: &str) -> Result<(), ImportFileError> {
    let written = File::create_new(&file).and_then(|_empty| fs::write(&file, policy));
    written.map_err(|source| ImportFileError::Write { file, source })
}

fn to_json(draft: &Draft, policy: &str) -> String {
    let missing =
        |missing: &Unmapped| json!({ "place": missing.place, "what": missing.what, "why": missing.why });
    let document = json!({
        "policy": policy,
        "rules": draft.rules(),
        "not_imported": draft.unmapped().iter().map(missing).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

/// A disk image named by mistake must not fill the memory.
const MAX_FILE: u64 = 16 << 20;
