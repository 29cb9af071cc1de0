//! The suite: a small harness, a room for each test, and the tests by what they ask.

mod attacks;
mod ends;
mod inside;
mod room;
mod talk;

use std::panic::{AssertUnwindSafe, catch_unwind};

use room::Room;

/// A test: its name, and what it does in a room of its own.
type Test = (&'static str, fn(&Room));

/// Runs the tests whose names contain the first word that is no option, one after another.
pub(crate) fn main(words: &[String]) -> ! {
    let all: Vec<Test> = [inside::TESTS, talk::TESTS, ends::TESTS, attacks::TESTS].concat();
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
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, test) in &tests {
        let room = match Room::new() {
            Ok(room) => room,
            Err(missing) => {
                println!("test {name} ... ignored, {missing}");
                ignored += 1;
                continue;
            }
        };
        if catch_unwind(AssertUnwindSafe(|| test(&room))).is_ok() {
            println!("test {name} ... ok");
            passed += 1;
        } else {
            println!("test {name} ... FAILED");
            failed += 1;
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; {} filtered out\n",
        all.len() - tests.len()
    );
    std::process::exit(i32::from(failed != 0));
}
