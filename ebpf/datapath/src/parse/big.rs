//! BIG TCP: packets of the host's own that are longer than a length field can say, on their way to whoever cuts them into
//! segments. `docs/semantics.md`, section 1.

use crate::judge::{Judge, Witness};
use crate::wire::Setting;
use crate::{Frame, Tables};

/// What a length field before the bytes from `start` says: 0 is those bytes, outbound, when they are more than it can say. From the
/// wire no such packet comes whole, and a forged one is what its field says.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "it was a `usize`")]
pub(super) fn length<T: Tables, W: Witness>(
    judge: &Judge<'_, T, W>,
    frame: &impl Frame,
    start: usize,
    field: u16,
) -> usize {
    let field = usize::from(field);
    // The direction first: the field's value is no fork for the verifier where it does not matter.
    if judge.tables.setting(Setting::Outbound) == 0 {
        return field;
    }
    let long = field == 0 && frame.holds(start + FIELD_MAX + 1);
    let length = if long { frame.length() - start } else { field };
    frame.forget(length as u64) as usize
}

const FIELD_MAX: usize = 0xffff;
