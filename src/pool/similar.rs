//! Suggesting a name for one that does not exist.

/// How alike two names have to be: 1 is the same.
const ALIKE: f64 = 0.8;

/// Returns `; did you mean NAME?` for the most alike of these names, or nothing.
pub(super) fn did_you_mean<N: AsRef<str>>(
    name: &str,
    names: impl IntoIterator<Item = N>,
) -> String {
    most_alike(name, names).map_or(String::new(), |best| {
        format!("; did you mean {}?", best.as_ref())
    })
}

/// Returns the most alike of these names, if one is.
pub(super) fn most_alike<N: AsRef<str>>(
    name: &str,
    names: impl IntoIterator<Item = N>,
) -> Option<N> {
    let alike = |candidate: &N| strsim::jaro_winkler(name, candidate.as_ref());
    names
        .into_iter()
        .filter(|candidate| alike(candidate) > ALIKE)
        .max_by(|a, b| alike(a).total_cmp(&alike(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_alike_is_named_if_one_is() {
        let names = ["nog", "ordo", "werda", "rack1-a", "rack1-b"];
        for (name, meant) in [
            ("nogg", "nog"),
            ("odro", "ordo"),
            ("wedra", "werda"),
            ("rack1a", "rack1-a"),
        ] {
            assert_eq!(
                did_you_mean(name, names),
                format!("; did you mean {meant}?")
            );
        }
        for other in ["x", "debian", ""] {
            assert_eq!(did_you_mean(other, names), "");
        }
    }
}
