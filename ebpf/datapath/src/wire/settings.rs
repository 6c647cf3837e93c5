//! The constants of one generation. They sit in the program's frozen `.rodata`, so the kernel's verifier knows their
//! values and deletes the code of every dimension and feature that the policy does not use.

use crate::{ClassVerdict, Direction, ParseClass, Verdict};

/// The address family of a packet; each has tables of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Plane {
    /// IPv4.
    V4 = 0,
    /// IPv6.
    V6 = 1,
}

impl Plane {
    /// Both families.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

macro_rules! settings {
    ($($(#[$doc:meta])* $variant:ident,)*) => {
        /// The name of one word of [`Settings`].
        ///
        /// Words named `…4` belong to the IPv4 tables, the word after each, `…6`, to the IPv6 tables.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Setting {
            $($(#[$doc])* $variant,)*
        }

        impl Setting {
            /// Every setting, in the order of its word.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }
    };
}

settings! {
    /// [`super::ABI`].
    Abi,
    /// The generation's number, counted up by the daemon.
    Generation,
    /// Words of the tables, a multiple of [`super::TABLE_ALIGNMENT`].
    Length,
    /// 1: verdicts are carried out; 0: observe.
    Enforce,
    /// 1: the packets of these tables go out; 0: they come in.
    Outbound,
    /// 1: essentials pass before the rules.
    Essentials,
    /// The [`Verdict`] when nothing matched.
    Default,
    /// Two bits for each [`ParseClass`]: the first 16 classes.
    ClassesLow,
    /// Two bits for each [`ParseClass`]: the classes from 16.
    ClassesHigh,
    /// First word of the rule table: one [`super::RuleEntry`] a rule.
    Rules,
    /// How source and destination classes and the service combine; see [`crate::classify`].
    Combine4,
    /// The same for IPv6.
    Combine6,
    /// Bits of the source address that index the root of its trie; 0: every source is of class 0 and nothing is read.
    SourceRootBits4,
    /// The same for IPv6.
    SourceRootBits6,
    /// First word of the source trie's root; of a range trie its first double.
    SourceRoot4,
    /// The same for IPv6.
    SourceRoot6,
    /// Levels of pages, or steps of a range trie, below the root, at most.
    SourceLevels4,
    /// The same for IPv6.
    SourceLevels6,
    /// Bits of the source address that each page consumes, in a multibit trie; 0: a range trie.
    SourceStride4,
    /// The same for IPv6.
    SourceStride6,
    /// Range trie: lanes of a cell, see [`super::Lanes`].
    SourceLanes4,
    /// The same for IPv6.
    SourceLanes6,
    /// Range trie: bits of a lane.
    SourceLaneBits4,
    /// The same for IPv6.
    SourceLaneBits6,
    /// Range trie: a one at the low end of each lane; the low half of the 64 bits.
    SourceOnesLow4,
    /// The same for IPv6.
    SourceOnesLow6,
    /// Range trie: the high half.
    SourceOnesHigh4,
    /// The same for IPv6.
    SourceOnesHigh6,
    /// Range trie: first word of the lists of classes.
    SourceLists4,
    /// The same for IPv6.
    SourceLists6,
    /// Bits of the source address that index a bitmap in front of its trie; 0: there is none.
    SourceBitmapBits4,
    /// The same for IPv6.
    SourceBitmapBits6,
    /// First double of the bitmap: where a bit is clear, all addresses are of one class.
    SourceBitmap4,
    /// The same for IPv6.
    SourceBitmap6,
    /// The word that holds that class.
    SourceBitmapClass4,
    /// The same for IPv6.
    SourceBitmapClass6,
    /// As for the source.
    DestinationRootBits4,
    /// The same for IPv6.
    DestinationRootBits6,
    /// As for the source.
    DestinationRoot4,
    /// The same for IPv6.
    DestinationRoot6,
    /// As for the source.
    DestinationLevels4,
    /// The same for IPv6.
    DestinationLevels6,
    /// As for the source.
    DestinationStride4,
    /// The same for IPv6.
    DestinationStride6,
    /// As for the source.
    DestinationLanes4,
    /// The same for IPv6.
    DestinationLanes6,
    /// As for the source.
    DestinationLaneBits4,
    /// The same for IPv6.
    DestinationLaneBits6,
    /// As for the source.
    DestinationOnesLow4,
    /// The same for IPv6.
    DestinationOnesLow6,
    /// As for the source.
    DestinationOnesHigh4,
    /// The same for IPv6.
    DestinationOnesHigh6,
    /// As for the source.
    DestinationLists4,
    /// The same for IPv6.
    DestinationLists6,
    /// As for the source.
    DestinationBitmapBits4,
    /// The same for IPv6.
    DestinationBitmapBits6,
    /// As for the source.
    DestinationBitmap4,
    /// The same for IPv6.
    DestinationBitmap6,
    /// As for the source.
    DestinationBitmapClass4,
    /// The same for IPv6.
    DestinationBitmapClass6,
    /// Cross product: which two dimensions are paired; see [`crate::classify::Pairing`].
    Pairing4,
    /// The same for IPv6.
    Pairing6,
    /// Cross product: first word of the table of pairs: the number of each pair's row, 16 bits, two a word.
    Pairs4,
    /// The same for IPv6.
    Pairs6,
    /// Cross product: classes of the pair's second dimension, the width of that table.
    PairsWidth4,
    /// The same for IPv6.
    PairsWidth6,
    /// Cross product: cells of a tile as a power of two; 0: rows are not cut into tiles.
    TileBits4,
    /// The same for IPv6.
    TileBits6,
    /// Cross product in tiles: first word of the rows: the numbers of their tiles.
    Tiles4,
    /// The same for IPv6.
    Tiles6,
    /// Cross product: tiles of a row, or its cells where it is not cut.
    RowWidth4,
    /// The same for IPv6.
    RowWidth6,
    /// Cross product: first word of the cells: what is found, 16 bits, two a word.
    Cells4,
    /// The same for IPv6.
    Cells6,
    /// Bit vectors: first word of the source vectors.
    Sources4,
    /// The same for IPv6.
    Sources6,
    /// Bit vectors: first word of the destination vectors.
    Destinations4,
    /// The same for IPv6.
    Destinations6,
    /// Bit vectors: first word of the service vectors.
    Services4,
    /// The same for IPv6.
    Services6,
    /// Bit vectors: 64-bit words of rules in each vector.
    Width4,
    /// The same for IPv6.
    Width6,
    /// Bit vectors: first word of the table row → rule.
    Rows4,
    /// The same for IPv6.
    Rows6,
    /// 1: rules ask about the protocol, ports, ICMP types or flags; 0: every service is of class 0.
    ServiceUsed,
    /// First word of the table protocol → class.
    Protocols,
    /// First word of the directory of 256 pages: high byte of destination port or ICMP type → page.
    KeyPages,
    /// First word of the table protocol class × key class → head class.
    Heads,
    /// Key classes, the width of that table; the class of "no key" is 0.
    HeadsWidth,
    /// 1: rules ask about source ports or TCP flags; 0: the head class is the service class.
    TailUsed,
    /// First word of the directory of 256 pages: high byte of the source port → page.
    SourcePortPages,
    /// First word of the table TCP flags → class; the class of "no flags" is 0.
    Flags,
    /// First word of the table source port class × flags class → tail class.
    Tails,
    /// Flags classes, the width of that table.
    TailsWidth,
    /// First word of the table head class × tail class → service class.
    ServiceTable,
    /// Tail classes, the width of that table.
    ServiceTableWidth,
    /// 1: rules or zones ask for the interface.
    InterfacesUsed,
    /// First double of the interface table, see [`super::interface_cell`]: the low half of a double is the kernel's number
    /// of an interface, the high half a [`super::InterfaceEntry`].
    Interfaces,
    /// Bits that index the interface table.
    InterfacesBits,
    /// What numbers are multiplied with to index it.
    InterfacesFactor,
    /// 1: some sources are spoofed on some interfaces.
    ZonesUsed,
    /// First word of the table source class → interface zones where the class is spoofed, one bit each.
    Zones4,
    /// The same for IPv6.
    Zones6,
    /// Moments at which the answer changes, at most [`super::MAX_MOMENTS`]; 0: nothing asks for the time.
    Moments,
    /// First double of the table of moments, in nanoseconds since boot, ascending.
    MomentTable,
    /// 1: interface and time are one more factor of the service.
    ContextUsed,
    /// First word of the table interface class × epoch → context.
    Contexts,
    /// Epochs, the width of that table.
    ContextsWidth,
    /// First word of the table service class × context → service class.
    ServiceContexts,
    /// Contexts, the width of that table.
    ServiceContextsWidth,
    /// 1: some rule observes: what combining finds is a pair, see [`crate::classify::Found`].
    ObserveUsed,
    /// Cross product: first double of the table of outcomes: the deciding match in the low half, the observing one in the high half. Bit vectors: first double of the vector of rows that do not observe.
    Outcomes4,
    /// The same for IPv6.
    Outcomes6,
    /// 1: bit vectors know rows that go on with the next scope.
    NextUsed,
    /// Bit vectors: first word of the table row → the row to go on from; 0: the row decides.
    Resumes4,
    /// The same for IPv6.
    Resumes6,
    /// 1: flows are kept, of packets of either direction.
    FlowsUsed,
    /// The word that changes whenever what the tables say does: flows that were let in before are judged again.
    FlowEpoch,
    /// 1: the clock of flows is what a map says, not the kernel's: tests have hours pass.
    FlowClockTold,
    /// 1: the flow of a packet that the default allows is kept.
    DefaultStateful,
    /// How long an established TCP flow may be idle, in milliseconds.
    FlowTcp,
    /// The same for a TCP flow that is opening or closing.
    FlowTcpShort,
    /// The same for a flow of UDP, or of a protocol without a rule of its own here, of which one end has spoken.
    FlowUdp,
    /// The same when both ends have.
    FlowUdpBoth,
    /// The same for an ICMP echo.
    FlowIcmp,
    /// 1: bans are carried out.
    Bans,
    /// 1: rules have limits.
    LimitsUsed,
    /// First double of the table of limits: one [`super::LimitRecord`] a limit.
    Limits,
    /// 1: SYNs of sources that are not known have a budget.
    SynBudgetUsed,
    /// First double of its [`super::LimitRecord`].
    SynBudget,
    /// 1: sources whose connections were completed are remembered, and asked for.
    SourcesUsed,
    /// 1: inbound ICMP errors are matched by the packet that they quote.
    ErrorsMatched,
    /// 1: SYNs over that budget are answered with cookies, to some addresses and ports.
    SynProxyUsed,
    /// First double of the table of those: see [`super::proxied_entry`].
    Proxied,
    /// Cells of that table as a power of two; [`super::PROBES`] more stand behind them.
    ProxiedBits,
}

/// The settings of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings(pub [u32; Self::COUNT]);

impl Settings {
    /// How many words there are.
    pub const COUNT: usize = Setting::ALL.len();

    /// The name of the global in the eBPF object that holds the settings of one direction.
    #[must_use]
    pub const fn global(direction: Direction) -> &'static str {
        match direction {
            Direction::Inbound => "SETTINGS",
            Direction::Outbound => "OUTBOUND_SETTINGS",
        }
    }

    /// The word of `setting`.
    #[must_use]
    pub fn of(&self, setting: Setting) -> u32 {
        self.0.get(setting as usize).copied().unwrap_or(0)
    }

    /// Replaces the word of `setting`.
    pub fn set(&mut self, setting: Setting, word: u32) {
        if let Some(slot) = self.0.get_mut(setting as usize) {
            *slot = word;
        }
    }

    /// Declares the verdict of a parse class.
    pub fn set_class(&mut self, class: ParseClass, verdict: ClassVerdict) {
        let (setting, shift) = class_bits(class);
        self.set(
            setting,
            self.of(setting) & !(3 << shift) | (verdict as u32) << shift,
        );
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self([0; Self::COUNT])
    }
}

/// Where the two bits of a class sit.
#[inline(always)]
pub(crate) const fn class_bits(class: ParseClass) -> (Setting, u32) {
    let number = class as u32;
    if number < 16 {
        (Setting::ClassesLow, number * 2)
    } else {
        (Setting::ClassesHigh, (number - 16) * 2)
    }
}

/// Reads a verdict word.
#[inline(always)]
pub(crate) const fn verdict(word: u32) -> Verdict {
    if word == Verdict::Allow as u32 {
        Verdict::Allow
    } else {
        Verdict::Deny
    }
}

const _: () = assert!(ParseClass::ALL.len() <= 32);
