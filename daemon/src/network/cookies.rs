//! The one thing that SYN cookies ask of the host: `net.ipv4.tcp_syncookies`, of the network namespace that is filtered.
//!
//! With 1 the kernel makes cookies only while a socket's queue of SYNs is full, and what the packet path answers never comes to that queue. With 2
//! it always does. Decision 0022.

use std::fs;
use std::io;
use std::path::Path;

/// Sees to it that the kernel makes a cookie whenever it is asked for one. What it was before is written to the log, and stays as it is
/// when Ravelin goes: other policies and other programs may count on it by then.
///
/// # Errors
///
/// When it cannot be set, or does not stay as it was set.
pub fn always() -> Result<(), CookiesError> {
    let before = read()?;
    if before == ALWAYS {
        return Ok(());
    }
    fs::write(SETTING, ALWAYS).map_err(|source| CookiesError::Write { source })?;
    let now = read()?;
    if now != ALWAYS {
        return Err(CookiesError::NotKept { now });
    }
    tracing::info!(
        before,
        now,
        "net.ipv4.tcp_syncookies was set: a listener has `syn_proxy = \"auto\"`"
    );
    Ok(())
}

fn read() -> Result<String, CookiesError> {
    let text = fs::read_to_string(Path::new(SETTING)).map_err(|source| CookiesError::Read { source })?;
    Ok(text.trim().to_owned())
}

/// It covers IPv6 too.
const SETTING: &str = "/proc/sys/net/ipv4/tcp_syncookies";

const ALWAYS: &str = "2";

/// Why SYNs cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum CookiesError {
    /// It has another value than was written.
    #[error(
        "`syn_proxy = \"auto\"` needs `net.ipv4.tcp_syncookies = 2`, and it is `{now}` after it was set; find out who sets it, or take `syn_proxy` out"
    )]
    NotKept {
        /// What it is.
        now: String,
    },
    /// It cannot be read.
    #[error(
        "`syn_proxy = \"auto\"` needs a kernel with SYN cookies, and cannot read `net.ipv4.tcp_syncookies`"
    )]
    Read {
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error(
        "`syn_proxy = \"auto\"` needs `net.ipv4.tcp_syncookies = 2`, and cannot set it; set it yourself (`sysctl -w net.ipv4.tcp_syncookies=2`), or take `syn_proxy` out"
    )]
    Write {
        /// Why.
        source: io::Error,
    },
}
