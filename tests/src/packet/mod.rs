//! A layered packet builder: correct lengths and checksums by default, every field overridable.
//!
//! Builder calls or text → **`Packet`** → bytes. A packet prints as the text it can be parsed from, so that the packet of
//! a failed random case can be pasted into a fixture:
//!
//! ```
//! use ravelin_tests::packet::{Packet, ether};
//!
//! let packet = ether().vlan(5).ipv4().source("198.51.100.7").tcp(443).with("flags", 2);
//! assert_eq!(packet.to_string(), "ether / vlan id=5 / ipv4 source=198.51.100.7 / tcp port=443 flags=syn");
//! assert_eq!(Packet::parse(&packet.to_string()).unwrap().bytes(), packet.bytes());
//! ```

mod encode;
mod part;
mod text;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use text::{from_hex, hex};

/// A packet as a list of layers, outermost first, and edits of the finished bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    layers: Vec<Layer>,
}

/// An Ethernet header; everything starts here.
#[must_use]
pub fn ether() -> Packet {
    Packet::default().layer(Kind::Ether)
}

impl Packet {
    /// A packet of these bytes and nothing else.
    #[must_use]
    pub fn raw(bytes: &[u8]) -> Self {
        Self::default()
            .layer(Kind::Payload)
            .value("bytes", Value::Bytes(bytes.to_vec()))
    }

    /// Adds a layer of this kind with default fields.
    #[must_use]
    pub fn layer(mut self, kind: Kind) -> Self {
        self.layers.push(Layer {
            kind,
            fields: Vec::new(),
        });
        self
    }

    /// Sets a field of the last layer.
    ///
    /// # Panics
    /// When the layer has no such field.
    #[must_use]
    #[track_caller]
    pub fn with(self, field: &str, number: u64) -> Self {
        self.value(field, Value::Number(number))
    }

    /// Sets the source address of the last layer.
    #[must_use]
    #[track_caller]
    pub fn source(self, address: impl Address) -> Self {
        self.value("source", Value::Address(address.address()))
    }

    /// Sets the destination address of the last layer.
    #[must_use]
    #[track_caller]
    pub fn destination(self, address: impl Address) -> Self {
        self.value("destination", Value::Address(address.address()))
    }

    /// An 802.1Q tag.
    #[must_use]
    pub fn vlan(self, id: u16) -> Self {
        self.layer(Kind::Vlan).with("id", id.into())
    }

    /// An IPv4 header, 192.0.2.1 → 203.0.113.9.
    #[must_use]
    pub fn ipv4(self) -> Self {
        self.layer(Kind::Ipv4)
    }

    /// An IPv6 header, 2001:db8::1 → 2001:db8:1::9.
    #[must_use]
    pub fn ipv6(self) -> Self {
        self.layer(Kind::Ipv6)
    }

    /// An IPv6 fragment header; `offset` in units of 8 bytes.
    #[must_use]
    pub fn fragment(self, offset: u16, more: bool) -> Self {
        self.layer(Kind::Fragment)
            .with("offset", offset.into())
            .with("more", more.into())
    }

    /// A TCP header to this port.
    #[must_use]
    pub fn tcp(self, port: u16) -> Self {
        self.layer(Kind::Tcp).with("port", port.into())
    }

    /// A UDP header to this port.
    #[must_use]
    pub fn udp(self, port: u16) -> Self {
        self.layer(Kind::Udp).with("port", port.into())
    }

    /// An SCTP header to this port.
    #[must_use]
    pub fn sctp(self, port: u16) -> Self {
        self.layer(Kind::Sctp).with("port", port.into())
    }

    /// An ICMP message.
    #[must_use]
    pub fn icmp(self, kind: u8, code: u8) -> Self {
        self.layer(Kind::Icmp)
            .with("type", kind.into())
            .with("code", code.into())
    }

    /// An ICMPv6 message.
    #[must_use]
    pub fn icmpv6(self, kind: u8, code: u8) -> Self {
        self.layer(Kind::Icmpv6)
            .with("type", kind.into())
            .with("code", code.into())
    }

    /// That many bytes of payload.
    #[must_use]
    pub fn payload(self, length: usize) -> Self {
        self.layer(Kind::Payload).with("length", length as u64)
    }

    /// These bytes as payload.
    #[must_use]
    pub fn carrying(self, bytes: &[u8]) -> Self {
        self.layer(Kind::Payload)
            .value("bytes", Value::Bytes(bytes.to_vec()))
    }

    /// Edit: the frame ends after `length` bytes.
    #[must_use]
    pub fn cut(self, length: usize) -> Self {
        self.layer(Kind::Cut).with("to", length as u64)
    }

    /// Edit: zeros behind the frame until it has `length` bytes.
    #[must_use]
    pub fn pad(self, length: usize) -> Self {
        self.layer(Kind::Pad).with("to", length as u64)
    }

    /// Edit: the byte at `at` becomes `byte`. Nothing happens behind the end.
    #[must_use]
    pub fn set(self, at: usize, byte: u8) -> Self {
        self.layer(Kind::Set)
            .with("at", at as u64)
            .with("byte", byte.into())
    }

    /// The layers, outermost first, then the edits.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The frame.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        encode::frame(&self.layers)
    }

    /// Whether it is one part of a datagram of several.
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        part::is_one(&self.layers)
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        text::parse(text)
    }

    #[track_caller]
    fn value(mut self, field: &str, value: Value) -> Self {
        let layer = self
            .layers
            .last_mut()
            .expect("a packet has a layer before its fields are set");
        layer
            .set(field, value)
            .unwrap_or_else(|message| panic!("{message}"));
        self
    }
}

/// One header, a payload, or an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    kind: Kind,
    /// What was set, in the order it was set; everything else has its default.
    fields: Vec<(&'static str, Value)>,
}

impl Layer {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn set(&mut self, name: &str, value: Value) -> Result<(), String> {
        let known = self.kind.fields();
        let Some(name) = known.iter().find(|field| **field == name) else {
            return Err(format!(
                "`{}` has no field `{name}`, only `{}`",
                self.kind.word(),
                known.join("`, `")
            ));
        };
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name, value));
        Ok(())
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let mut fields = self.fields.iter();
        fields.find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    fn number(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The address in that field, when it was set.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<IpAddr> {
        match self.value(name)? {
            Value::Address(address) => Some(*address),
            _ => None,
        }
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number; what does not fit the field's width is cut off on the left.
    Number(u64),
    /// An address.
    Address(IpAddr),
    /// Bytes as they are.
    Bytes(Vec<u8>),
}

macro_rules! kinds {
    ($($variant:ident $word:literal [$($field:literal)*] $sentence:literal;)*) => {
        /// The kinds of layers, by the word of the text form.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $sentence] $variant,)*
        }

        impl Kind {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            fn fields(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($field,)*],)* }
            }
        }
    };
}

kinds! {
    Ether "ether" ["source-mac" "destination-mac" "type"] "Ethernet header";
    Vlan "vlan" ["id" "tpid" "type"] "802.1Q or 802.1ad tag";
    Ipv4 "ipv4" ["source" "destination" "version" "header-words" "tos" "length" "id" "flags" "offset" "ttl" "protocol" "checksum" "options" "option-bytes"] "IPv4 header; `flags` 1 is more-fragments, 2 don't-fragment; `options` bytes of no-operation, or `option-bytes`";
    Ipv6 "ipv6" ["source" "destination" "version" "class" "flow" "length" "next" "hop-limit"] "IPv6 header";
    HopByHop "hop-by-hop" ["next" "length" "kind" "size"] "IPv6 hop-by-hop options; `size` in bytes, `length` the field";
    Routing "routing" ["next" "length" "kind" "size"] "IPv6 routing header; `kind` is the routing type, default 4";
    Fragment "fragment" ["next" "offset" "more" "id" "reserved"] "IPv6 fragment header";
    DestinationOptions "destination-options" ["next" "length" "kind" "size"] "IPv6 destination options";
    Mobility "mobility" ["next" "length" "kind" "size"] "IPv6 mobility header";
    Hip "hip" ["next" "length" "kind" "size"] "Host identity protocol header";
    Shim6 "shim6" ["next" "length" "kind" "size"] "Shim6 header";
    Tcp "tcp" ["source-port" "port" "sequence" "acknowledgement" "data-offset" "flags" "window" "checksum" "urgent" "options" "option-bytes"] "TCP header; `options` bytes of no-operation, or `option-bytes`";
    Udp "udp" ["source-port" "port" "length" "checksum"] "UDP header";
    Sctp "sctp" ["source-port" "port" "tag" "checksum"] "SCTP common header";
    Icmp "icmp" ["type" "code" "checksum" "rest"] "ICMP header";
    Icmpv6 "icmpv6" ["type" "code" "checksum" "rest"] "ICMPv6 header";
    Payload "payload" ["length" "bytes"] "Bytes";
    Part "part" ["from" "to" "more" "id" "next"] "Edit: the fragment with these bytes behind the IP header, in IPv6 behind a fragment header with `id`";
    Cut "cut" ["to"] "Edit: the frame ends here";
    Pad "pad" ["to"] "Edit: zeros up to this length";
    Set "set" ["at" "byte"] "Edit: one byte of the frame";
}

/// What can be given as an address.
pub trait Address {
    /// The address.
    fn address(self) -> IpAddr;
}

impl Address for &str {
    #[track_caller]
    fn address(self) -> IpAddr {
        self.parse()
            .unwrap_or_else(|_| panic!("`{self}` is not an address"))
    }
}

impl Address for IpAddr {
    fn address(self) -> IpAddr {
        self
    }
}

impl Address for Ipv4Addr {
    fn address(self) -> IpAddr {
        self.into()
    }
}

impl Address for Ipv6Addr {
    fn address(self) -> IpAddr {
        self.into()
    }
}
