//! A feed that comes in broken does not open the door, and one that is right again is taken.

use std::fs;
use std::path::Path;

use ravelin_tests::requires;
use ravelin_tests::scene::Scene;

#[test]
fn a_feed_that_changes_too_much_is_kept_back_over_a_restart_until_it_is_allowed() {
    requires!(Root, Bpf, NetworkNamespaces);
    let folder = tempfile::tempdir().expect("a folder");
    let feed = folder.path().join("feed.txt");
    let whole: String = (1..=100).map(|host| format!("10.77.0.{host}\n")).collect();
    fs::write(&feed, &whole).expect("a feed");
    let scene = Scene::new("sets");
    let mut filter = scene.filter("sets", &policy(&feed, "30%"));
    let arrives = || scene.udp_arrives("10.77.0.1:0", "10.77.0.2:7000");
    assert!(!arrives(), "the feed lists the client");
    assert_eq!(filter.series("ravelin_set_kept_back{set=\"feed\"}"), 0.0);
    assert_eq!(filter.series("ravelin_set_entries{set=\"feed\"}"), 100.0);

    fs::write(&feed, "192.0.2.1\n").expect("half a download");
    filter.reload();
    assert!(!arrives(), "what was taken last still counts");
    assert_eq!(filter.series("ravelin_set_kept_back{set=\"feed\"}"), 1.0);
    assert_eq!(filter.series("ravelin_set_entries{set=\"feed\"}"), 100.0);
    assert!(filter.logs().contains("W0013"), "the log says so");

    // The rest of the policy is applied, and a restart changes nothing.
    filter.write_policy(&(policy(&feed, "30%") + OPEN));
    filter.reload();
    assert!(
        scene.udp_arrives("10.77.0.1:0", "10.77.0.2:7001"),
        "the new rule counts"
    );
    filter.stop();
    filter.start();
    assert!(!arrives(), "after a restart too");
    assert_eq!(filter.series("ravelin_set_kept_back{set=\"feed\"}"), 1.0);

    filter.write_policy(&policy(&feed, "100%"));
    filter.reload();
    assert!(arrives(), "the change is allowed now");
    assert_eq!(filter.series("ravelin_set_kept_back{set=\"feed\"}"), 0.0);
    assert_eq!(filter.series("ravelin_set_entries{set=\"feed\"}"), 1.0);
}

fn policy(feed: &Path, max_change: &str) -> String {
    format!(
        r#"
[firewall]
interfaces = ["wan"]
inbound    = "allow"
stateful   = false

[[set]]
name       = "feed"
files      = ["{}"]
max_change = "{max_change}"

[[rule]]
name     = "feed"
priority = 20
action   = "deny"
source   = "@feed"
"#,
        feed.display()
    )
}

const OPEN: &str = r#"
[[rule]]
name     = "one-port"
priority = 10
action   = "allow"
protocol = "udp"
ports    = 7001
"#;
