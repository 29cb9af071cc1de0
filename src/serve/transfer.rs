//! The state of one transfer: what to send after an acknowledgement or a timeout.
//!
//! Pure: block numbers only, without bytes or clock. Each acknowledged block causes at most one window to be sent
//! again, and every transfer ends.

use std::ops::RangeInclusive;

use super::packet::{BLOCK, Options};

/// How many times blocks are sent again before the transfer is given up.
const RETRIES: u32 = 6;

/// The state of a transfer.
#[derive(Debug, Clone, Default)]
pub(super) struct Transfer {
    size: u64,
    block: u64,
    window: u64,
    /// The acknowledgement of options, until the client confirms it.
    options_packet: Option<Vec<u8>>,
    /// Number of blocks acknowledged; the first is 1.
    acknowledged: u64,
    /// The last block sent.
    sent: u64,
    /// How many times the current blocks were sent again after a timeout.
    retries: u32,
    /// Whether the current blocks were sent again on the client's request.
    is_resent: bool,
    /// Whether the client has answered at all, and so exists.
    has_answered: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait.
    Wait,
    /// Send the acknowledgement of options.
    SendOptions,
    /// Send these blocks.
    Send(RangeInclusive<u64>),
    /// The transfer has ended.
    End {
        /// Whether the client received the whole file.
        whole: bool,
    },
}

impl Transfer {
    /// Starts a transfer; returns the first step too.
    pub(super) fn begin(size: u64, options: &Options) -> (Self, Step) {
        let mut transfer = Self {
            size,
            block: options.block.unwrap_or(BLOCK).into(),
            window: options.window.unwrap_or(1).max(1).into(),
            options_packet: options.acknowledged(size),
            ..Self::default()
        };
        let step = match transfer.options_packet {
            Some(_) => Step::SendOptions,
            None => transfer.next_window(),
        };
        (transfer, step)
    }

    /// Returns the packet for [`Step::SendOptions`].
    pub(super) fn options_packet(&self) -> &[u8] {
        self.options_packet.as_deref().unwrap_or_default()
    }

    /// Returns a block's offset in the file and its length.
    pub(super) fn range(&self, block: u64) -> (u64, usize) {
        let from = block.saturating_sub(1).saturating_mul(self.block);
        let length = self.block.min(self.size.saturating_sub(from));
        (from, usize::try_from(length).unwrap_or(0))
    }

    /// Returns whether the client has answered.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Returns how many times the current blocks were sent again after a timeout.
    pub(super) fn retries(&self) -> u32 {
        self.retries
    }

    /// Returns the last block, which is shorter than the others and may be empty.
    fn last(&self) -> u64 {
        self.size / self.block + 1
    }

    fn next_window(&mut self) -> Step {
        let first = self.acknowledged + 1;
        self.sent = self.last().min(self.acknowledged + self.window);
        Step::Send(first..=self.sent)
    }

    /// Handles an acknowledgement.
    pub(super) fn acknowledge(&mut self, number: u16) -> Step {
        if self.options_packet.is_some() {
            if number != 0 {
                return Step::Wait;
            }
            self.options_packet = None;
            self.progress();
            return self.next_window();
        }
        // Numbers wrap around after 65535; the window is far smaller.
        let more = u64::from(number.wrapping_sub((self.acknowledged & 0xffff) as u16));
        if more > self.sent - self.acknowledged {
            return Step::Wait;
        }
        if more == 0 {
            // With a window of one, a duplicate acknowledgement is ignored: answered, every packet would be doubled
            // for ever (RFC 1123, 4.2.3.1). With a larger window it reports a lost block (RFC 7440, 4).
            if self.window == 1 || self.is_resent || self.sent == self.acknowledged {
                return Step::Wait;
            }
            self.is_resent = true;
            self.has_answered = true;
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
        self.retries = 0;
        self.is_resent = false;
        self.has_answered = true;
    }

    /// Handles a timeout.
    pub(super) fn time_out(&mut self) -> Step {
        self.retries += 1;
        if self.retries > RETRIES {
            return self.lost();
        }
        match self.options_packet {
            Some(_) => Step::SendOptions,
            None => self.next_window(),
        }
    }

    /// Ends the transfer, after an error or too many timeouts.
    ///
    /// If only the last block is not acknowledged, the client has the file: some never acknowledge that.
    pub(super) fn lost(&self) -> Step {
        let all_sent = self.options_packet.is_none() && self.sent == self.last();
        Step::End {
            whole: self.has_answered && all_sent && self.acknowledged + 1 >= self.last(),
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
        assert_eq!(it.range(3), (1024, 0));
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
        assert_eq!(step, Step::SendOptions);
        assert_eq!(it.acknowledge(1), Step::Wait);
        assert_eq!(it.time_out(), Step::SendOptions);
        assert_eq!(it.acknowledge(0), Step::Send(1..=4));
        // The third block of the window is lost, then all of the next window.
        assert_eq!(it.acknowledge(2), Step::Send(3..=6));
        assert_eq!(it.acknowledge(2), Step::Send(3..=6));
        assert_eq!(it.acknowledge(2), Step::Wait);
        assert_eq!(it.acknowledge(6), Step::Send(7..=7));
        assert_eq!(it.acknowledge(9), Step::Wait);
        assert_eq!(it.acknowledge(7), Step::End { whole: true });
    }

    #[test]
    fn a_client_that_never_answers_is_given_up() {
        let (mut it, _) = Transfer::begin(1, &NONE);
        let ends: Vec<_> = (0..=RETRIES).map(|_| it.time_out()).collect();
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
    fn block_numbers_wrap_around() {
        let blocks = 200_000_u64;
        let (mut it, mut step) = Transfer::begin(blocks * 512 - 1, &NONE);
        for block in 1..=blocks {
            assert_eq!(step, Step::Send(block..=block));
            step = it.acknowledge((block & 0xffff) as u16);
        }
        assert_eq!(step, Step::End { whole: true });
    }

    proptest! {
        /// With lost, duplicated and reordered packets, the client receives exactly the file, and the transfer ends.
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
                    Step::SendOptions => if !lost() { answers.push(0) },
                    Step::Send(blocks) => {
                        for b in blocks.clone() {
                            if lost() { continue; }
                            let (from, length) = it.range(b);
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

        /// Whatever a client sends, no block beyond the file is sent, and at most a window at once.
        #[test]
        fn any_answers_are_handled(size in 0_u64..u64::MAX / 2, block in 8_u16..65465, window in 1_u16..40,
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
                    let (from, length) = it.range(last);
                    prop_assert!(from + length as u64 <= size && length <= usize::from(block));
                }
            }
        }
    }
}
