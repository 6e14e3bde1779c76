// SPDX-License-Identifier: GPL-2.0

//! Stand-ins for what the module's value layer uses of the kernel crate.
//!
//! Names and meanings are the kernel's; what does not matter on the host does nothing. Whoever wants
//! to see the atomic operations installs an [`observer`](sync::atomic::observe).

/// Memory allocation.
pub mod alloc {
    /// How to allocate; the host always does it in the same way.
    #[derive(Clone, Copy, Debug)]
    pub struct Flags;

    impl std::ops::BitOr for Flags {
        type Output = Self;

        fn bitor(self, _: Self) -> Self {
            self
        }
    }

    /// All the same.
    pub mod flags {
        use super::Flags;

        pub const GFP_KERNEL: Flags = Flags;
        pub const GFP_KERNEL_ACCOUNT: Flags = Flags;
        pub const __GFP_NOWARN: Flags = Flags;
    }

    use std::{
        ops::{Deref, DerefMut},
        pin::Pin,
    };

    /// There was no memory, which does not happen here.
    #[derive(Clone, Copy, Debug)]
    pub struct AllocError;

    type Result<T = ()> = std::result::Result<T, AllocError>;

    /// A value in memory of its own.
    #[derive(Debug)]
    pub struct KBox<T>(Box<T>);

    impl<T> KBox<T> {
        pub fn pin_init(value: T, _: Flags) -> core::result::Result<Pin<Self>, crate::error::Error>
        where
            T: Unpin,
        {
            Ok(Pin::new(Self(Box::new(value))))
        }
    }

    impl<T> Deref for KBox<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    /// A vector whose growing may fail.
    #[derive(Debug)]
    pub struct KVec<T>(Vec<T>);

    impl<T> Default for KVec<T> {
        fn default() -> Self {
            Self::new()
        }
    }

    impl<T> KVec<T> {
        pub const fn new() -> Self {
            Self(Vec::new())
        }

        pub fn with_capacity(capacity: usize, _: Flags) -> Result<Self> {
            Ok(Self(Vec::with_capacity(capacity)))
        }

        pub fn from_elem(value: T, count: usize, _: Flags) -> Result<Self>
        where
            T: Clone,
        {
            Ok(Self(vec![value; count]))
        }

        pub fn push(&mut self, value: T, _: Flags) -> Result {
            self.0.push(value);
            Ok(())
        }

        pub fn push_within_capacity(&mut self, value: T) -> Result {
            match self.0.len() < self.0.capacity() {
                true => self.0.push(value),
                false => return Err(AllocError),
            }
            Ok(())
        }

        pub fn reserve(&mut self, additional: usize, _: Flags) -> Result {
            self.0.reserve(additional);
            Ok(())
        }

        pub fn capacity(&self) -> usize {
            self.0.capacity()
        }

        pub fn truncate(&mut self, len: usize) {
            self.0.truncate(len);
        }

        pub fn extend_from_slice(&mut self, more: &[T], _: Flags) -> Result
        where
            T: Clone,
        {
            self.0.extend_from_slice(more);
            Ok(())
        }

        pub fn as_slice(&self) -> &[T] {
            &self.0
        }

        pub fn remove(&mut self, index: usize) -> core::result::Result<T, crate::error::Error> {
            match index < self.0.len() {
                true => Ok(self.0.remove(index)),
                false => Err(crate::error::code::EINVAL),
            }
        }

        pub fn retain(&mut self, keep: impl FnMut(&mut T) -> bool) {
            self.0.retain_mut(keep);
        }
    }

    impl<T> Deref for KVec<T> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            &self.0
        }
    }

    impl<T> DerefMut for KVec<T> {
        fn deref_mut(&mut self) -> &mut [T] {
            &mut self.0
        }
    }
}

/// Nothing is pinned on the host.
#[macro_export]
macro_rules! pin_init {
    (Self { $($field:ident $(<- $value:expr)?),* $(,)? }) => {
        Self { $($field $(: $value)?),* }
    };
}

/// Errors are numbers.
pub mod error {
    /// A number from `errno.h`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Error(i32);

    impl From<super::alloc::AllocError> for Error {
        fn from(_: super::alloc::AllocError) -> Self {
            code::ENOMEM
        }
    }

    impl From<std::num::TryFromIntError> for Error {
        fn from(_: std::num::TryFromIntError) -> Self {
            code::EINVAL
        }
    }

    impl Error {
        pub fn to_errno(self) -> i32 {
            self.0
        }
    }

    pub type Result<T = (), E = Error> = std::result::Result<T, E>;

    /// The numbers.
    pub mod code {
        use super::Error;

        pub const EIO: Error = Error(-5);
        pub const ENOMEM: Error = Error(-12);
        pub const EINVAL: Error = Error(-22);
    }
}

/// Numbers of C headers.
pub mod bindings {
    pub const EINVAL: u32 = 22;
}

/// Numbers of requests.
pub mod ioctl {
    /// The program writes a `T`.
    #[allow(non_snake_case)]
    pub const fn _IOW<T>(kind: u32, number: u32) -> u32 {
        1 << 30 | (size_of::<T>() as u32) << 16 | kind << 8 | number
    }

    /// It reads it as well.
    #[allow(non_snake_case)]
    pub const fn _IOWR<T>(kind: u32, number: u32) -> u32 {
        2 << 30 | _IOW::<T>(kind, number)
    }

    /// The number of a call.
    #[allow(non_snake_case)]
    pub const fn _IOC_NR(cmd: u32) -> u32 {
        cmd & 0xff
    }
}

/// Pages of 4 KiB.
pub mod page {
    pub const PAGE_SHIFT: usize = 12;
    pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
}

/// Locking and atomics.
pub mod sync {
    use super::alloc::{AllocError, Flags};
    use std::ops::Deref;

    /// A reference-counted value.
    #[derive(Debug)]
    pub struct Arc<T>(std::sync::Arc<T>);

    impl<T> Clone for Arc<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T> Deref for Arc<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> Arc<T> {
        pub fn new(value: T, _: Flags) -> Result<Self, AllocError> {
            Ok(Self(std::sync::Arc::new(value)))
        }

        pub fn ptr_eq(one: &Self, other: &Self) -> bool {
            std::sync::Arc::ptr_eq(&one.0, &other.0)
        }

        pub fn into_unique_or_drop(this: Self) -> Option<T> {
            std::sync::Arc::into_inner(this.0)
        }
    }

    /// Atomic values, whose accesses can be observed.
    pub mod atomic {
        use std::cell::Cell;

        #[derive(Clone, Copy, Debug)]
        pub struct Acquire;
        #[derive(Clone, Copy, Debug)]
        pub struct Full;
        #[derive(Clone, Copy, Debug)]
        pub struct Relaxed;
        #[derive(Clone, Copy, Debug)]
        pub struct Release;

        /// What is done to an atomic, or between accesses to it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Operation {
            Load,
            Store(bool),
            /// A full barrier.
            Barrier,
        }

        /// Decides what an operation returns.
        pub type Observer = fn(Operation) -> bool;

        thread_local! {
            static OBSERVER: Cell<Option<Observer>> = const { Cell::new(None) };
        }

        /// From now on, `observer` stands for all atomics of this thread; without one, each is a
        /// plain value.
        pub fn observe(observer: Option<Observer>) {
            OBSERVER.set(observer);
        }

        pub(super) fn barrier() {
            if let Some(observer) = OBSERVER.get() {
                observer(Operation::Barrier);
            }
        }

        pub struct Atomic<T>(Cell<T>);

        /// An observer hears of it as of a flag.
        impl Atomic<u32> {
            pub const fn new(value: u32) -> Self {
                Self(Cell::new(value))
            }

            pub fn load<O>(&self, _: O) -> u32 {
                match OBSERVER.get() {
                    Some(observer) => u32::from(observer(Operation::Load)),
                    None => self.0.get(),
                }
            }

            pub fn store<O>(&self, value: u32, _: O) {
                match OBSERVER.get() {
                    Some(observer) => {
                        observer(Operation::Store(value != 0));
                    }
                    None => self.0.set(value),
                }
            }
        }
    }

    /// Memory barriers.
    pub mod barrier {
        pub fn smp_mb<O>(_: O) {
            super::atomic::barrier();
        }
    }
}

/// What every file imports.
pub mod prelude {
    pub use super::{
        alloc::{flags::*, KBox, KVec, KVec as KVVec},
        error::{code::*, Error, Result},
        pin_init,
    };
    pub use macros::{kunit_tests, pin_data};
    pub use std::pin::Pin;
}
