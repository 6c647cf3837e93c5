//! What the machine is that figures come from: processor, caches, memory, kernel, compiler, and the guards against
//! speculation that a packet pays for.
//!
//! `/proc`, `/sys` → **`describe`** → `machine.json`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

/// Everything that figures depend on, as far as the machine tells.
pub(crate) fn describe() -> Value {
    json!({
        "processor": processor(),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "caches": caches(),
        "memory_mib": memory(),
        "kernel": text("/proc/sys/kernel/osrelease"),
        "jit": text("/proc/sys/net/core/bpf_jit_enable"),
        "jit_hardening": text("/proc/sys/net/core/bpf_jit_harden"),
        "mitigations": mitigations(),
        "rustc": rustc(),
    })
}

/// Vendor, family and model too: a hypervisor may hide the name.
fn processor() -> Value {
    let info = text("/proc/cpuinfo");
    let field = |name: &str| {
        let line = info
            .lines()
            .find(|line| line.split(':').next().unwrap_or("").trim() == name);
        let value = line.and_then(|line| line.split_once(':'));
        value.map(|(_, value)| value.trim().to_owned())
    };
    json!({
        "name": field("model name"), "vendor": field("vendor_id"), "family": field("cpu family"),
        "model": field("model"), "stepping": field("stepping"), "mhz": field("cpu MHz"),
        "hypervisor": info.contains(" hypervisor"),
    })
}

fn caches() -> Vec<Value> {
    let folder = Path::new("/sys/devices/system/cpu/cpu0/cache");
    (0..8)
        .map(|index| folder.join(format!("index{index}")))
        .filter(|cache| cache.exists())
        .map(|cache| {
            let field = |name: &str| text(cache.join(name));
            json!({ "level": field("level"), "type": field("type"), "size": field("size"), "shared_by": field("shared_cpu_list") })
        })
        .collect()
}

fn memory() -> Option<u64> {
    let info = text("/proc/meminfo");
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib >> 10)
}

/// Those that are not "Not affected".
fn mitigations() -> Map<String, Value> {
    let folder = fs::read_dir("/sys/devices/system/cpu/vulnerabilities");
    let files = folder.into_iter().flatten().flatten();
    let mut lines: Vec<(String, String)> = files
        .map(|file| (file.file_name().display().to_string(), text(file.path())))
        .filter(|(_, line)| line != "Not affected")
        .collect();
    lines.sort();
    lines
        .into_iter()
        .map(|(name, line)| (name, Value::String(line)))
        .collect()
}

fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Empty when there is no such file.
fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
