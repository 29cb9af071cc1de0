//! `upgrade -a` of which only the first half was done: who asked is told how to do the other.

use std::time::Duration;

use netbe::pool::PoolLock;

use super::debian;

#[test]
fn after_an_interrupted_upgrade_the_hint_activates_its_environment() {
    let pool = debian();
    // As it is where it is killed between making and activating.
    pool.netbe().ok("upgrade --node nog --name next -- true");
    let again = "upgrade --node nog --name next -a -- true";
    pool.refuses(
        3,
        again,
        &[
            "nog/next already exists",
            "hint: ",
            "netbe activate nog/next\n",
        ],
    );
    pool.refuses(
        3,
        "upgrade --node nog --name next -- true",
        &["hint: netbe list nog"],
    );
    pool.netbe().ok("activate nog/next");
    pool.refuses(3, again, &["hint: netbe list nog"]);
}

#[test]
fn a_kept_failed_copy_is_not_suggested_for_activation() {
    let pool = debian();
    pool.netbe()
        .fails(1, "upgrade --node nog --name next --keep -- false");
    let output = pool.refuses(
        3,
        "upgrade --node nog --name next -a -- true",
        &["nog/next already exists", "hint: netbe list nog"],
    );
    assert!(!output.contains("netbe activate"), "{output}");
}

#[test]
fn a_failed_activation_has_the_hint_to_activate() {
    let pool = debian();
    let held = PoolLock::take(&pool.state(), Duration::ZERO).unwrap();
    let output = pool
        .netbe()
        .fails(5, "upgrade --node nog --name next -a --wait 0 -- true");
    for words in [
        "error: created nog/next; activating it: the pool is being changed by another netbe",
        "\nhint: netbe activate nog/next\n",
    ] {
        assert!(output.contains(words), "{words}\n{output}");
    }
    drop(held);
    assert_eq!(pool.active("nog"), "first");
    pool.netbe().ok("activate nog/next");
    pool.assert_sound();
}

#[test]
fn a_failed_activation_for_once_has_the_hint_to_activate_once() {
    let pool = debian();
    let held = PoolLock::take(&pool.state(), Duration::ZERO).unwrap();
    let output = pool
        .netbe()
        .fails(5, "upgrade --node nog --name next --once --wait 0 -- true");
    for words in [
        "error: created nog/next; activating it: the pool is being changed by another netbe",
        "\nhint: netbe activate --once nog/next\n",
    ] {
        assert!(output.contains(words), "{words}\n{output}");
    }
    drop(held);
    pool.netbe().ok("activate --once nog/next");
    pool.assert_sound();
}

#[test]
fn an_earlier_upgrade_that_was_never_activated_is_named() {
    let pool = debian();
    let made_before = "note: nog/one was made before and never activated; nog/";
    let first = pool.netbe().run("upgrade nog --name one -- true");
    assert!(!first.stderr.contains("made before"), "{first:#?}");
    let second = pool.netbe().run("upgrade nog --name two -- true");
    assert!(second.stderr.contains(made_before), "{second:#?}");
    // What is made of it contains it, and what is active now is the newest.
    let of_it = pool.netbe().run("upgrade nog/one --name three -- true");
    assert!(!of_it.stderr.contains("made before"), "{of_it:#?}");
    pool.netbe().ok("activate nog/three");
    let last = pool.netbe().run("upgrade nog --name four -- true");
    assert!(!last.stderr.contains("made before"), "{last:#?}");
}
