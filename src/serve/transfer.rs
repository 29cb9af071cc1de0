//! One transfer, block by block: what to send next when an acknowledgement arrives, or does not.
//!
//! Pure: it knows numbers of blocks, and neither their bytes nor a clock. Promises that what a client sends
//! makes it send at most one window again for each block acknowledged, and that it ends. Not for sockets.

use std::ops::RangeInclusive;

use super::packet::{BLOCK, Options};

/// How often the same is sent again before the client is given up.
const TRIES: u32 = 6;

/// Where a transfer stands.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    size: u64,
    block: u64,
    window: u64,
    /// The options granted, until the client has acknowledged them.
    greeting: Option<Vec<u8>>,
    /// Blocks are counted from 1: so many are acknowledged.
    acknowledged: u64,
    /// The last that was sent.
    sent: u64,
    /// How often what is out now was sent again because nothing came.
    tries: u32,
    /// Whether what is out now was sent again because the client asked for it.
    again: bool,
    /// Whether the client answered at all: only then is it one that there is.
    heard: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: wait.
    Wait,
    /// Send the options granted.
    Greet,
    /// Send these blocks.
    Send(RangeInclusive<u64>),
    /// It is over; the client has the whole file, or has not.
    End {
        /// Whether it has.
        whole: bool,
    },
}

impl Transfer {
    /// Begins one; the step to do first comes with it.
    pub(super) fn begin(size: u64, options: &Options) -> (Self, Step) {
        let mut transfer = Self {
            size,
            block: options.block.unwrap_or(BLOCK).into(),
            window: options.window.unwrap_or(1).max(1).into(),
            greeting: options.acknowledged(size),
            acknowledged: 0,
            sent: 0,
            tries: 0,
            again: false,
            heard: false,
        };
        let step = match transfer.greeting {
            Some(_) => Step::Greet,
            None => transfer.next_window(),
        };
        (transfer, step)
    }

    /// Returns the options granted, to be sent on [`Step::Greet`].
    pub(super) fn greeting(&self) -> &[u8] {
        self.greeting.as_deref().unwrap_or_default()
    }

    /// Returns where a block's bytes stand in the file, and how many there are.
    pub(super) fn place(&self, block: u64) -> (u64, usize) {
        let from = block.saturating_sub(1).saturating_mul(self.block);
        let length = self.block.min(self.size.saturating_sub(from));
        (from, usize::try_from(length).unwrap_or(0))
    }

    /// Returns whether the client has answered.
    pub(super) fn is_heard(&self) -> bool {
        self.heard
    }

    /// Returns how often what is out now was sent again because nothing came.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    /// The last block, which is shorter than the others and may be empty.
    fn last(&self) -> u64 {
        self.size / self.block + 1
    }

    fn next_window(&mut self) -> Step {
        let first = self.acknowledged + 1;
        self.sent = self.last().min(self.acknowledged + self.window);
        Step::Send(first..=self.sent)
    }

    /// The client acknowledges a block.
    pub(super) fn acknowledge(&mut self, number: u16) -> Step {
        if self.greeting.is_some() {
            if number != 0 {
                return Step::Wait;
            }
            self.greeting = None;
            self.progress();
            return self.next_window();
        }
        // Numbers begin anew after 65535; what is out is far less than that.
        let more = u64::from(number.wrapping_sub((self.acknowledged & 0xffff) as u16));
        if more > self.sent - self.acknowledged {
            return Step::Wait;
        }
        if more == 0 {
            // One block at a time, a second acknowledgement is an echo: answered, each would be doubled for ever
            // (RFC 1123, 4.2.3.1). With a window it says that the next one was lost (RFC 7440, 4).
            if self.window == 1 || self.again || self.sent == self.acknowledged {
                return Step::Wait;
            }
            self.again = true;
            self.heard = true;
            return self.next_window();
        }
        self.acknowledged += more;
        self.progress();
        if self.acknowledged == self.last() {
            return Step::End { whole: true };
        }
        self.next_window()
    }

    fn progress(&mut self) {
        self.tries = 0;
        self.again = false;
        self.heard = true;
    }

    /// Nothing came in time.
    pub(super) fn time_out(&mut self) -> Step {
        self.tries += 1;
        if self.tries > TRIES {
            return self.lost();
        }
        match self.greeting {
            Some(_) => Step::Greet,
            None => self.next_window(),
        }
    }

    /// The client's port is closed, or it has been given up.
    ///
    /// With everything but the last block acknowledged it has the file: some never acknowledge that.
    pub(super) fn lost(&self) -> Step {
        let all_sent = self.greeting.is_none() && self.sent == self.last();
        Step::End {
            whole: self.heard && all_sent && self.acknowledged + 1 >= self.last(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONE: Options = Options {
        block: None,
        window: None,
        timeout: None,
        size: false,
    };

    #[test]
    fn one_block_at_a_time_without_options() {
        let (mut it, step) = Transfer::begin(1024, &NONE);
        assert_eq!(step, Step::Send(1..=1));
        assert_eq!(it.acknowledge(1), Step::Send(2..=2));
        assert_eq!(it.acknowledge(1), Step::Wait);
        assert_eq!(it.time_out(), Step::Send(2..=2));
        // It ends with an empty block.
        assert_eq!(it.acknowledge(2), Step::Send(3..=3));
        assert_eq!(it.place(3), (1024, 0));
        assert_eq!(it.acknowledge(3), Step::End { whole: true });
    }

    #[test]
    fn options_are_acknowledged_first() {
        let options = Options {
            block: Some(1468),
            window: Some(4),
            ..NONE
        };
        let (mut it, step) = Transfer::begin(10_000, &options);
        assert_eq!(step, Step::Greet);
        assert_eq!(it.acknowledge(1), Step::Wait);
        assert_eq!(it.time_out(), Step::Greet);
        assert_eq!(it.acknowledge(0), Step::Send(1..=4));
        // The third of the window was lost, then all of the next.
        assert_eq!(it.acknowledge(2), Step::Send(3..=6));
        assert_eq!(it.acknowledge(2), Step::Send(3..=6));
        assert_eq!(it.acknowledge(2), Step::Wait);
        assert_eq!(it.acknowledge(6), Step::Send(7..=7));
        assert_eq!(it.acknowledge(9), Step::Wait);
        assert_eq!(it.acknowledge(7), Step::End { whole: true });
    }

    #[test]
    fn a_client_that_says_nothing_is_given_up_and_has_nothing() {
        let (mut it, _) = Transfer::begin(1, &NONE);
        let ends: Vec<_> = (0..=TRIES).map(|_| it.time_out()).collect();
        assert_eq!(ends.last(), Some(&Step::End { whole: false }));
        assert!(
            ends[..ends.len() - 1]
                .iter()
                .all(|s| *s == Step::Send(1..=1))
        );
    }

    #[test]
    fn a_client_that_does_not_acknowledge_the_last_block_has_the_file() {
        let (mut it, _) = Transfer::begin(513, &NONE);
        assert_eq!(it.lost(), Step::End { whole: false });
        it.acknowledge(1);
        assert_eq!(it.lost(), Step::End { whole: true });
    }

    #[test]
    fn block_numbers_begin_anew() {
        let blocks = 200_000_u64;
        let (mut it, mut step) = Transfer::begin(blocks * 512 - 1, &NONE);
        for block in 1..=blocks {
            assert_eq!(step, Step::Send(block..=block));
            step = it.acknowledge((block & 0xffff) as u16);
        }
        assert_eq!(step, Step::End { whole: true });
    }

    proptest! {
        /// Over a wire that loses, doubles and reorders, the client gets exactly the file, and it ends.
        #[test]
        fn the_file_arrives(size in 0_u64..40_000, block in 8_u16..2000, window in 1_u16..40, options in any::<bool>(),
                seed in any::<u64>()) {
            let options = match options {
                true => Options { block: Some(block), window: Some(window), ..NONE },
                false => NONE,
            };
            let (mut it, mut step) = Transfer::begin(size, &options);
            // One of thirty is lost.
            let mut state = seed;
            let mut lost = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33).is_multiple_of(30)
            };
            let (mut have, mut got) = (0_u64, 0_u64);
            for _ in 0..2_000_000 {
                let mut answers: Vec<u16> = Vec::new();
                match &step {
                    Step::End { whole } => {
                        prop_assert!(*whole);
                        prop_assert_eq!(got, size);
                        return Ok(());
                    }
                    Step::Greet => if !lost() { answers.push(0) },
                    Step::Send(blocks) => {
                        for b in blocks.clone() {
                            if lost() { continue; }
                            let (from, length) = it.place(b);
                            if b == have + 1 {
                                prop_assert_eq!(from, got);
                                got += length as u64;
                                have = b;
                            }
                        }
                        if !lost() { answers.push((have & 0xffff) as u16); answers.push((have & 0xffff) as u16); }
                    }
                    Step::Wait => {}
                }
                step = Step::Wait;
                for a in answers {
                    let next = it.acknowledge(a);
                    if next != Step::Wait { step = next; break; }
                }
                if step == Step::Wait { step = it.time_out(); }
            }
            prop_assert!(false, "it does not end");
        }

        /// Whatever a client says, nothing is sent beyond the file, nor more than a window at once.
        #[test]
        fn any_answers_are_taken(size in 0_u64..u64::MAX / 2, block in 8_u16..65465, window in 1_u16..40,
                                 said in proptest::collection::vec(any::<Option<u16>>(), 0..400)) {
            let options = Options { block: Some(block), window: Some(window), ..NONE };
            let (mut it, _) = Transfer::begin(size, &options);
            for number in said {
                let step = match number {
                    Some(number) => it.acknowledge(number),
                    None => it.time_out(),
                };
                if let Step::Send(blocks) = step {
                    let last = *blocks.end();
                    prop_assert!(last - blocks.start() < u64::from(window));
                    let (from, length) = it.place(last);
                    prop_assert!(from + length as u64 <= size && length <= usize::from(block));
                }
            }
        }
    }
}
