// SPDX-License-Identifier: GPL-2.0

//! Stand-ins for what the module's value layer takes from its `ffi`.

pub mod atomic {
    use kernel::sync::atomic::{Atomic, Relaxed};

    /// Observed, as every access to an atomic is.
    pub fn load_relaxed(atomic: &Atomic<u32>) -> u32 {
        atomic.load(Relaxed)
    }
}

pub mod compat {
    use kernel::sync::{atomic::Full, barrier};

    pub fn smp_mb() {
        barrier::smp_mb(Full);
    }
}

pub mod memory {
    pub type Array<T> = kernel::prelude::KVVec<T>;
}

pub mod sort {
    pub fn sort<T: Ord>(slice: &mut [T]) {
        slice.sort_unstable();
    }
}

/// The mutex of an automatic buffer, which is the only one that is taken in files compiled here.
pub mod mutex {
    use std::{
        cell::{RefCell, RefMut},
        ops::{Deref, DerefMut},
    };

    use kernel::prelude::*;

    use crate::{run::access, world::Step};

    macro_rules! new_mutex {
        ($name:literal, $data:expr) => {
            $crate::ffi::mutex::Mutex::new($data)
        };
    }
    pub(crate) use new_mutex;

    pub struct Mutex<T>(RefCell<T>);

    impl<T> Mutex<T> {
        pub fn new(data: T) -> Self {
            Self(RefCell::new(data))
        }

        /// Nobody is killed here.
        pub fn lock_killable(&self) -> Result<Guard<'_, T>> {
            access(Step::Hold);
            Ok(Guard(self.0.borrow_mut()))
        }
    }

    pub struct Guard<'a, T>(RefMut<'a, T>);

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.0
        }
    }

    impl<T> Drop for Guard<'_, T> {
        fn drop(&mut self) {
            access(Step::Release);
        }
    }
}

/// The user mappings of the one buffer that there is.
pub mod vma {
    use std::marker::PhantomData;

    use crate::{
        run::{access, words_of, WHOLE},
        span::Span,
        world::Step,
    };

    #[derive(Clone, Copy, Default)]
    pub struct UserMappings<'a>(PhantomData<&'a ()>);

    impl UserMappings<'_> {
        /// One by one, in all mappings.
        pub(crate) fn forget(self, span: Span) {
            for word in words_of(span) {
                access(Step::Forget(word));
            }
        }

        pub(crate) fn forget_all(self) {
            self.forget(WHOLE);
        }
    }
}
