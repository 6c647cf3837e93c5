//! What the commands say of themselves.

use crate::failure::Failure;
use crate::rings;

/// `cargo xtask --help`.
pub(crate) const OVERVIEW: &str = "\
The development commands of Ravelin.

usage: cargo xtask COMMAND [OPTIONS]

  demo         see Ravelin do its whole job on real packets, in network namespaces it makes itself
  test         run every test there is, as CI does

Both first do the set-up that a fresh Debian machine needs, and say what they install before they
install it. A second run finds everything in place and starts within seconds.

  setup        only that set-up
  lint         formatting, clippy, rustdoc, the architecture test
  build-ebpf   build the kernel program alone and say where it is
  bench        run the benchmarks
  fuzz         throw damaged input at what reads bytes from outside
  gen-docs     write the generated pages of docs/

`cargo xtask COMMAND --help` tells more. Exit codes: 0 done, 1 the answer is \"no\" (a test failed),
2 could not run (the text says what is missing).";

const SETUP: &str = "\
usage: cargo xtask setup

Brings this machine to where `demo` and `test` work:

  - Debian packages, each listed with its reason before apt-get is called (root only)
  - a compiler for the eBPF target, the first of: $RAVELIN_EBPF_CARGO, a rustup nightly with
    rust-src, Debian's rustc-web, cargo-web and rust-web-src
  - bpf-linker, built for the LLVM of that compiler, and promtool: both into target/tools
  - the BPF file system, mounted at /sys/fs/bpf

Apart from the packages and that mount, nothing is written outside target/. What is there already is
left alone, so a second run takes no time. A machine that cannot be set up gets the list of what is
missing and how to get it, and exit code 2.";

const DEMO: &str = "\
usage: cargo xtask demo [OPTIONS FOR THE DEMO]

Sets the machine up (see `cargo xtask setup --help`), builds, and runs the demo as root: five hosts in
network namespaces, one TOML policy, packets allowed and denied over IPv4 and IPv6, a TLS request
through the edge, a reload that loses no packet, a connection flood that is limited, and the metrics
that prove it. It ends with a table of what was expected and what happened, and exits 0 only if they
agree. It removes what it made, also after Ctrl-C. The machine's own interfaces are never touched.";

const LINT: &str = "\
usage: cargo xtask lint

The first ring of `cargo xtask test`: rustfmt, clippy and rustdoc without a warning, and the
architecture test. Needs no privileges.";

const BUILD_EBPF: &str = "\
usage: cargo xtask build-ebpf

Builds ebpf/xdp for the bpf target and prints the object's path and size. The daemon's build script
does the same by itself: this command is for looking at the object.";

const BENCH: &str = "\
usage: cargo xtask bench [NAME] [--keep FOLDER]

Runs the benchmarks of the `benches` package, or the one named. Wants a quiet machine and root. With
--keep, the folder gets NAME.txt, NAME.json, plots and machine.json; results that matter are kept in
benches/results, a folder a run.";

const FUZZ: &str = "\
usage: cargo xtask fuzz [--seconds N] [TARGET]...

Builds the targets of tests/fuzz with the counters that libFuzzer reads (the stable compiler will do),
and runs each, or those named, for 60 seconds or the seconds given. A panic, an overflow, a hang, or
more memory than the input's size allows ends the run with exit code 1; the input that did it is kept
in target/fuzz. So are inputs that reached something new: the next run starts from them.";

const GEN_DOCS: &str = "\
usage: cargo xtask gen-docs

Writes docs/policy-reference.md from the code that reads policies, and docs/pictures from small examples
of what it compiles. The unit ring fails while a page or a picture is stale.";

/// `cargo xtask COMMAND --help`.
pub(crate) fn of(command: &str) -> Result<String, Failure> {
    let text = match command {
        "setup" => SETUP,
        "demo" => DEMO,
        "test" => return Ok(test()),
        "lint" => LINT,
        "build-ebpf" => BUILD_EBPF,
        "bench" => BENCH,
        "fuzz" => FUZZ,
        "gen-docs" => GEN_DOCS,
        other => return Err(unknown(other)),
    };
    Ok(text.to_owned())
}

/// The complaint about a command that does not exist.
pub(crate) fn unknown(command: &str) -> Failure {
    Failure::cannot(format!(
        "unknown command `{command}`\nhelp: setup, demo, test, lint, build-ebpf, bench, fuzz and gen-docs are known; see `cargo xtask --help`"
    ))
}

fn test() -> String {
    let mut text = "\
usage: cargo xtask test [--only RING]... [--lenient]

Sets the machine up (see `cargo xtask setup --help`), builds everything, and runs the test rings in
this order, stopping after the first that fails:

"
    .to_owned();
    for ring in rings::Ring::ALL {
        text.push_str(&format!("  {:<8} {}\n", ring.name(), ring.about()));
    }
    text.push_str(
        "
Runs as root, in strict mode: a test that would have to be skipped fails instead. The last line is
`N passed, N failed`, summed over all test programs; a lint or a build that fails counts as one.

  --only RING   run this ring only; may be given several times
  --lenient     let tests skip what this machine cannot do, and run without root; each skip is named",
    );
    text
}
