//! Nodes: the table of `status`, and the lines of `status NODE`.

mod machines;

use super::table::{self, Columns, Look, Narrow};
use super::{clean, local};
use crate::evidence::boots::How;
use crate::lifecycle::behind_template::Behind;
use crate::lifecycle::on_card::CardState;
use crate::lifecycle::status::State;
use crate::pool::pending::Kind;

const COLUMNS: Columns<'static> = Columns {
    heads: &[
        "NODE", "ACTIVE", "BOOTED", "SINCE", "KNOWN BY", "PENDING", "REBOOT", "ADDRESS",
    ],
    numbers: &[],
    optional: &["BOOTED", "SINCE", "KNOWN BY", "PENDING", "REBOOT"],
    narrow: &[
        Narrow::End("BOOTED", 18),
        Narrow::At("SINCE", 10),
        Narrow::End("PENDING", 16),
        Narrow::Without("KNOWN BY"),
        Narrow::Middle("NODE", 12),
        Narrow::Middle("ACTIVE", 16),
        Narrow::Without("ADDRESS"),
        Narrow::End("BOOTED", 16),
        Narrow::Without("SINCE"),
    ],
};

/// Returns the table, one line for each node.
pub fn draw(states: &[State], look: Look) -> String {
    let rows: Vec<_> = states.iter().map(row).collect();
    table::table(COLUMNS, rows, look)
}

/// Returns the lines of each node.
pub fn draw_each(states: &[State]) -> String {
    states.iter().map(block).collect()
}

fn row(state: &State) -> Vec<String> {
    let dash = || "-".to_string();
    vec![
        state.node.clone(),
        state.active.clone().unwrap_or_else(dash),
        booted(state),
        state.booted.since.map_or_else(dash, local),
        state.booted.how.map_or_else(dash, word),
        pending(state),
        match state.reboot_changes {
            Some(true) => "changes".to_string(),
            Some(false) => "same".to_string(),
            None => dash(),
        },
        match state.template {
            true => "(template)".to_string(),
            // A static address is shown without its network and gateway.
            false => clean(state.ip.split('/').next().unwrap_or_default()),
        },
    ]
}

fn booted(state: &State) -> String {
    if !state.machines.is_empty() && state.booted.possible.len() > 1 {
        return state.booted.possible.join(", ");
    }
    match (&state.booted.known, state.booted.possible.as_slice()) {
        (Some(known), _) => known.clone(),
        (None, []) => "-".to_string(),
        (None, possible) => format!("? {}", possible.join(", ")),
    }
}

fn word(how: How) -> String {
    match how {
        How::Report => "report",
        How::Root => "root",
        How::Nfs => "nfs",
        How::Tftp => "tftp",
    }
    .to_string()
}

fn pending(state: &State) -> String {
    let Some(boot) = &state.pending_boot else {
        return "-".to_string();
    };
    let env = &boot.environment;
    match boot.kind {
        kind if boot.waiting => format!("{env} ({})", kind.word()),
        Kind::Once => format!("{env} (was booted once)"),
        Kind::Try => format!("{env} (on trial)"),
    }
}

fn block(state: &State) -> String {
    let mut text = format!("{}\n", state.node);
    let mut line = |name: &str, value: &str| {
        text.push_str(&match name {
            // The line of a machine, which is to fit into a terminal's width.
            "" => format!("    {value}\n"),
            name => format!("  {name:<9}{value}\n"),
        });
    };
    line("active", state.active.as_deref().unwrap_or("-"));
    if state.template {
        line("booted", "by no machine: it is a template");
        return text;
    }
    match state.machines.as_slice() {
        [] => line("booted", &known(state)),
        machines => line("booted", &machines::counted(machines)),
    }
    for words in machines::named(&state.machines) {
        line("", &words);
    }
    line("pending", &pending_in_words(state));
    line(
        "reboot",
        match state.reboot_changes {
            Some(true) => "would change what it runs",
            Some(false) => "would not change what it runs",
            None => "not known whether it would change what it runs",
        },
    );
    for behind in &state.left_behind {
        let (wrote_in, missing_in) = (&behind.wrote_in.env, &behind.missing_in.env);
        let (amount, named) = (behind.amount(), behind.named());
        line(
            "behind",
            &format!("{amount} in {wrote_in} that {missing_in} does not have: {named}"),
        );
    }
    if let Some(behind) = &state.behind_template {
        let Behind {
            newer, came_from, ..
        } = behind;
        let advice = behind.advice();
        line(
            "template",
            &format!("{newer} is newer than {came_from}, which it came from: {advice}"),
        );
    }
    if !state.data.is_empty() {
        line("data", &state.data.join(", "));
    }
    if !state.on_disk.is_empty() {
        line("on disk", &state.on_disk.join(", "));
    }
    if let Some(disk) = state.disk.as_ref().filter(|disk| !disk.has_active) {
        let active = state.active.as_deref().unwrap_or("-");
        let remedy = disk.remedy.as_ref();
        let remedy = remedy.map_or(String::new(), |command| format!(": {command}"));
        line("", &format!("{active}, which is active, is not{remedy}"));
    }
    for old in &state.old_places {
        let (env, amount, named) = (&old.wrote_in.env, &old.amount, &old.named);
        line(
            "behind",
            &format!("{amount} in {env}, under its data, that the data does not have: {named}"),
        );
    }
    if let Some(card) = &state.card {
        line("card", &on_card(card));
    }
    // This machine requests nothing from a server.
    if !state.is_this_machine {
        line("address", &state.ip);
        line(
            "asks as",
            &match state.names.is_empty() {
                true => "-".to_string(),
                false => few(&state.names),
            },
        );
    }
    if let Some(machine) = &state.machine {
        line("machine", machine);
    }
    text
}

/// Returns the names; of many, only the first ones.
fn few(names: &[String]) -> String {
    let more = names.len().saturating_sub(machines::MOST);
    let named = names[..names.len() - more].join(", ");
    match more {
        0 => named,
        more => format!("{named} and {more} more (--json names all)"),
    }
}

fn on_card(card: &CardState) -> String {
    let kernel = card.kernel.as_ref();
    let kernel = kernel.map_or(String::new(), |kernel| format!(", kernel {kernel}"));
    let behind = match (&card.behind, &card.remedy) {
        (Some(behind), Some(remedy)) => format!("; behind: {behind}; {remedy}"),
        _ => String::new(),
    };
    format!(
        "{}, written {}{kernel}{behind}",
        card.environment,
        local(card.since)
    )
}

fn known(state: &State) -> String {
    let booted = &state.booted;
    let (Some(known), Some(since), Some(how)) = (&booted.known, booted.since, booted.how) else {
        return match booted.possible.is_empty() {
            true => "-".to_string(),
            false => format!(
                "not known; it may run {}{}",
                booted.possible.join(", "),
                fetched(state)
            ),
        };
    };
    let kernel = booted
        .kernel
        .as_ref()
        .map_or(String::new(), |k| format!(", kernel {k}"));
    format!("{known}, since {}: {}{kernel}", local(since), how.words())
}

fn fetched(state: &State) -> String {
    match (&state.booted.fetched, state.booted.since) {
        (Some(env), Some(time)) => format!("; {env} was fetched from at {}", local(time)),
        _ => String::new(),
    }
}

fn pending_in_words(state: &State) -> String {
    let Some(boot) = &state.pending_boot else {
        return "-".to_string();
    };
    let env = &boot.environment;
    match (boot.kind, boot.waiting, boot.until) {
        (Kind::Once, true, _) => format!("{env}, for the next boot only"),
        (Kind::Once, false, _) => {
            format!("{env} was fetched; the next boot is the active environment")
        }
        (Kind::Try, true, _) => format!("{env}, on trial with the next boot"),
        (Kind::Try, false, Some(until)) => {
            format!("{env} was fetched; it has until {} to report", local(until))
        }
        (Kind::Try, false, None) => format!("{env} was fetched; waiting for its report"),
    }
}
