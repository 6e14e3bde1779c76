// SPDX-License-Identifier: GPL-2.0

//! What happened to one buffer.

use protocol::trace::Event;

use super::{
    bracket::{DEVICE, Fault},
    call::{Call, began},
    lane::{Lane, Mapping, Mark, Touch, Transfer, Who},
};

/// What the kernel calls a program whose name it has forgotten.
const FORGOTTEN: &str = "<...>";

/// A buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its inode number.
    pub ino: u64,
    /// Its size, runs of pages and mode; the trace may have begun later.
    pub size: Option<u64>,
    pub extents: Option<u64>,
    pub mode: Option<String>,
    /// When it was made and released, if that is in the trace.
    pub created: Option<u64>,
    pub released: Option<u64>,
    /// Who did something with it, in the order of their first events.
    pub lanes: Vec<Lane>,
    /// How many events it is made of, and from when to when.
    pub events: usize,
    pub from: u64,
    pub to: u64,
}

impl Buffer {
    /// One of which nothing is known yet.
    pub fn new(ino: u64) -> Self {
        Buffer {
            ino,
            size: None,
            extents: None,
            mode: None,
            created: None,
            released: None,
            lanes: Vec::new(),
            events: 0,
            from: u64::MAX,
            to: 0,
        }
    }

    /// Something happened to it, in a trace that began then.
    pub fn tell(&mut self, event: &Event, trace_begin: u64) {
        self.events += 1;
        self.from = self.from.min(began(event));
        self.to = self.to.max(event.nanoseconds);
        let field = |name| event.number(name).and_then(|n| u64::try_from(n).ok());
        let part = || {
            let bound = |name| field(name).unwrap_or(0);
            (bound("offset"), bound("length"))
        };
        let access = event.text("access");
        match event.name.as_str() {
            "udmabuf_create" => {
                self.created = Some(event.nanoseconds);
                self.size = field("size");
                self.extents = field("extents");
                self.mode = Some(event.text("mode").to_owned());
            }
            "udmabuf_release" => {
                self.released = Some(event.nanoseconds);
                self.close(event.nanoseconds, &Fault::Released);
            }
            "udmabuf_begin" => self.thread(event).begin(access, part(), Call::of(event)),
            "udmabuf_end" => {
                let other = self.has_open(access, event.thread);
                let lane = self.thread(event);
                lane.end(access, part(), Call::of(event), || other);
            }
            "udmabuf_begin_device" => {
                self.device(event).begin(DEVICE, part(), Call::of(event));
            }
            "udmabuf_end_device" => {
                let lane = self.device(event);
                lane.end(DEVICE, part(), Call::of(event), || None);
            }
            "udmabuf_fault" => {
                let mark = (event.nanoseconds, Mark::Fault);
                self.thread(event).marks.push(mark);
            }
            // What it says of brackets is seen here as well.
            "udmabuf_wrong" if matches!(event.text("wrong"), "outside" | "writes-in-read") => {
                let touch = Touch {
                    at: event.nanoseconds,
                    wrong: event.text("wrong").to_owned(),
                    offset: part().0,
                    instruction: event.text("instruction").to_owned(),
                    place: event.text("place").to_owned(),
                };
                self.thread(event).touches.push(touch);
            }
            "udmabuf_refuse" => {
                let mark = (event.nanoseconds, Mark::Refused);
                self.device(event).marks.push(mark);
            }
            "udmabuf_map" => match event.number("error").unwrap_or(0) {
                0 => self.device(event).map(Mapping {
                    from: began(event),
                    to: event.nanoseconds,
                    mapped: Some(event.nanoseconds),
                    unmapping: None,
                    class: event.text("class").to_owned(),
                    direction: event.text("direction").to_owned(),
                }),
                error => {
                    let mark = (event.nanoseconds, Mark::Failed(error));
                    self.device(event).marks.push(mark);
                }
            },
            "udmabuf_unmap" => {
                let lane = self.device(event);
                let class = event.text("class");
                lane.unmap(class, began(event), event.nanoseconds, trace_begin);
            }
            "udmabuf_collect" | "udmabuf_publish" => self.device(event).copies.push(Transfer {
                from: began(event),
                to: event.nanoseconds,
                changed: field("changed").unwrap_or(0),
                published: event.name == "udmabuf_publish",
            }),
            // A later driver may have more.
            _ => {}
        }
    }

    /// Nothing more comes.
    pub fn close(&mut self, at: u64, fault: &Fault) {
        for lane in &mut self.lanes {
            lane.close(at, fault);
        }
    }

    /// Whether something that was done to it is wrong.
    pub fn is_wrong(&self) -> bool {
        self.lanes.iter().any(Lane::is_wrong)
    }

    /// Another thread that has an access of that kind open.
    fn has_open(&self, access: &str, but: u32) -> Option<String> {
        let is_other = |who: &Who| matches!(who, Who::Thread { thread, .. } if *thread != but);
        let mut lanes = self.lanes.iter().filter(|lane| is_other(&lane.who));
        let lane = lanes.find(|lane| lane.has_open(access))?;
        Some(lane.who.to_string())
    }

    fn thread(&mut self, event: &Event) -> &mut Lane {
        let is_it = |lane: &Lane| matches!(&lane.who, Who::Thread { thread, .. } if *thread == event.thread);
        let lane = self.lane(is_it, || Who::Thread {
            thread: event.thread,
            task: event.task.clone(),
        });
        // It may have got its name meanwhile.
        if let Who::Thread { task, .. } = &mut lane.who
            && event.task != FORGOTTEN
        {
            task.clone_from(&event.task);
        }
        lane
    }

    fn device(&mut self, event: &Event) -> &mut Lane {
        let name = event.text("device");
        let is_it = |lane: &Lane| matches!(&lane.who, Who::Device(other) if other == name);
        self.lane(is_it, || Who::Device(name.to_owned()))
    }

    /// That lane, or a new one.
    fn lane(&mut self, is_it: impl Fn(&Lane) -> bool, who: impl FnOnce() -> Who) -> &mut Lane {
        let index = match self.lanes.iter().position(is_it) {
            Some(index) => index,
            None => {
                self.lanes.push(Lane::new(who()));
                self.lanes.len() - 1
            }
        };
        let lane = &mut self.lanes[index];
        lane.events += 1;
        lane
    }
}
