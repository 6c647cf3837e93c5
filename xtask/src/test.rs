//! Runs the rings: set-up → build → **rings in order, stop at the first that fails** → summary.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::machine;
use crate::progress::{self, heading, human, shown};
use crate::rings::{self, Ring, Step, cargo};
use crate::setup::{self, Purpose};
use crate::tally::Tally;

/// What was asked for.
pub(crate) struct Request {
    rings: Vec<Ring>,
    strict: bool,
}

/// What came of one step.
struct Row {
    ring: Ring,
    step: String,
    tally: Tally,
    took: Duration,
}

impl Request {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut request = Self {
            rings: Vec::new(),
            strict: true,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--lenient" => request.strict = false,
                "--only" => {
                    let name = arguments.next().map_or("", String::as_str);
                    request
                        .rings
                        .push(Ring::parse(name).ok_or_else(|| unknown_ring(name))?);
                }
                other => {
                    return Err(Failure::cannot(format!(
                        "unexpected argument `{other}`\nhelp: `cargo xtask test --help`"
                    )));
                }
            }
        }
        if request.rings.is_empty() {
            request.rings = Ring::ALL.to_vec();
        }
        Ok(request)
    }

    /// `cargo xtask lint`.
    pub(crate) fn lint((): ()) -> Self {
        Self {
            rings: vec![Ring::Lint],
            strict: true,
        }
    }

    fn purpose(&self) -> Purpose {
        let needs_root = self.rings.iter().any(|ring| ring.needs_root());
        if needs_root && (self.strict || machine::is_root()) {
            Purpose::Test
        } else {
            Purpose::Build
        }
    }
}

/// Runs what `request` names.
pub(crate) fn run(request: &Request) -> Result<(), Failure> {
    let started = Instant::now();
    setup::run(request.purpose(), ())?;
    let mut rows = Vec::new();
    let outcome = run_rings(request, &mut rows);
    if let Err(failure) = &outcome {
        println!("\n{failure}");
    }
    summary(request, &rows, started.elapsed());
    outcome.map_err(Failure::told)
}

fn run_rings(request: &Request, rows: &mut Vec<Row>) -> Result<(), Failure> {
    if request.rings.iter().any(|ring| *ring != Ring::Lint) {
        build()?;
    }
    for &ring in &request.rings {
        for step in ring.steps()? {
            heading(&format!("{}: {}", ring.name(), step.name));
            let started = Instant::now();
            let name = step.name.clone();
            let (tally, result) = run_step(step, request.strict);
            rows.push(Row {
                ring,
                step: name,
                tally,
                took: started.elapsed(),
            });
            result?;
        }
    }
    Ok(())
}

/// Everything is compiled before the first test runs, so that the times below are of tests.
///
/// In the very selections that run later: cargo gives a package another profile when it is only a build dependency of
/// what is selected, and what was built for another selection would be built again.
fn build() -> Result<(), Failure> {
    heading("build: the binary and all tests");
    progress::run(
        "programs",
        &mut cargo(&["build", "--workspace", "--bins", "--locked"]),
    )?;
    progress::run(
        "tests beside the code",
        rings::test(&["--lib", "--bins"]).args(["--no-run", "--quiet"]),
    )?;
    let mut suites = rings::test(&[]);
    for name in rings::all_suites()? {
        suites.args(["--test", &name]);
    }
    progress::run("suites", suites.args(["--no-run", "--quiet"]))
}

fn run_step(step: Step, strict: bool) -> (Tally, Result<(), Failure>) {
    let Step {
        name,
        mut command,
        is_test,
    } = step;
    command
        .env("PATH", setup::path_with_tools())
        .env("INSTA_UPDATE", "no")
        .env("RAVELIN_STRICT", if strict { "1" } else { "0" });
    if !is_test {
        let result = progress::run(&name, &mut command);
        return (
            Tally {
                failed: u64::from(result.is_err()),
                ..Tally::default()
            },
            result,
        );
    }
    match run_tests(&mut command) {
        Err(failure) => (
            Tally {
                failed: 1,
                ..Tally::default()
            },
            Err(failure),
        ),
        Ok((mut tally, true)) => {
            let empty = tally == Tally::default();
            tally.failed += u64::from(empty);
            (
                tally,
                if empty {
                    Err(Failure::no(format!("{name}: no test ran: `{}`", shown(&command))))
                } else {
                    Ok(())
                },
            )
        }
        Ok((mut tally, false)) => {
            // A program that does not compile or that dies reports no failure of its own.
            tally.failed = tally.failed.max(1);
            (
                tally,
                Err(Failure::no(format!(
                    "{name} failed; again with: `{}`",
                    shown(&command)
                ))),
            )
        }
    }
}

/// Runs a test command, shows its output as it comes, and adds up its result lines.
fn run_tests(command: &mut Command) -> Result<(Tally, bool), Failure> {
    println!("    $ {}", shown(command));
    let cannot = |error: std::io::Error| Failure::cannot(format!("cannot run a test: {error}"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(cannot)?;
            let line = String::from_utf8_lossy(&line);
            if let Some(result) = Tally::of_line(&line) {
                tally += result;
            }
            println!("{line}");
            let _ = std::io::stdout().flush();
        }
    }
    Ok((tally, child.wait().map_err(cannot)?.success()))
}

fn summary(request: &Request, rows: &[Row], took: Duration) {
    heading("summary");
    let mut total = Tally::default();
    for Row {
        ring,
        step,
        tally,
        took,
    } in rows
    {
        total += *tally;
        let figures = match *tally {
            Tally {
                passed: 0, failed: 0, ..
            } => "ok".to_owned(),
            Tally {
                passed,
                failed,
                ignored: 0,
            } => format!("{passed} passed, {failed} failed"),
            Tally {
                passed,
                failed,
                ignored,
            } => format!("{passed} passed, {failed} failed, {ignored} ignored"),
        };
        println!("    {:<8} {step:<24} {figures:<32} {}", ring.name(), human(*took));
    }
    for ring in request
        .rings
        .iter()
        .filter(|ring| rows.iter().all(|row| row.ring != **ring))
    {
        println!("    {:<8} not run", ring.name());
    }
    if rows.is_empty() {
        // Stopped before the first step: the build itself failed.
        total.failed = 1;
    }
    if !request.strict {
        println!("    lenient: what a test skipped is named in its output above");
    }
    println!("    {} in all\n", human(took));
    println!("{} passed, {} failed", total.passed, total.failed);
}

fn unknown_ring(name: &str) -> Failure {
    let known: Vec<&str> = Ring::ALL.into_iter().map(Ring::name).collect();
    Failure::cannot(format!(
        "unknown ring `{name}`\nhelp: {} are known",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Request, Failure> {
        Request::parse(
            &arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn without_arguments_every_ring_runs_strictly() {
        let request = parse(&[]).unwrap();
        assert_eq!(request.rings, Ring::ALL);
        assert!(request.strict);
    }

    #[test]
    fn rings_can_be_chosen_one_by_one() {
        let request = parse(&["--only", "laws", "--lenient", "--only", "unit"]).unwrap();
        assert_eq!(request.rings, [Ring::Laws, Ring::Unit]);
        assert!(!request.strict);
    }

    #[test]
    fn an_unknown_ring_is_refused_with_the_known_ones() {
        let failure = parse(&["--only", "moon"]).err().unwrap().to_string();
        assert!(
            failure.contains("`moon`") && failure.contains("kernel"),
            "{failure}"
        );
        assert!(parse(&["--fast"]).is_err());
    }
}
