//! How tables are looked up: the seam between the classifier and whoever holds them.

use crate::classify::{self, Classes, Walked};
use crate::wire::Setting;

/// The tables of one generation: settings, and one array of words that holds everything else.
pub trait Tables {
    /// A constant of the generation.
    fn setting(&self, setting: Setting) -> u32;

    /// The word at `index`, or `None` outside the tables.
    fn word(&self, index: u32) -> Option<u32>;

    /// The 64-bit word whose halves are the words `2 * index` and `2 * index + 1`, low half first.
    fn double(&self, index: u32) -> Option<u64>;

    /// The 64-bit words from the one at `first`.
    fn doubles<const N: usize>(&self, first: u32) -> Option<[u64; N]>;

    /// The `length` 64-bit words from the one at `first`, or `None` when they are not all inside the tables. For loops: the bound is
    /// checked once, and the verifier knows of each read in the loop that it is within.
    fn window(&self, first: u32, length: u32) -> Option<impl Window>;

    /// [`classify::walk`] over these tables. A seam, because the kernel's verifier follows a function that is its own once, and one
    /// that is part of another once for each state in which that can come to it.
    #[inline(always)]
    fn walk<const PLANE: u8>(&self, classes: Classes) -> Walked
    where
        Self: Sized,
    {
        classify::walk::<PLANE>(self, classes)
    }
}

/// Some 64-bit words of the tables, one behind the other.
pub trait Window {
    /// The word at `index` of the window, or `None` outside it.
    fn double(&self, index: u32) -> Option<u64>;
}

/// A window that looks into its tables.
#[derive(Clone, Copy, Debug)]
pub struct Onto<'t, T> {
    tables: &'t T,
    first: u32,
    length: u32,
}

impl<'t, T: Tables> Onto<'t, T> {
    /// The window of tables that have no shorter way to one.
    #[must_use]
    pub fn new(tables: &'t T, first: u32, length: u32) -> Option<Self> {
        tables.double(first.checked_add(length)?.checked_sub(1)?)?;
        Some(Self {
            tables,
            first,
            length,
        })
    }
}

impl<T: Tables> Window for Onto<'_, T> {
    fn double(&self, index: u32) -> Option<u64> {
        if index >= self.length {
            return None;
        }
        self.tables.double(self.first.checked_add(index)?)
    }
}
