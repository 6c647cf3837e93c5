//! The test harness of Ravelin: packets, namespaces, the real kernel, the real daemon.
