//! `status` of a node: its shape for scripts. Several machines: `several_machines`; models: `model`; templates: `list/tree`.

use serde_json::Value;

use crate::support::Pool;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn status_shows_the_booted_environment_and_whether_a_reboot_changes_it() {
    let pool = Pool::with_served_node();
    let state = || {
        let document = json(&pool.netbe().ok("status --json nog"));
        assert_eq!(document["version"], 1);
        document["nodes"][0].clone()
    };
    let unknown = state();
    assert_eq!(unknown["active"], "a");
    assert_eq!(unknown["booted"]["known"], Value::Null);
    assert_eq!(unknown["booted"]["possible"], json(r#"["a"]"#));
    assert_eq!(unknown["reboot_changes"], Value::Null);
    assert_eq!(unknown["names"], json(r#"["dc-a6-32-01-02-03"]"#));
    pool.saw_boot("nog", "a");
    assert_eq!(state()["booted"]["known"], "a");
    assert_eq!(state()["reboot_changes"], false);
    pool.netbe().ok("create nog/b -a");
    assert_eq!(state()["booted"]["known"], "a");
    assert_eq!(state()["reboot_changes"], true);
    let table = pool.netbe().ok("status");
    assert!(table.contains("(template)"), "{table}");
    pool.refuses(4, "status ordo", &["no node ordo"]);
}
