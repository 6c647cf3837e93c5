//! Finds a toolchain for the eBPF target and builds the kernel programs with it.
