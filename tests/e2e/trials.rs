//! Trials and power cuts on a machine with its own disk: the same story for every loader.

use std::time::Duration;

use crate::machine::Running;

/// How a machine that is off is powered on.
pub(crate) type PowerOn<'a> = &'a dyn Fn() -> Running;

/// Tries `nog/hangs`, which stops on its way up, and cuts its power: `active` is booted again, and what hung is marked.
pub(crate) fn one_that_hangs_is_left(mut nog: Running, power_on: PowerOn, active: &str) -> Running {
    nog.make_hanging("nog/hangs");
    nog.ok("netbe activate --try nog/hangs");
    nog.restart();
    nog.wait_for("here it stops");
    drop(nog);
    let mut nog = power_on();
    nog.wait_until_up();
    assert_eq!(nog.environment(), active);
    nog.is_well();
    let list = nog.ok("netbe list -H");
    assert!(list.contains("nog\thangs\t!"), "{list}");
    nog.ok("netbe destroy -y nog/hangs");
    nog.ok("netbe check");
    nog
}

/// Tries an environment of nog that comes up: it runs, and is active.
pub(crate) fn one_that_comes_up_is_active(nog: &mut Running, tried: &str) {
    nog.ok(&format!("netbe activate --try nog/{tried}"));
    nog.restart();
    nog.wait_until_up();
    nog.is_well();
    let list = nog.ok("netbe list -H");
    assert!(list.contains(&format!("nog\t{tried}\tNR\t")), "{list}");
}

/// Cuts the power at three points of an activation of `other`: it comes up with that or with `active`, which is active at the
/// end.
pub(crate) fn cut_while_it_activates(
    mut nog: Running,
    power_on: PowerOn,
    active: &str,
    other: &str,
) -> Running {
    for milliseconds in [0, 400, 1200] {
        // Not as it is echoed by the console.
        nog.begin(
            &format!("echo be\"\"gun; netbe activate nog/{other}"),
            "begun\n",
        );
        std::thread::sleep(Duration::from_millis(milliseconds));
        drop(nog);
        nog = power_on();
        nog.wait_until_up();
        let runs = nog.environment();
        assert!([active, other].contains(&runs.as_str()), "{runs}");
        nog.run("netbe check --repair");
        nog.ok("netbe check");
        nog.ok(&format!("netbe activate nog/{active}"));
    }
    nog
}
