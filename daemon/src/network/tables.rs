//! Writes a table image into a generation's page map, one 4 KiB page a system call.

use aya::maps::{Array, MapData, MapError};
use ravelin_datapath::wire::Page;

/// Writes every page. The map was sized to hold them.
pub(super) fn write(map: &mut Array<&mut MapData, Page>, pages: &[Page]) -> Result<(), MapError> {
    (0..)
        .zip(pages)
        .try_for_each(|(index, page)| map.set(index, page, 0))
}
