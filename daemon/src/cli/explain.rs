//! `ravelin explain`: what happens to a packet, and which rule says so.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Format, Outcome};

/// Explain a packet: verdict, deciding rule, and why every rule before it did not match
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Source address
    #[arg(long, value_name = "ADDRESS")]
    source: IpAddr,
    /// Destination address
    #[arg(long, value_name = "ADDRESS")]
    destination: IpAddr,
    /// Protocol: tcp, udp, icmp, icmpv6, sctp, gre, esp, ah, or a number
    #[arg(long, value_name = "PROTOCOL")]
    protocol: String,
    /// Destination port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Source port
    #[arg(long, value_name = "PORT")]
    source_port: Option<u16>,
    /// ICMP type, or type/code
    #[arg(long, value_name = "TYPE[/CODE]")]
    icmp: Option<String>,
    /// Direction: inbound; outbound is not supported yet
    #[arg(long, value_name = "DIRECTION", default_value = "inbound")]
    direction: String,
    /// How the explanation is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Explain {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Self {
            file: _,
            source: _,
            destination: _,
            protocol: _,
            port: _,
            source_port: _,
            icmp: _,
            direction: _,
            format: _,
        } = self;
        Err("`ravelin explain` is not supported yet".into())
    }
}
