use super::*;
use crate::fs::threads::processor_time;
use crate::output::tree;

/// Makes an environment of `nog`; `line` is what it was made from, and so on, by identity and name in one.
fn env(uuid: &str, line: &[&str]) -> Listed {
    let mut line = line.iter().map(|of| Origin {
        node: "nog".to_string(),
        name: (*of).to_string(),
        uuid: (*of).to_string(),
    });
    let mut env = Listed::of_nobody();
    (env.node, env.name) = ("nog".parse().unwrap(), uuid.parse().unwrap());
    env.uuid = Some(uuid.to_string());
    (env.origin, env.lineage) = (line.next(), line.collect());
    env
}

fn drawn(listed: &[Listed]) -> String {
    let lines = tree::draw(&build(listed));
    let lines: Vec<String> = lines.into_iter().map(|(_, name)| name).collect();
    lines.join("\n").replace("nog/", "")
}

#[test]
fn a_destroyed_origin_stays_at_its_place_in_the_tree() {
    let listed = [
        env("a", &[]),
        env("d", &["c", "b", "a"]),
        env("e", &["c", "b", "a"]),
        env("f", &["b", "a"]),
    ];
    assert_eq!(
        drawn(&listed),
        "a\n└─ b (gone)\n   ├─ c (gone)\n   │  ├─ d\n   │  └─ e\n   └─ f"
    );
    // Nobody there was made from what is long gone: only what came last is told.
    let listed = [env("a", &[]), env("z", &["y", "x", "w", "a"])];
    assert_eq!(drawn(&listed), "a\n└─ y (gone)\n   └─ z");
    assert_eq!(drawn(&listed[1..]), "y (gone)\n└─ z");
}

#[test]
fn a_new_one_under_the_old_name_is_not_taken_for_it() {
    let mut new = env("new", &[]);
    new.name = "b".parse().unwrap();
    let mut old = env("c", &["b"]);
    old.origin.as_mut().unwrap().uuid = "old".to_string();
    assert_eq!(drawn(&[new.clone(), old.clone()]), "b\nb (gone)\n└─ c");
    // Renamed, it is shown by its name of today.
    new.uuid = Some("old".to_string());
    new.name = "today".parse().unwrap();
    assert_eq!(drawn(&[new, old]), "today\n└─ c");
}

#[test]
fn a_destroyed_origin_has_its_last_name() {
    let mut young = env("y", &["g"]);
    young.order.0 = Some(1000);
    young.origin.as_mut().unwrap().name = "last".to_string();
    let old = env("o", &["g"]);
    assert_eq!(
        drawn(&[old.clone(), young.clone()]),
        "last (gone)\n├─ o\n└─ y"
    );
    assert_eq!(drawn(&[young, old]), "last (gone)\n├─ y\n└─ o");
}

#[test]
fn records_that_name_each_other_are_all_drawn_once() {
    let listed = [env("a", &["b"]), env("b", &["a"]), env("c", &["c"])];
    assert_eq!(drawn(&listed), "c\na (from b)\n└─ b");
    let gone_round = [env("a", &["x", "y", "x", "y"]), env("b", &["a", "x"])];
    assert_eq!(drawn(&gone_round), "a (from x)\n└─ b");
    // Copied by hand.
    let twins = [env("a", &["o"]), env("a", &["o"]), env("b", &["a"])];
    assert_eq!(drawn(&twins), "o (gone)\n├─ a\n│  └─ b\n└─ a");
}

#[test]
fn thousands_in_one_line_are_drawn_in_no_time() {
    let names: Vec<String> = (0..20_000).map(|i| format!("e{i:05}")).collect();
    let listed: Vec<Listed> = (0..names.len())
        .map(|i| match i {
            0 => env(&names[0], &[]),
            _ => env(&names[i], &[&names[i - 1]]),
        })
        .collect();
    let begun = processor_time();
    let text = drawn(&listed);
    assert_eq!(text.lines().count(), names.len());
    assert!(text.contains("\ne00016 (from e00015)\n└─ e00017\n"));
    assert!(text.lines().all(|l| l.chars().count() < 80));
    // Quadratic, it would take a minute.
    let took = processor_time().saturating_sub(begun);
    assert!(took.as_secs() < 10, "{took:?}");
}
