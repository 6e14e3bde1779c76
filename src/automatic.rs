// SPDX-License-Identifier: GPL-2.0

//! A buffer that hands itself over: nobody brackets.
//!
//! While a device is mapped that needs hand-overs, user mappings have entries only of pages that are the
//! CPU's: the first touch of another is a fault, which brings home what devices wrote there. A device is
//! given the pages when it is mapped, and when it says that it begins an access. Then all entries go,
//! and nobody touches anything before it has what was written.
//!
//! # Rules
//!
//! 1. Entries are made, and taken away, with the mutex here held, and so are the hand-overs that go with
//!    it. An entry that is there was made after the last time that a device was given the pages.
//! 2. What has an entry is noted, and perhaps more. Where one device alone has the buffer mapped, an
//!    access of it takes no more than that: nothing else was touched by way of the buffer, and whoever
//!    touches something else later has a fault first. Where there are several, each is to see
//!    what the others wrote, and all of the buffer is handed over; who is left alone has got that when
//!    the others were unmapped. What is noted stays so until it has been handed over: a mapping can
//!    fail. Where a page is in the buffer more than once, all of the buffer is handed over each time,
//!    and at each fault as well.
//! 3. Mapping and unmapping hand over all of the buffer, as ever: the memfd has mappings of its own,
//!    which nobody hears of. Explicit brackets do what they always do.
//!
//! A device that keeps its mapping and says nothing needs END as ever: entries stay, so nobody hears of
//! what is written.
//!
//! # Locking
//!
//! Lock of the mappings, or reservation lock, then the mutex here, then that of the attachments, then what
//! changes page tables.

use crate::{
    ffi::{
        mutex::{
            new_mutex,
            Guard,
            Mutex, //
        },
        vma::UserMappings, //
    },
    span::Span,
    touched::Touched, //
};
use core::ops::Range;
use kernel::prelude::*;

/// What an automatic buffer has besides the others.
#[pin_data]
pub(crate) struct Automatic {
    /// A page is in the buffer more than once: what is touched in one place has to be brought home, and
    /// given, in all.
    repeats: bool,
    #[pin]
    touched: Mutex<Touched>,
}

impl Automatic {
    /// Of a buffer of `pages` pages, some of which are in it more than once, or not.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(pages: usize, repeats: bool) -> Result<Pin<KBox<Self>>> {
        let touched = Touched::new(pages)?;
        let automatic = pin_init!(Self {
            repeats,
            touched <- new_mutex!(c"udmabuf automatic", touched),
        });
        KBox::pin_init(automatic, GFP_KERNEL_ACCOUNT)
    }

    /// Whether a page is in the buffer more than once.
    pub(crate) fn repeats(&self) -> bool {
        self.repeats
    }

    /// Nobody makes or loses an entry while this is held.
    ///
    /// # Errors
    ///
    /// `EINTR` if the process is being killed.
    pub(crate) fn hold(&self) -> Result<Entries<'_>> {
        Ok(Entries(self.touched.lock_killable()?))
    }
}

/// The entries that user mappings of an automatic buffer have.
pub(crate) struct Entries<'a>(Guard<'a, Touched>);

impl Entries<'_> {
    /// `pages` are at home, and about to get entries.
    pub(crate) fn note(&mut self, pages: &Range<usize>) {
        self.0.add(pages);
    }

    /// All go, whatever was noted.
    pub(crate) fn forget_all(&self, users: UserMappings<'_>) {
        users.forget_all();
    }

    /// There are none, and what was noted has been handed over.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Those that are noted go; `hand_over` is called for each piece of `whole` that they are.
    pub(crate) fn give(
        &mut self,
        whole: Span,
        users: UserMappings<'_>,
        mut hand_over: impl FnMut(Span),
    ) {
        // In one go: it looks at every mapping, of which there may be very many.
        if let Some(pages) = self.0.hull() {
            users.forget(Span::of_pages(&pages));
        }
        self.noted(whole).for_each(&mut hand_over);
        self.0.clear();
    }

    /// The pieces of `whole` that are noted.
    pub(crate) fn noted(&self, whole: Span) -> impl Iterator<Item = Span> + '_ {
        let all = self.0.ranges();
        all.map(move |pages| Span::of_pages(&pages).within(whole))
    }
}
