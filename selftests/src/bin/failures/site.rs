// SPDX-License-Identifier: GPL-2.0

//! One site that fails. The kernel counts the allocations of a thread and its copies from and to
//! user space, and fails the one whose number was written to `fail-nth`.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use selftests::Errno;
use selftests::Outcome;
use selftests::outcome::fail;

/// What a request says when memory is short, or a copy fails.
pub const SHORT: &[Errno] = &[Errno::NOMEM, Errno::FAULT];

/// The site whose turn it is.
pub struct Site {
    number: File,
    /// How many are left until it.
    left: Cell<usize>,
    reached: Cell<bool>,
}

impl Site {
    /// None yet: nothing fails. `number` is what the kernel counts down.
    pub fn none(number: File) -> Site {
        Site {
            number,
            left: Cell::new(0),
            reached: Cell::new(true),
        }
    }

    /// The next failure is that of the site with this number, from 1.
    pub fn aim(&self, number: usize) {
        self.left.set(number);
        self.reached.set(false);
    }

    /// Whether it has failed.
    pub fn is_reached(&self) -> bool {
        self.reached.get()
    }

    /// How many more there would have to be until it fails.
    pub fn left(&self) -> usize {
        self.left.get()
    }

    /// Does something, in which the site may be. `None` if it failed for that, as it may: with one
    /// of `errors`.
    pub fn within<T>(
        &self,
        what: &str,
        errors: &[Errno],
        body: impl FnOnce() -> Result<T, Errno>,
    ) -> Outcome<Option<T>> {
        if self.reached.get() {
            return Ok(Some(body()?));
        }
        let left = self.left.get().to_string();
        self.number.write_all_at(left.as_bytes(), 0)?;
        let result = body();
        self.look()?;
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if !self.reached.get() => {
                fail(format_args!("{what}: {error}, though nothing failed"))
            }
            Err(error) if errors.contains(&error) => Ok(None),
            Err(error) => fail(format_args!("{what}: {error}")),
        }
    }

    /// As [`within`](Self::within), for what is done again if it failed, and has to work then.
    pub fn at_last<T>(&self, what: &str, mut body: impl FnMut() -> Result<T, Errno>) -> Outcome<T> {
        match self.within(what, SHORT, &mut body)? {
            Some(value) => Ok(value),
            None => Ok(body()?),
        }
    }

    /// Whether it was reached, and how many are left if not. From here on nothing fails.
    fn look(&self) -> io::Result<()> {
        let mut text = [0; 16];
        // Reading is a copy, and so is writing: the last one that is left may be that.
        let left = match self.number.read_at(&mut text, 0) {
            Ok(length) => String::from_utf8_lossy(&text[..length])
                .trim()
                .parse()
                .map_err(|_| io::Error::from(ErrorKind::InvalidData))?,
            Err(error) if is_fault(&error) => 1,
            Err(error) => return Err(error),
        };
        match self.number.write_all_at(b"0", 0) {
            Err(error) if !is_fault(&error) => return Err(error),
            _ => {}
        }
        self.left.set(left);
        self.reached.set(left == 0);
        Ok(())
    }
}

/// Whether a copy has failed.
fn is_fault(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::FAULT.raw_os_error())
}
