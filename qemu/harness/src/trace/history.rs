// SPDX-License-Identifier: GPL-2.0

//! What happened to all buffers.

use std::collections::HashMap;

use protocol::trace::Event;

use super::{
    bracket::Fault,
    buffer::Buffer,
    call::began,
    recording::{Lost, Recording},
};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The buffers, in the order of their first events.
    pub buffers: Vec<Buffer>,
    /// When the first thing began.
    pub begin: u64,
    /// When the last thing was over.
    pub end: u64,
    /// What is not known.
    pub lost: Lost,
}

impl History {
    /// What a recording tells.
    pub fn of(recording: &Recording) -> Self {
        let mut events: Vec<&Event> = recording.events.iter().collect();
        // Whoever put the traces of several CPUs together may not have sorted them.
        events.sort_by_key(|event| event.nanoseconds);
        let begin = events.iter().map(|event| began(event)).min().unwrap_or(0);
        let end = events.last().map_or(begin, |event| event.nanoseconds);
        let mut buffers: Vec<Buffer> = Vec::new();
        let mut current = HashMap::new();
        for event in events {
            let Some(ino) = event.number("ino").and_then(|ino| u64::try_from(ino).ok()) else {
                continue;
            };
            // A number may be given to another one once its owner is gone.
            let is_new = event.name == "udmabuf_create";
            let known = current.get(&ino).copied().filter(|index| {
                let buffer: &Buffer = &buffers[*index];
                !is_new && buffer.released.is_none()
            });
            let index = known.unwrap_or_else(|| {
                buffers.push(Buffer::new(ino));
                buffers.len() - 1
            });
            current.insert(ino, index);
            buffers[index].tell(event, begin);
        }
        for buffer in &mut buffers {
            buffer.close(end, &Fault::Open);
        }
        History {
            buffers,
            begin,
            end,
            lost: recording.lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            bracket::Bracket,
            lane::{Lane, Mark},
            tests::{history, two_threads_and_two_devices},
        },
        *,
    };

    const BEGIN: &str = "cleaned=0 invalidated=4096 collected=0 published=0 duration=2000 error=0";

    /// The brackets of the only lane of the only buffer.
    fn brackets(lines: &[(&str, u64, &str)]) -> Vec<Bracket> {
        let history = history(lines);
        assert_eq!(history.buffers.len(), 1);
        assert_eq!(history.buffers[0].lanes.len(), 1);
        history.buffers[0].lanes[0].brackets.clone()
    }

    fn call(name: &str, access: &str) -> String {
        format!("{name}: ino=5 access={access} offset=0 length=4096 {BEGIN}")
    }

    #[test]
    fn a_bracket_lasts_from_the_start_of_its_begin_to_the_end_of_its_end() {
        let (begin, end) = (call("begin", "rw"), call("end", "rw"));
        let found = brackets(&[("a-1", 10, &begin), ("a-1", 20, &end)]);
        assert_eq!(found.len(), 1);
        let bracket = &found[0];
        assert_eq!((bracket.from, bracket.to), (8_000, 20_000));
        assert_eq!((bracket.cost(), &bracket.fault), (4_000, &None));
        assert_eq!(bracket.begin.as_ref().unwrap().moved, 4096);
    }

    #[test]
    fn an_end_that_nobody_began_is_a_fault() {
        let found = brackets(&[("a-1", 20, &call("end", "rw"))]);
        assert_eq!(found[0].fault, Some(Fault::NoStart(None)));
        assert_eq!((found[0].from, found[0].to), (18_000, 20_000));
    }

    #[test]
    fn another_thread_ends_nothing() {
        let (begin, end) = (call("begin", "rw"), call("end", "rw"));
        let history = history(&[("a-1", 10, &begin), ("a-2", 20, &end), ("a-1", 30, &end)]);
        let lanes = &history.buffers[0].lanes;
        assert_eq!(lanes[0].brackets[0].fault, None);
        let other = Some(Fault::NoStart(Some("a-1".into())));
        assert_eq!(lanes[1].brackets[0].fault, other);
    }

    #[test]
    fn what_is_never_ended_lasts_until_the_trace_is_over() {
        let found = brackets(&[
            ("a-1", 10, &call("begin", "r")),
            ("a-1", 90, "fault: ino=5 page=2 first=0 pages=4 order=0"),
        ]);
        assert_eq!((found[0].to, &found[0].fault), (90_000, &Some(Fault::Open)));
    }

    #[test]
    fn what_is_never_ended_lasts_until_the_buffer_is_released() {
        let found = brackets(&[
            ("a-1", 10, &call("begin", "r")),
            ("a-1", 50, "release: ino=5"),
        ]);
        assert_eq!(
            (found[0].to, &found[0].fault),
            (50_000, &Some(Fault::Released))
        );
    }

    #[test]
    fn another_access_at_the_end_is_a_fault() {
        let (begin, end) = (call("begin", "r"), call("end", "rw"));
        let found = brackets(&[("a-1", 10, &begin), ("a-1", 20, &end)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].fault, Some(Fault::Other("rw".into())));
    }

    #[test]
    fn of_several_open_ones_the_one_that_fits_is_ended() {
        let found = brackets(&[
            ("a-1", 10, &call("begin", "r")),
            ("a-1", 20, &call("begin", "w")),
            ("a-1", 30, &call("end", "r")),
            ("a-1", 40, &call("end", "w")),
        ]);
        let facts: Vec<_> = found
            .iter()
            .map(|one| (one.depth, one.to, one.fault.clone()))
            .collect();
        assert_eq!(facts, [(0, 30_000, None), (1, 40_000, None)]);
    }

    #[test]
    fn a_call_that_failed_neither_begins_nor_ends() {
        let failed = |name| call(name, "r").replace("error=0", "error=-4");
        let history = history(&[
            ("a-1", 10, &failed("begin")),
            ("a-1", 20, &call("begin", "r")),
            ("a-1", 30, &failed("end")),
            ("a-1", 40, &call("end", "r")),
        ]);
        let lane = &history.buffers[0].lanes[0];
        assert_eq!(lane.brackets.len(), 1);
        assert_eq!((lane.brackets[0].to, lane.is_wrong()), (40_000, false));
        let failed = Mark::Failed(-4);
        assert_eq!(lane.marks, [(10_000, failed), (30_000, failed)]);
    }

    #[test]
    fn a_number_that_is_given_again_is_another_buffer() {
        let create = "create: ino=5 size=4096 extents=1 mode=DMA_API";
        let history = history(&[
            ("a-1", 10, create),
            ("a-1", 20, "release: ino=5"),
            ("a-1", 30, create),
            ("a-1", 40, "release: ino=5"),
        ]);
        let lives = history.buffers.iter();
        let lives: Vec<_> = lives.map(|one| (one.created, one.released)).collect();
        assert_eq!(
            lives,
            [(Some(10_000), Some(20_000)), (Some(30_000), Some(40_000))]
        );
    }

    #[test]
    fn a_trace_may_begin_and_end_while_a_device_is_mapped() {
        let history = history(&[
            ("a-1", 10, "fault: ino=5 page=2 first=0 pages=4 order=0"),
            (
                "a-1",
                30,
                "unmap: ino=5 device=d class=shadow duration=1000",
            ),
            (
                "a-1",
                50,
                "map: ino=5 device=d direction=BIDIRECTIONAL class=shadow duration=5000 error=0",
            ),
            ("a-1", 70, "fault: ino=5 page=2 first=0 pages=4 order=0"),
        ]);
        let mappings = &history.buffers[0].lanes[1].mappings;
        let facts: Vec<_> = mappings
            .iter()
            .map(|one| (one.from, one.mapped, one.unmapping, one.to))
            .collect();
        assert_eq!(
            facts,
            [
                (10_000, None, Some(29_000), 30_000),
                (45_000, Some(50_000), None, 70_000)
            ]
        );
    }

    #[test]
    fn each_thread_and_each_device_has_a_lane() {
        let history = two_threads_and_two_devices();
        let names = |buffer: &Buffer| {
            let lanes = buffer.lanes.iter();
            lanes.map(|lane| lane.who.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            names(&history.buffers[0]),
            ["0000:00:02.0", "camera-61", "0000:00:03.0", "screen-62"]
        );
        let device = &history.buffers[0].lanes[0];
        assert!(device.copies.iter().any(|copy| copy.published));
        assert!(device.copies.iter().any(|copy| !copy.published));
        let of_devices = |lane: &&Lane| lane.brackets.iter().any(|one| one.access == "device");
        assert_eq!(
            history.buffers[0].lanes.iter().filter(of_devices).count(),
            1
        );
    }

    #[test]
    fn a_name_that_the_kernel_forgot_is_found() {
        let end = call("end", "r");
        let history = history(&[("<...>-1", 10, &call("begin", "r")), ("a-1", 20, &end)]);
        assert_eq!(history.buffers[0].lanes[0].who.to_string(), "a-1");
    }
}
