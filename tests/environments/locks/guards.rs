//! What a lock protects is written by its guard: with the guard of another node or another pool, or one that others share,
//! nothing is written.

use std::time::Duration;

use netbe::fs::atomic::Durable;
use netbe::lifecycle::{Held, activate, rename};
use netbe::pool::data::DataPath;
use netbe::pool::lock::Share;
use netbe::pool::pending::{self, PendingBoot};
use netbe::pool::{
    Environment, Node, NodeLock, base, data_store, kept_bases, publish_node, stage, state,
};
use netbe::publish::run::Publishing;
use netbe::staged::{Content, Identity, StagedEnvironment, StagedNode, Target, Verified};

use crate::machine::Machine;
use crate::support::{MAC, Pool};

type Opened = netbe::pool::Pool;

/// A pool with nog/a, which is active, nog/b and ordo/x.
fn pool() -> Pool {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("create ordo/x --from base");
    pool
}

fn guard_of(pool: &Opened, node: &str, share: Share) -> NodeLock {
    let name = node.parse().unwrap();
    pool.lock_node(&name, share, Duration::ZERO).unwrap()
}

fn node(pool: &Opened, name: &str) -> Node {
    pool.node(&name.parse().unwrap()).unwrap()
}

fn env(pool: &Opened, node: &str, name: &str) -> Environment {
    let (node, name) = (node.parse().unwrap(), name.parse().unwrap());
    pool.environment(&node, &name).unwrap()
}

/// Holds that something fails because its guard is another one, and changes nothing.
fn writes_nothing<T: std::fmt::Debug>(pool: &Pool, work: impl FnOnce() -> anyhow::Result<T>) {
    let before = pool.fingerprint();
    let error = work().unwrap_err();
    let why = format!("{error:#}");
    assert!(why.contains("does not protect"), "{why}");
    before.assert_unchanged(&pool.fingerprint());
}

#[test]
fn invariant_11_a_record_is_not_written_by_the_guard_of_another_node() {
    let pool = pool();
    let opened = pool.open();
    let (nog, b) = (node(&opened, "nog"), env(&opened, "nog", "b"));
    let mut of_env = b.record.clone().unwrap();
    of_env.pinned = true;
    let mut of_node = nog.record.clone();
    of_node.properties.insert("keep".into(), "7".into());
    for (name, share) in [("ordo", Share::Alone), ("nog", Share::Together)] {
        let guard = guard_of(&opened, name, share);
        writes_nothing(&pool, || b.store(&guard, &of_env, Durable::AtOnce));
        writes_nothing(&pool, || nog.store(&guard, &of_node));
    }
    let guard = guard_of(&opened, "nog", Share::Alone);
    b.store(&guard, &of_env, Durable::AtOnce).unwrap();
    nog.store(&guard, &of_node).unwrap();
    let written = env(&opened, "nog", "b").record.unwrap();
    let kept = node(&opened, "nog").record.properties;
    assert!(written.pinned && kept["keep"] == "7");
}

#[test]
fn invariant_11_what_nodes_share_is_not_written_by_the_guard_of_another_pool() {
    let pool = pool();
    let other = pool.another();
    let (opened, theirs) = (pool.open(), other.open().lock(Duration::ZERO).unwrap());
    let (nog, b) = (node(&opened, "nog"), env(&opened, "nog", "b"));
    let mut record = opened.record().clone();
    record.properties.insert("keep".into(), "7".into());
    writes_nothing(&pool, || opened.store(&theirs, &record));
    let boot: PendingBoot = serde_json::from_str(r#"{"env":"b","kind":"once"}"#).unwrap();
    writes_nothing(&pool, || pending::begin(&nog.state, &theirs, &boot));
    writes_nothing(&pool, || pending::update(&nog.state, &theirs, &boot));
    writes_nothing(&pool, || pending::clear(&nog.state, &theirs));
    // The directories that machines mount, the names they ask by, and what dnsmasq is given.
    writes_nothing(&pool, || {
        let mut run = Publishing::begin(&opened, Some(&theirs))?;
        netbe::publish::dnsmasq::bring_up_to_date(&mut run, std::slice::from_ref(&nog), true)
    });
    writes_nothing(&pool, || netbe::publish::everything(&opened, Some(&theirs)));
    std::fs::remove_file(pool.at(&format!("tftp/{}", MAC.replace(':', "-")))).unwrap();
    writes_nothing(&pool, || {
        let mut run = Publishing::begin(&opened, Some(&theirs))?;
        netbe::publish::tftp::bring_node_up_to_date(&mut run, &nog)
    });
    let verified = Verified::new(&opened, &nog, &b, false).unwrap();
    let guard = guard_of(&opened, "nog", Share::Alone);
    let mut held = Held {
        pool: &opened,
        lock: &guard,
        shared: theirs,
        warnings: Vec::new(),
    };
    writes_nothing(&pool, || activate::switch(&mut held, &nog, &verified));
}

#[test]
fn invariant_11_a_node_is_not_led_by_the_guard_of_another_node() {
    let pool = pool();
    let opened = pool.open();
    let (nog, ordo) = (node(&opened, "nog"), node(&opened, "ordo"));
    let b = env(&opened, "nog", "b");
    let verified = Verified::new(&opened, &nog, &b, false).unwrap();
    let of_ordo = guard_of(&opened, "ordo", Share::Alone);
    let of_nog = guard_of(&opened, "nog", Share::Alone);
    let mut held = Held {
        pool: &opened,
        lock: &of_ordo,
        shared: opened.lock(Duration::ZERO).unwrap(),
        warnings: Vec::new(),
    };
    writes_nothing(&pool, || activate::switch(&mut held, &nog, &verified));
    // Nor to what is another's, by its own.
    writes_nothing(&pool, || activate::switch(&mut held, &ordo, &verified));
    held.lock = &of_nog;
    // Nor is another node led to what this guard protects; one that boots nothing, so that no record is written.
    std::fs::remove_file(pool.at("nodes/ordo/active")).unwrap();
    let ordo = node(&opened, &ordo.name.to_string());
    writes_nothing(&pool, || activate::switch(&mut held, &ordo, &verified));
    activate::switch(&mut held, &nog, &verified).unwrap();
    assert_eq!(pool.active("nog"), "b");
}

#[test]
fn invariant_11_nothing_gets_its_name_by_the_guard_of_another_node() {
    let pool = pool();
    let opened = pool.open();
    let (nog, b) = (node(&opened, "nog"), env(&opened, "nog", "b"));
    let name = "c".parse().unwrap();
    let target = Target {
        pool: &opened,
        node: &nog.name,
        record: &nog.record,
        env: &name,
        boots_next: false,
    };
    let guard = guard_of(&opened, "ordo", Share::Alone);
    writes_nothing(&pool, || {
        let mut staged = StagedEnvironment::in_node(target, &nog)?;
        staged.look_again(&guard).unwrap_err();
        staged.snapshot(&b)?;
        let record = b.record_for_change()?;
        let complete = staged.complete(Content {
            record: record.clone(),
            before: record,
            identity: Identity::Same,
        })?;
        staged.publish(&guard, complete)
    });
    let new = "werda".parse().unwrap();
    writes_nothing(&pool, || {
        StagedNode::new(&opened, &new, &nog.record)?.publish(&guard, None)
    });
    writes_nothing(&pool, || {
        let stage = netbe::pool::stage::Staged::new(&pool.at("nodes"), "werda")?;
        publish_node(&opened, &guard, &new, &nog.record, stage)
    });
}

#[test]
fn invariant_11_nothing_of_a_node_goes_or_is_kept_by_the_guard_of_another() {
    let pool = pool();
    let opened = pool.open();
    let (nog, b) = (node(&opened, "nog"), env(&opened, "nog", "b"));
    let path: DataPath = "/home".parse().unwrap();
    let kept = pool.at("nodes/nog/none");
    for (name, share) in [("ordo", Share::Alone), ("nog", Share::Together)] {
        let guard = guard_of(&opened, name, share);
        writes_nothing(&pool, || stage::discard_env(&guard, &b.dir, &nog.dir));
        writes_nothing(&pool, || stage::discard_node(&guard, &nog.dir));
        writes_nothing(&pool, || state::forget_node(&guard, &nog.state));
        writes_nothing(&pool, || kept_bases::keep(&opened, &guard, &b));
        writes_nothing(&pool, || rename::settle(&guard, &nog, &b.name));
        writes_nothing(&pool, || base::keep(&guard, &kept, &b));
        writes_nothing(&pool, || data_store::keep(&guard, &kept, &b));
        writes_nothing(&pool, || data_store::take_into_use(&guard, &nog));
        writes_nothing(&pool, || data_store::retire(&guard, &nog, &path));
        writes_nothing(&pool, || data_store::discard(&guard, &nog, &path));
        writes_nothing(&pool, || {
            let stage = stage::Staged::new(&nog.dir, "data")?;
            data_store::publish(&guard, &stage, &nog, std::slice::from_ref(&path))
        });
    }
    // Nor does the guard of a node reach what is elsewhere.
    let guard = guard_of(&opened, "nog", Share::Alone);
    let of_ordo = env(&opened, "ordo", "x").dir;
    let before = pool.fingerprint();
    stage::discard_env(&guard, &of_ordo, &nog.dir).unwrap_err();
    before.assert_unchanged(&pool.fingerprint());
}

#[test]
fn invariant_2_a_boot_on_trial_is_no_proof_before_it_is_reported() {
    let pool = pool();
    let opened = pool.open();
    let (nog, b) = (node(&opened, "nog"), env(&opened, "nog", "b"));
    let boot: PendingBoot = serde_json::from_str(r#"{"env":"b","kind":"try"}"#).unwrap();
    let unproven = Verified::by_its_boot(&nog, &b, &boot).unwrap_err();
    assert!(unproven.to_string().contains("has come up"), "{unproven}");
    pool.reports("nog/b", "11111111-2222-3333-4444-555555555555");
    Verified::by_its_boot(&nog, &b, &boot).unwrap();
    let once: PendingBoot = serde_json::from_str(r#"{"env":"b","kind":"once"}"#).unwrap();
    Verified::by_its_boot(&nog, &b, &once).unwrap_err();
}

#[test]
fn invariant_2_a_pending_boot_becomes_none_of_another_environment() {
    let pool = pool();
    let opened = pool.open();
    let nog = node(&opened, "nog");
    let shared = opened.lock(Duration::ZERO).unwrap();
    let [a, b]: [PendingBoot; 2] = [
        r#"{"env":"a","kind":"once"}"#,
        r#"{"env":"b","kind":"once"}"#,
    ]
    .map(|text| serde_json::from_str(text).unwrap());
    let update = |boot| {
        pending::update(&nog.state, &shared, boot)
            .unwrap_err()
            .to_string()
    };
    assert!(update(&b).contains("no pending boot of b was begun"));
    pending::begin(&nog.state, &shared, &b).unwrap();
    pending::update(&nog.state, &shared, &b).unwrap();
    assert!(update(&a).contains("no pending boot of a was begun"));
}

#[test]
fn invariant_2_a_new_node_leads_to_what_was_verified() {
    let pool = pool();
    let opened = pool.open();
    let (nog, b) = (node(&opened, "nog"), env(&opened, "nog", "b"));
    std::fs::remove_dir_all(pool.half("nog/b", "root").join("usr/lib/modules")).unwrap();
    let new = "werda".parse().unwrap();
    let staged = StagedNode::new(&opened, &new, &nog.record).unwrap();
    let copy = staged.environment(&b.name, false).unwrap();
    copy.snapshot(&b).unwrap();
    let record = b.record_for_change().unwrap();
    let complete = copy.complete(Content {
        record: record.clone(),
        before: record,
        identity: Identity::Same,
    });
    let unverified = staged.add_active(&copy, &complete.unwrap()).unwrap_err();
    assert!(
        unverified.to_string().contains("was not verified"),
        "{unverified}"
    );
}

/// What leads a node to an environment, as far as its arguments tell.
type Switch = fn(&mut Held<'_>, &Node, &Verified<'_>) -> anyhow::Result<()>;

#[test]
fn invariant_2_what_leads_a_node_wants_what_was_verified() {
    // It does not compile where one of them takes an environment that nobody has looked at.
    let _: [Switch; 2] = [activate::switch, activate::for_good];
    let pool = pool();
    let opened = pool.open();
    let nog = node(&opened, "nog");
    let modules = pool.half("nog/b", "root").join("usr/lib/modules");
    std::fs::remove_dir_all(modules).unwrap();
    let b = env(&opened, "nog", "b");
    let refused = Verified::new(&opened, &nog, &b, false).unwrap_err();
    assert!(
        format!("{refused:#}").contains("would not boot"),
        "{refused:#}"
    );
    let insisted = Verified::new(&opened, &nog, &b, true).unwrap();
    assert_eq!(insisted.warnings().len(), 1, "{insisted:?}");
    // Without one of its halves it is nothing to insist on.
    std::fs::rename(pool.half("nog/b", "boot"), pool.half("nog/b", "gone")).unwrap();
    let b = env(&opened, "nog", "b");
    Verified::new(&opened, &nog, &b, true).unwrap_err();
}
