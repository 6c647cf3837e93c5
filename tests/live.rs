//! `ravelin explain --live`: the attached program is asked, and a policy on disk that is not the attached one is found out.

use std::process::Output;

use ravelin_tests::daemon::Daemon;
use ravelin_tests::requires;
use ravelin_tests::scene::Scene;

#[test]
fn the_attached_program_is_asked_and_another_policy_on_disk_is_told() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("live");
    let filter = scene.filter("live", &policy("443"));

    let output = explain(&filter, "443", &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("on wan passes it, and counts it as explained"),
        "{text}"
    );
    let output = explain(&filter, "80", &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("on wan drops it, and counts it as explained"),
        "{text}"
    );
    assert_eq!(filter.rule_packets()["web"], 1, "the run counts as a packet");

    // Edited on disk and not reloaded: what is explained is not what is done.
    let edited = filter.policy().with_file_name("edited.toml");
    std::fs::write(&edited, policy("80")).expect("a policy");
    let path = edited.display().to_string();
    for (port, did) in [("443", "passes"), ("80", "drops")] {
        let output = explain_file(&filter, &path, port, &["--format", "json"]);
        assert_eq!(output.status.code(), Some(2), "port {port}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("does not do what this policy says"), "{said}");
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(
            (&document["live"]["agrees"], &document["live"]["action"]),
            (&false.into(), &did.into())
        );
    }

    // The same action for another reason is told as well.
    std::fs::write(&edited, "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n[[rule]]\nname = \"other\"\naction = \"allow\"\n")
        .expect("a policy");
    let output = explain_file(&filter, &path, "443", &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("the program has no such rule"), "{text}");

    let nobody = explain_file(
        &filter,
        &path,
        "443",
        &["--pin-dir", "/sys/fs/bpf/ravelin-nobody"],
    );
    assert_eq!(nobody.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no program of Ravelin is attached"));
}

#[test]
fn the_program_for_what_goes_out_is_asked_when_there_is_one() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("live-out");
    let filter = scene.filter("live-out", &policy("443"));
    let outbound = ["--direction", "outbound"];
    let nobody = explain(&filter, "443", &outbound);
    let words = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert_eq!(nobody.status.code(), Some(2), "{words}");
    assert!(
        words.contains("no program of Ravelin judges what goes out"),
        "{words}"
    );

    let both = policy("443").replace("stateful", "outbound = \"deny\"\nstateful");
    filter.write_policy(&format!(
        "{both}[[rule]]\nname = \"out\"\ndirection = \"outbound\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = 80\n"
    ));
    filter.reload();
    for (port, code, did) in [("80", 0, "passes"), ("443", 1, "drops")] {
        let output = explain(&filter, port, &outbound);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        let words = format!("on wan {did} it, and counts it as explained");
        assert!(text.contains(&words), "{text}");
    }
    assert_eq!(filter.rule_packets()["out"], 1, "the run counts as a packet");
    assert_eq!(filter.rule_packets()["web"], 0, "of its own direction");
}

fn explain(filter: &Daemon, port: &str, more: &[&str]) -> Output {
    explain_file(filter, &filter.policy().display().to_string(), port, more)
}

fn explain_file(filter: &Daemon, file: &str, port: &str, more: &[&str]) -> Output {
    let mut arguments = vec![
        "explain",
        file,
        "--source",
        "10.77.0.1",
        "--destination",
        "10.77.0.2",
        "--protocol",
        "tcp",
        "--port",
        port,
        "--live",
    ];
    arguments.extend(more);
    filter.ravelin(&arguments)
}

fn policy(port: &str) -> String {
    format!(
        "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n[[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = {port}\n"
    )
}
