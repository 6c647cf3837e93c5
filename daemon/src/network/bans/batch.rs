//! Reads a hash map of the kernel in steps: `BPF_MAP_LOOKUP_BATCH` (Linux 5.6), which aya does not have.
//!
//! A step is whole buckets, and where it ended is a bucket's number. So a walk that stops and goes on meets every entry that was there
//! all the time exactly once, whatever comes and goes meanwhile: no key has to be found again, as `BPF_MAP_GET_NEXT_KEY` would.

#![expect(unsafe_code, reason = "a system call that writes into our buffers")]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::MapData;
use nix::errno::Errno;
use nix::libc;
use ravelin_datapath::wire::{BanKey, BanValue};

/// One step of a walk.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// What was found.
    pub(super) entries: Vec<(BanKey, BanValue)>,
    /// Where to go on; `None` at the end.
    pub(super) next: Option<u32>,
}

/// The entries of the buckets from the one at `from`, at most `most` of them. A bucket of more entries than `most` is an error: with as
/// many buckets as entries it does not happen.
pub(super) fn read(map: &MapData, from: Option<u32>, most: u32) -> io::Result<Step> {
    let size = usize::try_from(most).map_err(io::Error::other)?;
    let mut keys: Vec<BanKey> = vec![[0; 3]; size];
    let mut values: Vec<BanValue> = vec![[0; 3]; size];
    let mut next = 0_u32;
    let mut attributes = Attributes {
        // A null pointer begins at the first bucket.
        from: from
            .as_ref()
            .map_or(0, |from| std::ptr::from_ref(from).addr() as u64),
        next: (&raw mut next).addr() as u64,
        keys: keys.as_mut_ptr().addr() as u64,
        values: values.as_mut_ptr().addr() as u64,
        count: most,
        map: map.fd().as_fd().as_raw_fd().cast_unsigned(),
        entry_flags: 0,
        flags: 0,
    };
    // SAFETY: the attributes are those of `struct bpf_attr` for this command (linux/bpf.h), with their size. The kernel reads one `u32`
    // at `from`, which lives until the end of this function, and writes at most one `u32` at `next`, `most` keys of the map's key size and
    // `most` values of its value size into buffers that are as large: `shared::verify` has compared both sizes with these types.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_LOOKUP_BATCH,
            &raw mut attributes,
            size_of::<Attributes>(),
        )
    };
    let ended = match Errno::result(done) {
        Ok(_) => false,
        // Behind the last bucket; what was in front of it has been written.
        Err(Errno::ENOENT) => true,
        Err(errno) => return Err(errno.into()),
    };
    let found = usize::try_from(attributes.count).map_err(io::Error::other)?;
    let entries = keys.into_iter().zip(values).take(found).collect();
    Ok(Step {
        entries,
        next: (!ended).then_some(next),
    })
}

/// `struct bpf_attr`, member `batch`.
#[repr(C)]
struct Attributes {
    from: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    entry_flags: u64,
    flags: u64,
}

/// linux/bpf.h, `enum bpf_cmd`.
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
