//! The user's terminal while a program in a sandbox has one of its own.
//!
//! In raw mode, so that every key, `^C` included, reaches the program; restored when dropped.

use std::io::{self, stdin};
use std::os::fd::OwnedFd;

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use rustix::termios::{tcgetwinsize, tcsetwinsize};

/// The terminal on stdin, in raw mode.
pub(super) struct Raw {
    before: Termios,
}

impl Raw {
    /// Copies the user's terminal settings and size to the program's terminal, and makes the user's raw.
    pub(super) fn begin(program: &OwnedFd) -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        tcsetattr(program, SetArg::TCSANOW, &before)?;
        copy_size(program)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Copies the size of the user's terminal to the program's.
pub(super) fn copy_size(program: &OwnedFd) -> io::Result<()> {
    Ok(tcsetwinsize(program, tcgetwinsize(stdin())?)?)
}
