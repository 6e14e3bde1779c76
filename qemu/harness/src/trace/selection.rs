// SPDX-License-Identifier: GPL-2.0

//! What of a long trace a picture has room for.

use std::cmp::Reverse;

use super::{
    buffer::Buffer,
    history::History,
    lane::{Lane, Who},
};

/// As many buffers and lanes as a reader can look at.
const BUFFERS: usize = 4;
const LANES: usize = 12;

/// The buffers and lanes in which most has happened. Those in which something is wrong come first.
pub struct Selection<'a> {
    /// In the order of the trace, and of each the threads before the devices.
    pub buffers: Vec<(&'a Buffer, Vec<&'a Lane>)>,
    /// From when to when something happened to them.
    pub from: u64,
    pub to: u64,
    /// What there is no room for, if anything.
    pub left_out: Option<String>,
}

impl<'a> Selection<'a> {
    /// The most important of all.
    pub fn of(history: &'a History) -> Self {
        let rank = |wrong: bool, events: usize| Reverse((wrong, events));
        let mut buffers: Vec<(usize, &Buffer)> = history.buffers.iter().enumerate().collect();
        buffers.sort_by_key(|(_, buffer)| rank(buffer.is_wrong(), buffer.events));
        buffers.truncate(BUFFERS);
        buffers.sort_by_key(|(index, _)| *index);

        let of_buffer = |(place, (_, buffer)): (usize, &(usize, &'a Buffer))| {
            let lanes = buffer.lanes.iter().enumerate();
            lanes
                .map(move |(index, lane)| (place, index, lane))
                .collect::<Vec<_>>()
        };
        let mut lanes: Vec<_> = buffers.iter().enumerate().flat_map(of_buffer).collect();
        let all = lanes.len();
        lanes.sort_by_key(|(_, _, lane)| rank(lane.is_wrong(), lane.events));
        lanes.truncate(LANES);
        let is_device = |lane: &Lane| matches!(lane.who, Who::Device(_));
        lanes.sort_by_key(|(place, index, lane)| (*place, is_device(lane), *index));

        let left_out = left_out(
            (history.buffers.len() - buffers.len(), history.buffers.len()),
            (all - lanes.len(), all),
        );
        let from = buffers.iter().map(|(_, buffer)| buffer.from).min();
        // What nobody ended lasts as long as the trace.
        let ends = |(_, buffer): &(usize, &Buffer)| match buffer.is_wrong() {
            true => buffer.released.unwrap_or(history.end),
            false => buffer.to,
        };
        let to = buffers.iter().map(ends).max();
        let chosen = buffers.iter().enumerate().map(|(place, (_, buffer))| {
            let own = lanes.iter().filter(|(of, _, _)| *of == place);
            (*buffer, own.map(|(_, _, lane)| *lane).collect())
        });
        Selection {
            buffers: chosen.collect(),
            from: from.unwrap_or(history.begin),
            to: to.unwrap_or(history.end),
            left_out,
        }
    }
}

/// How many of how many buffers and lanes are left out.
fn left_out(buffers: (usize, usize), lanes: (usize, usize)) -> Option<String> {
    let of_buffers = format!("{} of {} buffers", buffers.0, buffers.1);
    let of_lanes = format!("{} of {} threads and devices", lanes.0, lanes.1);
    let what = match (buffers.0, lanes.0) {
        (0, 0) => return None,
        (_, 0) => of_buffers,
        (0, _) => of_lanes,
        _ => format!("{of_buffers}, and of the others' {of_lanes}"),
    };
    Some(format!(
        "Not shown: {what}, in which least happened and nothing worse than here."
    ))
}

#[cfg(test)]
mod tests {
    use super::{super::tests, *};

    #[test]
    fn what_there_is_room_for_is_all_there() {
        let history = tests::two_threads_and_two_devices();
        let selection = Selection::of(&history);
        let lanes = selection.buffers.iter().map(|(_, lanes)| lanes.len());
        assert_eq!(lanes.collect::<Vec<_>>(), [4, 4]);
        assert_eq!(selection.left_out, None);
        assert_eq!((selection.from, selection.to), (history.begin, history.end));
    }

    #[test]
    fn the_busiest_are_shown_and_the_others_counted() {
        let history = tests::many(6, 5, 3);
        let selection = Selection::of(&history);
        let inos: Vec<_> = selection.buffers.iter().map(|(one, _)| one.ino).collect();
        assert_eq!(inos, [2, 3, 4, 5]);
        let lanes = selection.buffers.iter().map(|(_, lanes)| lanes.len());
        assert_eq!(lanes.sum::<usize>(), LANES);
        let left_out = selection.left_out.unwrap();
        assert!(
            left_out.contains("2 of 6 buffers, and of the others' 8 of 20 threads and devices"),
            "{left_out}"
        );
    }

    #[test]
    fn the_time_is_that_of_what_is_shown() {
        let release = |ino| format!("release: ino={ino}");
        let lines: Vec<_> = (0..6).map(|ino| (100 + ino * 100, release(ino))).collect();
        let fault = "fault: ino=3 page=0 first=0 pages=1 order=0";
        let mut lines: Vec<_> = lines
            .iter()
            .map(|(at, line)| ("a-1", *at, line.as_str()))
            .collect();
        lines.insert(
            0,
            ("a-1", 90, "fault: ino=1 page=0 first=0 pages=1 order=0"),
        );
        lines.insert(0, ("a-1", 80, fault));
        let history = tests::history(&lines);
        let selection = Selection::of(&history);
        // The last two are as busy as the others, but later.
        assert_eq!((selection.from, selection.to), (80_000, 400_000));
        assert_eq!((history.begin, history.end), (80_000, 600_000));
    }

    #[test]
    fn a_mistake_is_shown_even_if_little_happened_there() {
        let mut history = tests::many(6, 5, 3);
        history.buffers.extend(tests::wrong().buffers);
        let selection = Selection::of(&history);
        let wrong = selection.buffers.iter().filter(|(one, _)| one.is_wrong());
        assert_eq!(wrong.count(), 2);
        let lanes = selection.buffers.iter().flat_map(|(_, lanes)| lanes);
        assert_eq!(lanes.filter(|lane| lane.is_wrong()).count(), 3);
    }
}
