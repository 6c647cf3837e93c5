//! `ravelin explain`: what happens to a packet, and which rule says so.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use ravelin_datapath::Verdict;
use ravelin_rules::Direction;
use ravelin_rules::explain::{
    Question, Way, explain, explain_frame, parse_frame, parse_icmp, parse_protocol, parse_tcp_flags,
};
use thiserror::Error;

use super::live::Asked;
use super::output::print;
use super::subject::{load, refused};
use super::{Failure, Format, Outcome, host};
use crate::settings;

/// Explain a packet: verdict, deciding rule, and why every rule before it did not match
///
/// Exit code 0: allowed, 1: denied, 2: there is no answer, or `--live` found the attached program to do something else.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Source address
    #[arg(long, value_name = "ADDRESS", required_unless_present = "frame")]
    source: Option<IpAddr>,
    /// Destination address
    #[arg(long, value_name = "ADDRESS", required_unless_present = "frame")]
    destination: Option<IpAddr>,
    /// Protocol: tcp, udp, icmp, icmpv6, sctp, gre, esp, ah, or a number
    #[arg(long, value_name = "PROTOCOL", required_unless_present = "frame")]
    protocol: Option<String>,
    /// Destination port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Source port; 40000 when not given
    #[arg(long, value_name = "PORT")]
    source_port: Option<u16>,
    /// ICMP message: a type, a type/code, or a name; an echo request when not given
    #[arg(long, value_name = "TYPE[/CODE]")]
    icmp: Option<String>,
    /// TCP flags that are set, like `syn,ack`, or `none`; syn when not given
    #[arg(long, value_name = "FLAGS")]
    tcp_flags: Option<String>,
    /// The bytes of an Ethernet frame in hexadecimal digits, in place of the words above; blanks and colons are passed over
    #[arg(long, value_name = "HEX", conflicts_with_all = ["source", "destination", "protocol", "port", "source_port", "icmp", "tcp_flags"])]
    frame: Option<String>,
    /// Direction: inbound (to the host) or outbound (from the host)
    #[arg(long, value_name = "DIRECTION", default_value = "inbound")]
    direction: String,
    /// The interface that the packet comes in on or goes out on; the first of `[firewall] interfaces` when not given
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// An address of the host, or INTERFACE=ADDRESS; may be given several times. When not given: those this machine holds on
    /// the policy's interfaces
    #[arg(long = "host-address", value_name = "[INTERFACE=]ADDRESS")]
    host_addresses: Vec<String>,
    /// The moment, like 2026-12-31T00:00:00Z; now when not given
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
    /// Also run the packet through the program that is attached, and say whether it does the same. Needs root; the run counts as a
    /// packet
    #[arg(long, conflicts_with = "at")]
    live: bool,
    /// Where the filter's links are pinned, for `--live`
    #[arg(long, value_name = "DIR", default_value = settings::PIN_DIR)]
    pin_dir: PathBuf,
    /// How the explanation is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Error)]
enum ExplainError {
    #[error("`{word}` is not a direction; write `inbound` or `outbound`")]
    Direction { word: String },
    #[error(
        "`--frame` is not a frame ({digits} characters); write pairs of hexadecimal digits, at most 65597"
    )]
    Frame { digits: usize },
    #[error("no packet is given; give `--source`, `--destination` and `--protocol`, or `--frame`")]
    Nothing,
    #[error("`{text}` is not {what}; write {example}")]
    Word {
        text: String,
        what: &'static str,
        example: &'static str,
    },
}

impl Explain {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let direction = self.direction()?;
        let frame = self.frame()?;
        let question = frame.is_none().then(|| self.question()).transpose()?;
        let loaded = load(&self.file)?;
        let now = self.at.as_deref().map(host::moment).transpose()?;
        let host = host::assumed(&loaded.policy, &self.host_addresses, now)?;
        let origin = host::origin(&loaded.policy, &host, self.interface.as_deref())?;
        let way = Way { direction, origin };
        let image = loaded
            .compile(&host, direction)
            .map_err(|report| refused(&self.file, &report))?;
        let trace = match (&frame, &question) {
            (Some(frame), _) => explain_frame(&loaded.policy, &host, &image, way, frame),
            (None, Some(question)) => explain(&loaded.policy, &host, &image, way, question)?,
            (None, None) => return Err(ExplainError::Nothing.into()),
        };
        let live = if self.live {
            let frame = match (&frame, &question) {
                (Some(frame), _) => frame.clone(),
                (None, Some(question)) => question.frame()?,
                (None, None) => return Err(ExplainError::Nothing.into()),
            };
            Some(Asked::ask(
                &self.pin_dir,
                self.interface.as_deref(),
                direction,
                &frame,
                &trace,
            )?)
        } else {
            None
        };
        match (self.format, &live) {
            (Format::Json, None) => print(&trace.to_json()),
            (Format::Json, Some(live)) => print(&live.to_json(&trace)),
            (Format::Text, _) => print(&trace.to_string()),
        }
        if let (Format::Text, Some(live)) = (self.format, &live) {
            print(&live.to_string());
        }
        if live.is_some_and(|live| !live.agrees()) {
            return Err(
                "the attached program does not do what this policy says; `ravelin reload` applies the policy"
                    .into(),
            );
        }
        if !trace.is_consistent() {
            return Err("the tables and the oracle disagree: this is a bug in Ravelin, please report".into());
        }
        Ok(match trace.verdict() {
            Verdict::Allow => Outcome::Done,
            Verdict::Deny => Outcome::No,
        })
    }

    fn direction(&self) -> Result<Direction, ExplainError> {
        let mut directions = Direction::ALL.into_iter();
        let direction = directions.find(|direction| direction.word() == self.direction);
        direction.ok_or_else(|| ExplainError::Direction {
            word: self.direction.clone(),
        })
    }

    /// The bytes, when the packet is given as such.
    fn frame(&self) -> Result<Option<Vec<u8>>, ExplainError> {
        let frame = self.frame.as_deref().map(|text| {
            parse_frame(text).ok_or_else(|| ExplainError::Frame {
                digits: text.chars().count(),
            })
        });
        frame.transpose()
    }

    fn question(&self) -> Result<Question, ExplainError> {
        let (Some(source), Some(destination), Some(protocol)) =
            (self.source, self.destination, self.protocol.as_deref())
        else {
            return Err(ExplainError::Nothing);
        };
        let word = |text: &str, what, example| ExplainError::Word {
            text: text.to_owned(),
            what,
            example,
        };
        let protocol = parse_protocol(protocol)
            .ok_or_else(|| word(protocol, "a protocol", "`tcp`, `udp` or a number"))?;
        let icmp = self.icmp.as_deref().map(|text| {
            parse_icmp(text, source.is_ipv4())
                .ok_or_else(|| word(text, "an ICMP message", "a type like `8`, or `3/4`"))
        });
        let tcp_flags = self.tcp_flags.as_deref().map(|text| {
            parse_tcp_flags(text).ok_or_else(|| word(text, "a list of TCP flags", "`syn,ack` or `none`"))
        });
        Ok(Question {
            source,
            destination,
            protocol,
            port: self.port,
            source_port: self.source_port,
            icmp: icmp.transpose()?,
            tcp_flags: tcp_flags.transpose()?,
        })
    }
}
