//! From the path of a policy file to a policy: reads the file, what it includes, and the sets it names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::change::SetFiles;
use crate::check;
use crate::diagnostic::{Code, Diagnostic, Location, Report, Reporter, Spot, quote};
use crate::document::{Document, Role};
use crate::lint::{self, Finding, Thoroughness};
use crate::policy::rule::Place;
use crate::source::{FileId, Sources, Written, read_bounded, read_regular};
use crate::{Direction, HostFacts, Policy, TableImage};

/// A policy that was accepted.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// The set files as they were read, to find out later what changed in them.
    pub set_files: SetFiles,
    /// How many `[[set]]` tables it has; their prefixes are in the rules and listeners that use them.
    pub sets: usize,
    /// What may not mean what its author thinks. Holds no errors.
    pub warnings: Report,
    main: Arc<PathBuf>,
    /// The text of every policy file, for findings about the loaded policy.
    texts: Vec<(Arc<PathBuf>, Arc<str>)>,
}

impl Loaded {
    /// The warnings, and what the rules do and do not do on this host, from the host's present moment on: exact, by the algebra of
    /// packet sets.
    #[must_use]
    pub fn lint(&self, host: &HostFacts, thoroughness: Thoroughness) -> Report {
        let findings = lint::lint(&self.policy, host, thoroughness);
        let diagnostic = |finding: Finding| Diagnostic {
            code: finding.code,
            message: finding.message,
            at: self.locate(&finding.place),
            related: finding
                .related
                .iter()
                .map(|(place, why)| (self.locate(place), why.clone()))
                .collect(),
            help: finding.help,
        };
        self.warnings
            .clone()
            .with(findings.into_iter().map(diagnostic).collect())
    }

    fn locate(&self, place: &Place) -> Location {
        let text = self.texts.iter().find(|(file, _)| *file == place.file);
        let line = usize::try_from(place.line).unwrap_or(1).saturating_sub(1);
        let line = text.and_then(|(_, text)| text.lines().nth(line));
        Location {
            file: Arc::clone(&place.file),
            spot: line.map(|line| {
                let start = line.len() - line.trim_start().len();
                Spot::new(
                    place.line,
                    place.column,
                    line,
                    start..line.trim_end().len().max(start),
                )
            }),
        }
    }

    /// The tables of the policy for packets of one direction, on this host.
    ///
    /// # Errors
    ///
    /// The warnings and one error more: the policy does not fit the bounds of a generation.
    pub fn compile(&self, host: &HostFacts, direction: Direction) -> Result<TableImage, Report> {
        TableImage::compile(&self.policy, host, direction).map_err(|error| {
            let error = error.to_string();
            // A compile error says what does not fit, a semicolon, and what to do.
            let (message, help) = error.split_once("; ").unwrap_or((&error, "write fewer rules"));
            self.warnings
                .clone()
                .with_error(Code::DoesNotFit, &self.main, message, help)
        })
    }
}

/// Reads and checks the policy at `path`, every included file and every set file.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("ravelin.toml");
/// std::fs::write(&path, "[firewall]\nstatefull = true\n")?;
/// let Err(report) = ravelin_rules::load(&path) else {
///     return Err("there is no such key".into());
/// };
/// assert!(report.render().contains("help: did you mean `stateful`?"), "{}", report.render());
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// The report of everything that was found, warnings included, when there is at least one error.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    load_with(Sources::default(), path)
}

/// Like [`load`], from a copy of the policy's files under `root` that keeps their folders: `/etc/ravelin/ravelin.toml` is
/// read from `<root>/etc/ravelin/ravelin.toml`, and so is everything it names.
///
/// # Errors
///
/// As [`load`].
pub fn load_below(root: &Path, path: &Path) -> Result<Loaded, Report> {
    let path = path.strip_prefix("/").unwrap_or(path);
    load_with(Sources::below(root), &root.join(path))
}

/// Like [`load`], beside copies of the files as they were last taken, below `last_good` in the folders of the originals. A set whose
/// files change more than its `max_change` allows keeps those.
///
/// # Errors
///
/// As [`load`].
pub fn load_beside(last_good: &Path, path: &Path) -> Result<Loaded, Report> {
    load_with(Sources::beside(last_good), path)
}

/// A policy from its text alone. The files that it names are not there: what it includes is missing, and so are set files.
///
/// # Errors
///
/// As [`load`].
pub fn load_text(text: &str) -> Result<Loaded, Report> {
    let path = Path::new(NOWHERE).join("policy.toml");
    let mut reporter = Reporter::default();
    reporter.sources = Sources::below(Path::new(NOWHERE));
    let file = reporter.sources.add(path.clone(), text.to_owned());
    finish(&path, Some(file), reporter)
}

fn load_with(sources: Sources, path: &Path) -> Result<Loaded, Report> {
    let mut reporter = Reporter::default();
    reporter.sources = sources;
    let file = read_file(path, Role::Main, &mut reporter);
    finish(path, file, reporter)
}

fn finish(path: &Path, file: Option<FileId>, mut reporter: Reporter) -> Result<Loaded, Report> {
    let mut document = Document::default();
    if let Some(file) = file {
        document.read(file, Role::Main, &mut reporter);
        for path in included(&document.include, path, &mut reporter) {
            if let Some(file) = read_file(&path, Role::Included, &mut reporter) {
                document.read(file, Role::Included, &mut reporter);
            }
        }
    }
    let texts = reporter.sources.texts();
    let sets = document.sets.len();
    let (policy, set_files) = check::check(document, &mut reporter);
    if reporter.has_errors() {
        return Err(reporter.into_report());
    }
    Ok(Loaded {
        policy,
        set_files,
        sets,
        warnings: reporter.into_report(),
        main: Arc::new(path.to_owned()),
        texts,
    })
}

fn read_file(path: &Path, role: Role, reporter: &mut Reporter) -> Option<FileId> {
    let bytes = match role {
        // The main file may be a pipe: `ravelin check /dev/stdin`.
        Role::Main => read_bounded(path, MAX_POLICY_FILE),
        Role::Included => read_regular(path, MAX_POLICY_FILE),
    };
    let name = Arc::new(path.to_owned());
    match bytes.map(String::from_utf8) {
        Ok(Ok(text)) => Some(reporter.sources.add(path.to_owned(), text)),
        Ok(Err(error)) => {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let file = reporter.sources.add(path.to_owned(), text);
            let message = format!("byte {} of the file is not UTF-8", good + 1);
            let help = "save the file as UTF-8 text";
            reporter.report(Code::NotUtf8, file.span(good..good + 1), message, help);
            None
        }
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            let message = format!("the file is larger than {} MiB", MAX_POLICY_FILE >> 20);
            let help =
                "put long address lists into the `files` of a `[[set]]`, and rules into included files";
            reporter.report_file(Code::TooLarge, &name, message, help);
            None
        }
        Err(error) => {
            let message = format!("cannot read {}: {error}", quote(&path.display().to_string()));
            let help = "name a policy file that exists and that this user may read";
            reporter.report_file(Code::Unreadable, &name, message, help);
            None
        }
    }
}

/// The files that the patterns name, each once, the main file never.
fn included(patterns: &[Written<String>], main: &Path, reporter: &mut Reporter) -> Vec<PathBuf> {
    let mut seen: Vec<PathBuf> = fs::canonicalize(main).into_iter().collect();
    let mut files = Vec::new();
    for pattern in patterns {
        for path in matches(pattern, reporter) {
            if files.len() >= MAX_INCLUDED_FILES {
                let message = format!("more than {MAX_INCLUDED_FILES} included files");
                let help = "write a narrower pattern, or join the files";
                reporter.report(Code::TooLarge, pattern.span, message, help);
                return files;
            }
            let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            if !seen.contains(&real) {
                seen.push(real);
                files.push(path);
            }
        }
    }
    files
}

/// The files one pattern names, in the order of their names.
fn matches(pattern: &Written<String>, reporter: &mut Reporter) -> Vec<PathBuf> {
    let written = &pattern.value;
    let is_pattern = written.contains(['*', '?', '[']);
    let (folder, rest) = reporter.sources.start(pattern.span.file, written);
    let path = Path::new(&glob::Pattern::escape(&folder.display().to_string())).join(rest);
    let found = match glob::glob_with(&path.display().to_string(), PATTERN_OPTIONS) {
        Ok(found) => found,
        Err(error) => {
            let message = format!("{} is not a file pattern: {}", quote(written), error.msg);
            let help = "`*` stands for any characters of one name, `?` for one, `[ab]` for one of a list";
            reporter.report(Code::Include, pattern.span, message, help);
            return Vec::new();
        }
    };
    // A folder that cannot be read must not look like an empty one: its rules would be missing without a word.
    let mut files = Vec::new();
    for path in found.take(MAX_INCLUDED_FILES + 1) {
        match path {
            Ok(path) => files.push(path),
            Err(error) => {
                let message = format!(
                    "cannot read {}: {}",
                    quote(&error.path().display().to_string()),
                    error.error()
                );
                let help = "let the user that runs this read the folder";
                reporter.report(Code::Include, pattern.span, message, help);
            }
        }
    }
    files.sort();
    if files.is_empty() && !is_pattern {
        let message = format!("included file {} does not exist", quote(written));
        let help = "name a file that exists, relative to this one, or a pattern like `rules.d/*.toml`";
        reporter.report(Code::Include, pattern.span, message, help);
    }
    files
}

/// Nothing can be found below what is not a folder, with `..` neither: the policy of [`load_text`] reads no file.
const NOWHERE: &str = "/dev/null";

/// As in a shell, `*` leaves out names that start with a dot: editors keep lock files and copies under them.
const PATTERN_OPTIONS: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// A log or a disk image named by mistake must not fill the memory. 100,000 rules fit.
const MAX_POLICY_FILE: u64 = 16 << 20;

/// A pattern like `/**` by mistake must not read the whole disk.
const MAX_INCLUDED_FILES: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{load, load_below, load_text};

    #[test]
    fn a_text_reads_no_file_whatever_it_names() {
        let policy = "include = [\"../../etc/*.conf\", \"/etc/hostname\", \"../etc/hostname\"]\n[firewall]\nstateful = false\n";
        let report = load_text(policy).expect_err("the files are not there").render();
        assert_eq!(report.matches("does not exist").count(), 2, "{report}");
        load_text("[firewall]\nstateful = false\n").expect("a policy without files");
    }

    #[test]
    fn a_copy_that_keeps_the_folders_loads_as_the_original_did_absolute_paths_too() {
        let original = tempfile::tempdir().expect("a folder");
        let lists = original.path().join("lists");
        fs::create_dir(&lists).expect("a folder");
        fs::write(lists.join("partners.txt"), "192.0.2.0/24\n").expect("a set file");
        let policy = format!(
            "[firewall]\nstateful = false\n[[set]]\nname = \"partners\"\nfiles = [\"{}/partners.txt\"]\n[[rule]]\nname = \"a\"\naction = \"allow\"\nsource = \"@partners\"\n",
            lists.display()
        );
        let main = original.path().join("ravelin.toml");
        fs::write(&main, policy).expect("a policy");
        let loaded = load(&main).expect("the original loads");

        let copy = tempfile::tempdir().expect("a folder");
        for file in &loaded.policy.files {
            let to = copy
                .path()
                .join(file.strip_prefix("/").expect("an absolute path"));
            fs::create_dir_all(to.parent().expect("a parent")).expect("folders");
            fs::copy(file, to).expect("a copy");
        }
        drop(original);
        assert!(load(&main).is_err(), "the original is gone");
        let again = load_below(copy.path(), &main).expect("the copy loads");
        assert_eq!(again.policy.rules.len(), 1);
    }
}
