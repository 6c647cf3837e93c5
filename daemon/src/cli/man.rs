//! `ravelin man`: manual pages, for packages and `man -l -`.

use clap::{Args, CommandFactory as _};
use clap_mangen::Man as Page;

use super::output::print;
use super::{Arguments, Failure, Outcome};

/// Print a manual page
#[derive(Args, Debug)]
#[command(hide = true)]
pub(super) struct Man {
    /// The command it is about; without: ravelin itself
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

impl Man {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let mut ravelin = Arguments::command();
        ravelin.build();
        let command = match &self.command {
            None => ravelin,
            Some(name) => {
                let command = ravelin.find_subcommand(name).cloned();
                command.ok_or_else(|| format!("there is no command `{name}`"))?
            }
        };
        let mut page = Vec::new();
        Page::new(command).render(&mut page)?;
        print(&String::from_utf8_lossy(&page));
        Ok(Outcome::Done)
    }
}
