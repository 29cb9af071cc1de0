//! The output of `list`, `status` and `check` about damage.

use super::super::spoil::Of;
use super::Court;
use crate::support::Outcome;

impl Court<'_> {
    /// Damage is flagged, reported, and named with a remedy.
    pub(super) fn named(&mut self, said: &[(&str, Outcome)]) {
        let of = |line: &str| {
            said.iter()
                .find(|(l, _)| *l == line)
                .map(|(_, o)| o.clone())
                .unwrap()
        };
        let (list, status, check) = (of("list -H"), of("status"), of("check"));
        if !self.shows() {
            return;
        }
        let row = |env: &str| {
            list.stdout
                .lines()
                .find(|r| r.starts_with(&format!("nog\t{env}\t")))
                .map(str::to_string)
        };
        let flagged = |env: &str| {
            row(env).is_some_and(|r| r.split('\t').nth(2).is_some_and(|f| f.contains('!')))
        };
        let env = match self.damage.place.as_str() {
            place if place.contains("envs/b") => Some("b"),
            place if place.contains("envs/a/") => Some("a"),
            place if place.contains("envs/c") => Some("c"),
            _ => None,
        };
        if let Some(env) = env {
            if !flagged(env) {
                self.fault(format!("list does not flag nog/{env}: {:?}", list.stdout));
            }
            if !status.stderr.contains(&format!("nog/{env}"))
                && !status.stdout.contains(&format!("nog/{env}"))
            {
                self.fault(format!("status does not tell of nog/{env}: {status:?}"));
            }
        } else if self.damage.of == Of::Node
            // What is not there is none.
            && (self.damage.place != "nodes/nog" || self.damage.state != "missing")
            && !(status.stderr.contains("nog") || status.stdout.contains("nog"))
        {
            self.fault(format!("status does not tell of nog: {status:?}"));
        }
        let is_stranger = self.damage.place == "nodes/nog"
            && !["missing", "directory"].contains(&self.damage.state);
        let plain = of("list");
        if is_stranger
            && !plain
                .stdout
                .lines()
                .any(|row| row.starts_with("nog") && row.contains(" !"))
        {
            self.fault(format!("list does not flag nog: {plain:?}"));
        }
        let about = match env {
            Some(env) => vec![format!("nog/{env}"), format!("nog/envs/{env}")],
            None if self.damage.of == Of::Copy => {
                vec![self.ground.at(&self.damage.place).display().to_string()]
            }
            None => vec!["nog".to_string(), "publish".to_string()],
        };
        if check.status != 1
            || !about.iter().any(|a| check.stdout.contains(a))
            || !check.stdout.contains("remedy: ")
        {
            self.fault(format!("check does not name it: {check:?}"));
        }
    }

    /// Returns whether the state has damage to report.
    fn shows(&self) -> bool {
        match (self.damage.of, self.damage.state) {
            // Root reads and writes what it may not: nothing is lost by it.
            (_, "closed" | "owner") => false,
            // What is known is less, and less is safe: what protects says so by itself.
            (Of::Knowledge, _) => false,
            (Of::Offer, _) => {
                self.damage.place.starts_with("publish/exports")
                    || self.damage.place.starts_with("tftp")
            }
            _ => true,
        }
    }
}
