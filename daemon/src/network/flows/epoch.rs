//! Epochs of tables: the number by which a flow knows what let it in.
//!
//! Flows outlive generations. Each generation has a range of epochs of its own; each change of its tables in place takes the next.

/// The epoch of a generation's tables before any change.
#[must_use]
pub const fn first_epoch(generation: u32) -> u32 {
    generation.wrapping_mul(EPOCHS)
}

/// Whether the next epoch would be that of the next generation: then the tables are made anew.
#[must_use]
pub const fn is_last_epoch(epoch: u32) -> bool {
    epoch % EPOCHS == EPOCHS - 1
}

/// Epochs of a generation. Generations come around after four million reloads; a flow that lives so long is judged by what let it in.
const EPOCHS: u32 = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_share_no_epoch() {
        for generation in [0, 1, 2, 4_194_303] {
            let mut epoch = first_epoch(generation);
            let mut changes = 0;
            while !is_last_epoch(epoch) {
                epoch += 1;
                changes += 1;
            }
            assert_eq!(changes, 1023);
            assert_eq!(epoch.wrapping_add(1), first_epoch(generation + 1));
        }
    }
}
