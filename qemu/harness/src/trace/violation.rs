// SPDX-License-Identifier: GPL-2.0

//! What programs did wrong.

use super::{bracket::Fault, history::History, lane::Touch, time};

/// A bracket that is none, or a touch that should have been in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, since boot.
    pub at: u64,
    /// Whole sentence for a reader, but for when.
    pub text: String,
}

impl Violation {
    /// All of them, in the order of time.
    pub fn all(history: &History) -> Vec<Violation> {
        let mut all = Vec::new();
        for buffer in &history.buffers {
            for lane in &buffer.lanes {
                all.extend(lane.touches.iter().map(|touch| Violation {
                    at: touch.at,
                    text: format!(
                        "{}, buffer {}: {}",
                        lane.who,
                        buffer.ino,
                        describe_touch(touch)
                    ),
                }));
                for bracket in &lane.brackets {
                    let Some(fault) = &bracket.fault else {
                        continue;
                    };
                    let what = describe(fault, &bracket.access, buffer.created.is_none());
                    all.push(Violation {
                        at: bracket.from,
                        text: format!("{}, buffer {}: {what}", lane.who, buffer.ino),
                    });
                }
            }
        }
        all.sort_by_key(|violation| violation.at);
        all
    }

    /// The violation with its time since `begin`.
    pub fn line(&self, begin: u64) -> String {
        format!("{}  {}", time::since(begin, self.at), self.text)
    }
}

/// In as few words as possible, for a picture.
pub fn short_touch(touch: &Touch) -> &'static str {
    match touch.wrong.as_str() {
        "outside" => "no bracket",
        _ => "writes in r",
    }
}

/// In as many as it takes.
fn describe_touch(touch: &Touch) -> String {
    let what = match touch.wrong.as_str() {
        "outside" => "touched outside of any bracket",
        _ => "written in a bracket for reading",
    };
    let Touch {
        offset,
        instruction,
        place,
        ..
    } = touch;
    format!("{what}, page at byte {offset}, instruction {instruction} (+{place})")
}

/// In as few words as possible, for a picture.
pub fn short(fault: &Fault, access: &str) -> String {
    match fault {
        Fault::NoStart(_) => "no START".into(),
        Fault::Open | Fault::Released => "no END".into(),
        Fault::Other(other) => format!("START {access}, END {other}"),
    }
}

/// In as many as it takes. `late` if the trace began when the buffer was there already.
fn describe(fault: &Fault, access: &str, late: bool) -> String {
    match fault {
        Fault::NoStart(Some(other)) => {
            format!("END of {access} without a START by this thread; {other} has one open")
        }
        Fault::NoStart(None) if late => {
            format!("END of {access} without a START, unless that was before the trace")
        }
        Fault::NoStart(None) => format!("END of {access} without a START"),
        Fault::Open => format!("START of {access} not ended before the trace is over"),
        Fault::Released => format!("START of {access} not ended before the buffer is released"),
        Fault::Other(other) => format!("START of {access}, but END of {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{history, wrong},
        *,
    };

    #[test]
    fn each_kind_has_its_line() {
        let history = wrong();
        let lines = Violation::all(&history);
        let lines: Vec<_> = lines.iter().map(|one| one.line(history.begin)).collect();
        assert_eq!(
            lines,
            [
                "0.080 ms  a-1, buffer 5: END of r without a START",
                "0.180 ms  a-1, buffer 5: START of r, but END of rw",
                "0.380 ms  a-1, buffer 5: START of w not ended before the buffer is released",
                "0.430 ms  b-2, buffer 5: END of w without a START by this thread; a-1 has one open",
                "0.580 ms  b-2, buffer 6: END of r without a START, unless that was before the trace",
                "0.680 ms  b-2, buffer 6: START of rw not ended before the trace is over",
            ]
        );
    }

    #[test]
    fn a_touch_says_from_where() {
        let history = history(&[
            ("a-1", 10, "create: ino=5 size=4096 extents=1 mode=DMA_API"),
            (
                "a-1",
                30,
                "wrong: ino=5 wrong=outside offset=4096 instruction=0x401234 place=0x1234 process=1 open=none mapped=1 memfd=0",
            ),
            (
                "a-1",
                40,
                "wrong: ino=5 wrong=not-begun offset=0 instruction=0x1 process=1 open=none mapped=1 memfd=0",
            ),
        ]);
        let lines = Violation::all(&history);
        let lines: Vec<_> = lines.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(
            lines,
            [
                "a-1, buffer 5: touched outside of any bracket, page at byte 4096, instruction 0x401234 (+0x1234)"
            ]
        );
    }

    #[test]
    fn those_of_a_healthy_trace_are_none() {
        let history = history(&[("a-1", 10, "release: ino=5")]);
        assert_eq!(Violation::all(&history), []);
    }
}
