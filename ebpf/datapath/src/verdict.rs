//! What was decided about a packet, and why.
//!
//! Facts → classify → **`Decision`** → XDP action, counters. Knows no packet bytes and no tables. A reason is a number in
//! the kernel and becomes text here, in one place: metrics label, sentence for people.

/// What happens to the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// The packet goes on to the host's network stack.
    Allow = 0,
    /// The packet is dropped.
    Deny = 1,
}

impl Verdict {
    /// The word used in policies, metrics and messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// The declared verdict of a parse class: decide at once, or go on to the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ClassVerdict {
    /// Let the packet pass without asking the rules.
    Allow = 0,
    /// Drop the packet without asking the rules.
    Deny = 1,
    /// Go on: the class is only counted.
    Judge = 2,
}

impl ClassVerdict {
    /// The word used in policies.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Judge => "judge",
        }
    }
}

macro_rules! labelled {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal, $label:literal, $sentence:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $(#[doc = $sentence] $variant = $number,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in policies and metrics.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

macro_rules! vocabulary {
    (
        classes { $($class:ident = $class_number:literal, $class_label:literal, $default:ident, $judgeable:literal, $class_sentence:literal;)* }
        others { $($other:ident = $other_number:literal, $other_label:literal, $other_sentence:literal;)* }
    ) => {
        labelled! {
            /// A shape of packet that has a declared verdict of its own. See `docs/semantics.md`, section 8.
            ParseClass { $($class = $class_number, $class_label, $class_sentence;)* }
        }

        labelled! {
            /// Why a verdict was reached: a parse class by its own number, or one of the others. The number is the index
            /// of its counters.
            Reason {
                $($class = $class_number, $class_label, $class_sentence;)*
                $($other = $other_number, $other_label, $other_sentence;)*
            }
        }

        impl ParseClass {
            /// The verdict when `[firewall.classes]` does not say otherwise.
            #[must_use]
            pub const fn default_verdict(self) -> ClassVerdict {
                match self { $(Self::$class => ClassVerdict::$default,)* }
            }

            /// Whether enough of the packet is known for rules to judge it.
            #[must_use]
            pub const fn judgeable(self) -> bool {
                match self { $(Self::$class => $judgeable,)* }
            }
        }

        impl From<ParseClass> for Reason {
            #[inline(always)]
            fn from(class: ParseClass) -> Self {
                match class { $(ParseClass::$class => Self::$class,)* }
            }
        }
    };
}

vocabulary! {
    classes {
        Truncated = 0, "truncated", Deny, false, "the frame ends before a header it announces";
        BadVersion = 1, "bad_version", Deny, false, "the IP version does not match the EtherType";
        BadHeaderLength = 2, "bad_header_length", Deny, false, "a header length field is impossible";
        IpOptions = 3, "ip_options", Judge, true, "an IPv4 header with options";
        FragmentFirst = 4, "fragment_first", Judge, true, "the first fragment of a datagram";
        FragmentLater = 5, "fragment_later", Judge, true, "a fragment other than the first";
        FragmentOrphan = 6, "fragment_orphan", Deny, true, "a later fragment whose first fragment is not known";
        FragmentTiny = 7, "fragment_tiny", Deny, true, "a fragment that cuts or overlaps the upper header (RFC 1858, 3128, 7112)";
        ExtHeaderChain = 8, "ext_header_chain", Deny, false, "more than 8 IPv6 extension headers, or a jumbogram";
        RoutingHeader0 = 9, "routing_header_0", Deny, true, "an IPv6 routing header of type 0 (RFC 5095)";
        UnknownNextHeader = 10, "unknown_next_header", Judge, true, "an IPv6 next header without a name";
        Vlan = 11, "vlan", Judge, true, "a frame with one VLAN tag";
        Qinq = 12, "qinq", Judge, true, "a frame with two VLAN tags";
        VlanDepth = 13, "vlan_depth", Deny, false, "a frame with more than two VLAN tags";
        NonIp = 14, "non_ip", Allow, false, "a frame that carries neither IPv4 nor IPv6";
        SpoofedSource = 15, "spoofed_source", Deny, true, "a source address that cannot come from the wire";
        Land = 16, "land", Deny, true, "source and destination address are the same";
    }
    others {
        Rule = 17, "rule", "a rule matched";
        Default = 18, "default", "no rule matched";
        Loopback = 19, "loopback", "essential: the loopback interface";
        Arp = 20, "arp", "essential: address resolution";
        IcmpError = 21, "icmp_error", "essential: ICMP errors, packet-too-big among them";
        Ndp = 22, "ndp", "essential: IPv6 neighbour discovery";
        Mld = 23, "mld", "essential: IPv6 multicast listener discovery";
        DhcpClient = 24, "dhcp_client", "essential: replies to this host's DHCP client";
        Dhcpv6Client = 25, "dhcpv6_client", "essential: replies to this host's DHCPv6 client";
        TableFault = 26, "table_fault", "a table lookup left its table: a bug in Ravelin, and the packet is dropped";
        Flow = 27, "flow", "it belongs to a flow that was let through";
        Ban = 28, "ban", "a live ban covers the source";
        Limit = 29, "limit", "the limit of the rule that allows it is used up";
        SynBudget = 30, "syn_budget", "the budget for SYNs of sources that are not known is used up";
        SynCookie = 31, "syn_cookie", "a SYN over that budget, which was answered with a cookie in the host's stead";
    }
}

/// A set of parse classes, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClassSet(pub u32);

impl ClassSet {
    /// This set with `class` added.
    #[must_use]
    #[inline(always)]
    pub const fn with(self, class: ParseClass) -> Self {
        Self(self.0 | 1 << class as u32)
    }

    /// Whether `class` is in the set.
    #[must_use]
    pub const fn contains(self, class: ParseClass) -> bool {
        self.0 & (1 << class as u32) != 0
    }

    /// The classes in the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = ParseClass> {
        ParseClass::ALL
            .iter()
            .copied()
            .filter(move |class| self.contains(*class))
    }
}

/// The judgement of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens to the packet.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The deciding rule: its index in the policy's order of judgement. `Some` when the reason is [`Reason::Rule`] or [`Reason::Limit`], and with
    /// [`Reason::SynBudget`] and [`Reason::SynCookie`] when a rule had allowed the packet.
    pub rule: Option<u32>,
    /// The first rule in observe mode that matched before the decision fell, by the same index.
    pub observed: Option<u32>,
    /// The parse classes seen up to the decision.
    pub seen: ClassSet,
}
