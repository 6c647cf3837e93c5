//! `ravelin completions`: for packages and shells.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::output::print;
use super::{Arguments, Failure, Outcome};

/// Print the completion script of a shell
#[derive(Args, Debug)]
#[command(hide = true)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "ravelin", &mut script);
        print(&String::from_utf8_lossy(&script));
        Ok(Outcome::Done)
    }
}
