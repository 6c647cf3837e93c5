//! The command line: one definition, from which the parser, `--help`, man pages and completions all come.
//!
//! `main` → **`cli`** → the policy compiler, or the daemon, or the control socket of a running daemon. One file per
//! command. The only place that prints; exit codes are those of [`Outcome`] and [`Failure`].

mod ban;
mod ban_lines;
mod bans;
mod check;
mod compile;
mod completions;
mod detach;
mod diff;
mod edge;
mod explain;
mod filter;
mod flows;
mod halves;
mod host;
mod import;
mod limits;
mod listing;
mod live;
mod man;
mod output;
mod planned;
mod reload;
mod replay;
mod rules;
mod run;
mod schema;
mod status;
mod subject;
mod unban;
mod upgrade;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::settings::{self, Settings, edge_socket_beside};

/// Parses the process's arguments and runs the command they name.
///
/// Exit codes: 0 done, 1 the policy or the answer is "no", 2 could not run.
#[must_use]
pub fn run() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Ban(command) => command.run(),
        Command::Bans(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Compile(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Detach(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Edge(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Filter(command) => command.run(),
        Command::Flows(command) => command.run(),
        Command::Import(command) => command.run(),
        Command::Limits(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::Planned(command) => command.run(),
        Command::Reload(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Rules(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Unban(command) => command.run(),
        Command::Upgrade(command) => command.run(),
    };
    match done {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Err(failure) => {
            output::failure(failure.as_ref());
            ExitCode::from(2)
        }
    }
}

/// How a command that could run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It did what was asked, or the answer is "yes". Exit code 0.
    Done,
    /// The policy is refused, or the answer is "no". Exit code 1.
    No,
}

/// Why a command could not run. Printed once, cause after cause. Exit code 2.
type Failure = Box<dyn Error>;

/// Edge firewall: one TOML policy filters packets in XDP and guards TLS listeners.
#[derive(Debug, Parser)]
#[command(
    name = "ravelin",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Every command, in the order in which people meet them.
#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Check),
    Explain(explain::Explain),
    Diff(diff::Diff),
    Replay(replay::Replay),
    Compile(compile::Compile),
    Import(import::Import),
    Schema(schema::Schema),
    Run(run::Run),
    Filter(filter::Filter),
    Edge(edge::Edge),
    Reload(reload::Reload),
    Upgrade(upgrade::Upgrade),
    Status(status::Status),
    Rules(rules::Rules),
    Flows(flows::Flows),
    Limits(limits::Limits),
    Ban(ban::Ban),
    Unban(unban::Unban),
    Bans(bans::ListBans),
    Detach(detach::Detach),
    Completions(completions::Completions),
    Man(man::Man),
    #[command(flatten)]
    Planned(planned::Planned),
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON document.
    Json,
    /// For people.
    #[default]
    Text,
}

/// The options of every command that starts a daemon.
#[derive(Args, Clone, Debug)]
struct DaemonOptions {
    /// The policy
    #[arg(long, value_name = "FILE", default_value = settings::CONFIG)]
    config: PathBuf,
    #[command(flatten)]
    sockets: SocketOptions,
    /// Where links and maps are pinned; must be on a bpf file system
    #[arg(long, value_name = "DIR", default_value = settings::PIN_DIR)]
    pin_dir: PathBuf,
    /// Where the last good policy is kept for the next boot
    #[arg(long, value_name = "DIR", default_value = settings::STATE_DIR)]
    state_dir: PathBuf,
    /// What is logged: off, error, warn, info, debug, trace, or a filter such as `info,ravelin_daemon::control=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

impl From<DaemonOptions> for Settings {
    fn from(options: DaemonOptions) -> Self {
        Self {
            config: options.config,
            edge_socket: options.sockets.edge(),
            socket: options.sockets.socket,
            pin_dir: options.pin_dir,
            state_dir: options.state_dir,
            log_level: options.log_level,
        }
    }
}

/// Where running halves are reached.
#[derive(Args, Clone, Debug)]
struct SocketOptions {
    /// The filter's control socket
    #[arg(long, value_name = "PATH", default_value = settings::SOCKET)]
    socket: PathBuf,
    /// The edge's control socket [default: /run/ravelin-edge/edge.sock, or `edge.sock` beside --socket when that is given]
    #[arg(long, value_name = "PATH")]
    edge_socket: Option<PathBuf>,
}

impl SocketOptions {
    fn edge(&self) -> PathBuf {
        self.edge_socket
            .clone()
            .unwrap_or_else(|| edge_socket_beside(&self.socket))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn a_command_of_the_help_has_words_and_one_that_is_not_built_is_not_in_it() {
        for command in Arguments::command().get_subcommands() {
            let built = !matches!(command.get_name(), "events" | "top" | "apply");
            assert!(built || command.is_hide_set(), "{}", command.get_name());
            assert!(
                command.is_hide_set() || command.get_about().is_some(),
                "{}",
                command.get_name()
            );
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }
}
