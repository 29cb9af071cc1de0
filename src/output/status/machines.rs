//! The environments that the machines of a node run, if several machines boot the node at once.

use std::collections::BTreeMap;

use super::local;
use crate::lifecycle::status::MachineState;

/// The greatest number of machines that are listed one by one.
pub(super) const MOST: usize = 8;

/// Returns the number of machines that run each environment: `second on 37, first on 2 of 40 machines`.
pub(super) fn counted(machines: &[MachineState]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for env in machines
        .iter()
        .filter_map(|machine| machine.booted.as_deref())
    {
        *counts.entry(env).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let counts: Vec<String> = counts
        .iter()
        .map(|(env, count)| format!("{env} on {count}"))
        .collect();
    let all = match machines.len() {
        1 => "1 machine".to_string(),
        more => format!("{more} machines"),
    };
    match counts.is_empty() {
        true => format!("not known: none of its {all} has reported"),
        false => format!("{} of {all}, by their reports", counts.join(", ")),
    }
}

/// Returns a line for each machine. Of many machines, only the first of those that a reboot would change or that have not
/// reported are listed.
pub(super) fn named(machines: &[MachineState]) -> Vec<String> {
    if machines.len() <= MOST {
        return machines.iter().map(in_words).collect();
    }
    let mut others: Vec<&MachineState> = machines.iter().collect();
    others.retain(|machine| machine.reboot_changes != Some(false));
    let mut lines: Vec<String> = others.iter().take(MOST).map(|one| in_words(one)).collect();
    if others.len() > MOST {
        let more = others.len() - MOST;
        lines.push(format!("and {more} more (--json names all)"));
    }
    lines
}

fn in_words(machine: &MachineState) -> String {
    let next = machine.next.as_deref().unwrap_or("nothing");
    let (Some(env), Some(since)) = (&machine.booted, machine.since) else {
        let may_run = match machine.may_run.as_slice() {
            [] => String::new(),
            envs => format!(", and may run {}", envs.join(", ")),
        };
        return format!(
            "{}: has not reported{may_run}; boots {next} next",
            machine.name
        );
    };
    let next = match machine.reboot_changes {
        Some(false) => String::new(),
        _ => format!("; boots {next} next"),
    };
    format!("{}: {env}, since {}{next}", machine.name, local(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: usize, env: Option<&str>, next: &str) -> MachineState {
        MachineState {
            name: format!("m{name}"),
            booted: env.map(str::to_string),
            since: env.map(|_| jiff::Timestamp::UNIX_EPOCH),
            kernel: None,
            next: Some(next.to_string()),
            fetched: None,
            may_run: vec!["a".to_string()],
            reboot_changes: env.map(|env| env != next),
        }
    }

    #[test]
    fn many_are_counted_and_those_to_look_at_are_named() {
        let few = [machine(1, Some("b"), "b"), machine(2, None, "b")];
        assert_eq!(counted(&few), "b on 1 of 2 machines, by their reports");
        assert_eq!(named(&few).len(), 2);
        assert!(counted(&few[1..]).starts_with("not known: none of its 1 "));
        let many: Vec<MachineState> = (0..40)
            .map(|n| machine(n, [None, Some("a"), Some("b"), Some("b")][n % 4], "b"))
            .collect();
        assert_eq!(
            counted(&many),
            "b on 20, a on 10 of 40 machines, by their reports"
        );
        let lines = named(&many);
        assert!(lines[0] == "m0: has not reported, and may run a; boots b next");
        assert!(lines[1].starts_with("m1: a, since") && lines[1].ends_with("; boots b next"));
        assert_eq!(lines.last().unwrap(), "and 12 more (--json names all)");
    }
}
