// SPDX-License-Identifier: GPL-2.0

//! Work on several things at a time, with results in their order.

use std::{
    collections::BTreeMap,
    num::NonZero,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// A guest and a build keep about one CPU busy each, but each wants memory as well.
const MOST: usize = 2;

/// What comes back from a worker.
pub enum News<R> {
    /// How far it is.
    Progress(String),
    /// It is done.
    Done(R),
}

/// Works on all items, as many at a time as there are CPUs, but no more than two. `hear` gets the
/// index of an item with the news of it, in the caller's thread: progress at once, results in
/// the order of the items.
pub fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T, &dyn Fn(String)) -> R + Sync,
    mut hear: impl FnMut(usize, News<R>),
) {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..workers.min(MOST).min(items.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else {
                        return;
                    };
                    // The receiver lives until all workers are gone.
                    let progress = |text| drop(sender.send((index, News::Progress(text))));
                    let result = work(item, &progress);
                    let _ = sender.send((index, News::Done(result)));
                }
            });
        }
        // The loop below ends when the last worker has dropped its own.
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut told = 0;
        for (index, news) in receiver {
            let News::Done(result) = news else {
                hear(index, news);
                continue;
            };
            waiting.insert(index, result);
            while let Some(result) = waiting.remove(&told) {
                hear(told, News::Done(result));
                told += 1;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_order_whatever_takes_longer() {
        let items = [30, 1, 20, 0, 5];
        let mut heard = Vec::new();
        let mut progress = 0;
        each(
            &items,
            |milliseconds, say| {
                say(format!("{milliseconds}"));
                thread::sleep(Duration::from_millis(*milliseconds));
                *milliseconds
            },
            |index, news| match news {
                News::Progress(text) => {
                    assert_eq!(text, items[index].to_string());
                    progress += 1;
                }
                News::Done(result) => {
                    assert_eq!(result, items[index]);
                    heard.push(index);
                }
            },
        );
        assert_eq!(heard, [0, 1, 2, 3, 4]);
        assert_eq!(progress, items.len());
    }

    #[test]
    fn nothing_to_do_is_done_at_once() {
        each(&[] as &[u8], |_, _| (), |_, _| panic!("news of nothing"));
    }
}
