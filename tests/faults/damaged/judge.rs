//! The rules that hold for every damage.

mod reported;

use std::time::Duration;

use super::ground::{Ground, LIE, SECRET};
use super::spoil::{Damage, Of, spoil};
use crate::report::against;
use crate::support::{Fingerprint, Outcome, Pool};

/// How long a command may take: none of these does anything that takes seconds.
const HANG: Duration = Duration::from_secs(60);

/// Everything that only looks.
const LOOKING: [&str; 11] = [
    "list",
    "list -H",
    "list --json",
    "list --tree",
    "status",
    "status --json",
    "get all",
    "check",
    "check --json",
    "check nog",
    "publish -n",
];

/// Changes of the other node, and back; each has to work.
const ELSEWHERE: [&str; 6] = [
    "create ordo/z",
    "pin ordo/y",
    "activate ordo/y",
    "describe ordo/x text",
    "unpin ordo/y",
    "destroy -y ordo/z",
];

/// Those of the changes below that a copy nobody believes is no reason to refuse.
const DONE_ALL_THE_SAME: [&str; 5] = [
    "pin nog/b",
    "describe nog/b text",
    "create nog/o",
    "activate nog/b",
    "set cmdline=quiet nog",
];

/// Changes of what is damaged; they work, or say why not.
const THERE: [&str; 13] = [
    "pin nog/b",
    "describe nog/b text",
    "activate nog/b --once",
    "activate nog --cancel",
    "create nog/n --from nog/b",
    "create nog/o",
    "activate nog/b",
    "activate nog/a",
    "rename nog/b q",
    "set cmdline=quiet nog",
    "mount nog/b",
    "umount nog/b",
    "publish",
];

pub(super) struct Judged {
    pub(super) points: usize,
    pub(super) faults: Vec<String>,
}

struct Court<'a> {
    ground: &'a Ground,
    damage: &'a Damage,
    judged: Judged,
}

pub(super) fn judge(ground: &Ground, damage: &Damage, full: bool) -> Judged {
    ground.renew();
    let mut court = Court {
        ground,
        damage,
        judged: Judged {
            points: 0,
            faults: Vec::new(),
        },
    };
    let rows = court.rows();
    spoil(ground, damage);
    if damage.of == Of::Pool {
        court.refuse(&rows);
        ground.end();
        return court.judged;
    }
    court.look(&rows);
    let telling = matches!(
        damage.state,
        "half"
            | "garbage"
            | "outside"
            | "neighbour"
            | "plain"
            | "copied"
            | "pipe"
            | "missing"
            | "lying"
    );
    if full || telling {
        court.change_elsewhere();
        court.change_there();
    }
    ground.end();
    court.judged
}

impl Court<'_> {
    fn fault(&mut self, what: impl std::fmt::Display) {
        self.against(10, what);
    }

    fn against(&mut self, number: usize, what: impl std::fmt::Display) {
        self.judged.faults.push(against(number, what));
    }

    /// Runs a command; one that panics, hangs, or tells of what stands outside is a fault.
    fn run(&mut self, line: &str) -> Outcome {
        self.judged.points += 1;
        let output = self
            .ground
            .pool
            .netbe()
            .command()
            .args(line.split_whitespace())
            .timeout(HANG)
            .output()
            .unwrap();
        let said = Outcome::from(output);
        let all = format!("{}{}", said.stdout, said.stderr);
        if said.status == -1 {
            self.fault(format!("{line}: it hangs, or was killed: {all}"));
        }
        if all.contains("panicked") {
            self.fault(format!("{line}: {all}"));
        }
        if all.contains(SECRET) {
            self.against(5, format!("{line} tells what stands outside: {all}"));
        }
        if all.contains(LIE) {
            self.against(
                5,
                format!("{line} believes what netbe has not written: {all}"),
            );
        }
        if said.status > 0
            && !matches!(line.split_whitespace().next(), Some("check"))
            && !said.stderr.contains("error: ")
        {
            self.fault(format!(
                "{line}: status {} without a word: {all}",
                said.status
            ));
        }
        let touched = self.ground.touched();
        if !touched.is_empty() && self.judged.faults.iter().all(|f| !f.contains("outside/")) {
            self.against(5, format!("{line}: {}", touched.join(", ")));
        }
        said
    }

    /// Returns the rows that must stay: all but those of what is to be damaged.
    fn rows(&mut self) -> Vec<String> {
        let output = self.run("list -H");
        if output.status != 0 {
            self.fault(format!("list -H: {output:?}"));
        }
        let mine = match self.damage.of {
            Of::Environment => ["nog\tb\t", "nog\tc\t"],
            Of::Node | Of::Knowledge => ["nog\t", "nog\t"],
            Of::Offer | Of::Copy | Of::Pool => ["\0", "\0"],
        };
        let rows = output
            .stdout
            .lines()
            .filter(|row| !mine.iter().any(|m| row.starts_with(m)));
        rows.map(str::to_string).collect()
    }

    fn look(&mut self, before: &[String]) {
        let pool = &self.ground.pool;
        let fingerprint = print_of(pool, self.damage);
        let mut output = Vec::new();
        for line in LOOKING {
            let outcome = self.run(line);
            let expected = match line.starts_with("check") {
                true => (0..=1).contains(&outcome.status),
                // `check nog` apart, a node that is none any more is just not there.
                false => outcome.status == 0,
            };
            let gone = line == "check nog" && outcome.status == 4;
            if !expected && !gone {
                self.fault(format!("{line}: {outcome:?}"));
            }
            output.push((line, outcome));
        }
        let after = self.rows();
        if after != before {
            self.fault(format!(
                "other environments are listed differently: {before:#?} became {after:#?}"
            ));
        }
        let changes = fingerprint.changes(&print_of(pool, self.damage));
        if !changes.is_empty() {
            self.fault(format!("looking changed something: {changes:#?}"));
        }
        self.named(&output);
    }

    /// Nothing works any more, and says so; nothing is changed. What was lost can be made again, where the pool says all
    /// that it takes.
    fn refuse(&mut self, before: &[String]) {
        let pool = &self.ground.pool;
        let fingerprint = print_of(pool, self.damage);
        let lines = LOOKING.iter().chain(&ELSEWHERE).chain(&THERE);
        for line in lines.chain(&["check --repair"]) {
            let output = self.run(line);
            let is_told = output.stderr.contains("error: ");
            if !matches!(output.status, 1 | 3 | 4) || !is_told {
                self.fault(format!("{line}: {output:?}"));
            }
        }
        let changes = fingerprint.changes(&print_of(pool, self.damage));
        if !changes.is_empty() {
            self.fault(format!("refused, it changed something: {changes:#?}"));
        }
        if self.damage.state == "missing" && self.damage.place != "STATE/pool.json" {
            let taken = self.run("init --take-over -y");
            let after = self.rows();
            let of = |rows: &[String]| -> Vec<String> {
                let name = |row: &String| row.split('\t').take(2).collect::<Vec<_>>().join("/");
                rows.iter().map(name).collect()
            };
            if taken.status != 0 || of(&after) != of(before) {
                self.fault(format!(
                    "taken over: {taken:?}, {before:#?} became {after:#?}"
                ));
            }
        }
    }

    fn change_elsewhere(&mut self) {
        for line in ELSEWHERE {
            let output = self.run(line);
            // A directory cannot be replaced by a file in one step; who put it there has to take it away.
            let stuck = self.damage.of == Of::Offer
                && output.status == 1
                && output.stderr.contains("publish/");
            if output.status != 0 && !stuck {
                self.fault(format!("{line}: {output:?}"));
            }
        }
        let output = self.run("list -H ordo");
        let stuck = self.damage.of == Of::Offer && self.damage.state == "directory";
        if output.status != 0 || (output.stdout.lines().count() != 2 && !stuck) {
            self.fault(format!("list -H ordo: {output:?}"));
        }
    }

    fn change_there(&mut self) {
        let other = self.ground.pool.at("nodes/ordo");
        let before = Fingerprint::of(&other);
        for line in THERE {
            let output = self.run(line);
            if self.damage.of == Of::Copy && DONE_ALL_THE_SAME.contains(&line) && output.status != 0
            {
                self.fault(format!("{line}: {output:?}"));
            }
        }
        for line in [
            "destroy -y nog/q",
            "destroy -y nog/b",
            "check --repair",
            "destroy -y -r nog",
            "check --repair",
        ] {
            self.run(line);
        }
        let changes = before.changes(&Fingerprint::of(&other));
        if !changes.is_empty() {
            self.against(5, format!("another node was changed: {changes:#?}"));
        }
    }
}

/// What stands in the pool and its state directory; the damaged place is left out where it cannot be read to an end.
fn print_of(pool: &Pool, damage: &Damage) -> Fingerprint {
    let in_state = format!("STATE/{}", damage.place);
    let in_pool = damage.place.trim_start_matches("POOL/");
    match damage.state {
        "endless" => pool
            .fingerprint()
            .without(&[&damage.place, &in_state, in_pool]),
        _ => pool.fingerprint(),
    }
}
