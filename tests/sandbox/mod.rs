//! The suite: a small harness, a room for each test, and the tests by what they ask.

mod attacks;
mod break_out;
mod ends;
mod inside;
mod network;
mod room;
mod talk;

use std::panic::{AssertUnwindSafe, catch_unwind};

use room::Room;

/// A test: its name, and what it does in a room of its own.
type Test = (&'static str, fn(&Room));

/// Runs the tests whose names contain the first word that is no option, one after another.
pub(crate) fn main(words: &[String]) -> ! {
    break_out::attack_if_asked(words);
    let all: Vec<Test> = [
        inside::TESTS,
        talk::TESTS,
        ends::TESTS,
        network::TESTS,
        attacks::TESTS,
        break_out::TESTS,
    ]
    .concat();
    let filter = words.iter().find(|word| !word.starts_with('-'));
    let tests: Vec<Test> = all
        .iter()
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str())))
        .copied()
        .collect();
    if words.iter().any(|word| word == "--list") {
        for (name, _) in &tests {
            println!("{name}: test");
        }
        std::process::exit(0);
    }
    println!("\nrunning {} tests", tests.len());
    let missing = room::missing();
    if missing.is_none() {
        room::seclude();
        network::make_one();
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in &tests {
        let attempt = || test(&Room::new());
        if missing.is_none() && catch_unwind(AssertUnwindSafe(attempt)).is_ok() {
            println!("test {name} ... ok");
            passed += 1;
        } else {
            println!("test {name} ... FAILED");
            failed += 1;
        }
    }
    if missing.is_none() {
        room::leave();
    }
    if let Some(missing) = missing
        && failed > 0
    {
        // None is left out: a test that did not run must not look like one that passed.
        println!("\nfailures:\n    no test of the sandbox could run: {missing}");
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out\n",
        all.len() - tests.len()
    );
    std::process::exit(i32::from(failed != 0));
}
