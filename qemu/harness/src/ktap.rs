// SPDX-License-Identifier: GPL-2.0

//! KTAP, the kernel's test output format, nested as deep as it comes.
//!
//! The parser is strict where leniency would hide a failure: a plan that was
//! not kept, a gap in the numbers and an unfinished group are failures too.

/// How one test went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed; the lines that it printed say why.
    Failed(Vec<String>),
    /// Something was missing: this.
    Skipped(String),
}

/// What the notes of a failed test say, on one line: the first tells what was done, the last what came
/// of it.
pub fn brief(notes: &[String]) -> String {
    match notes {
        [] => String::new(),
        [only] => only.clone(),
        [first, .., last] => format!("{first}; {last}"),
    }
}

/// One test, the innermost there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// The names of its groups and its own, outermost first.
    pub path: Vec<String>,
    /// How it went.
    pub verdict: Verdict,
}

impl Test {
    /// The path as one name.
    pub fn name(&self) -> String {
        self.path.join(".")
    }
}

/// The lines that a failed test printed last are kept, this many.
const NOTES: usize = 30;

/// A group whose result line has not come yet.
#[derive(Default)]
struct Group {
    indent: usize,
    name: Option<String>,
    plan: Option<usize>,
    /// Result lines seen.
    results: usize,
    tests: Vec<Test>,
    /// Lines since the last result.
    notes: Vec<String>,
}

impl Group {
    fn new(indent: usize) -> Self {
        Group {
            indent,
            ..Group::default()
        }
    }

    fn fail(&mut self, name: &str, reason: String) {
        let verdict = Verdict::Failed(vec![reason]);
        self.tests.push(Test {
            path: vec![name.to_owned()],
            verdict,
        });
    }

    /// The tests of a group that is over, with what was wrong with the group itself.
    fn close(mut self) -> Vec<Test> {
        if let Some(plan) = self.plan
            && plan != self.results
        {
            self.fail(
                "plan",
                format!("{plan} tests were announced, {} came", self.results),
            );
        }
        self.tests
    }
}

/// Reads KTAP line by line.
#[derive(Default)]
pub struct Parser {
    /// Open groups, the outermost first.
    groups: Vec<Group>,
    /// Tests of documents that are over.
    tests: Vec<Test>,
    /// Results so far, for whoever watches.
    seen: usize,
}

/// A line that means something.
enum Line<'a> {
    Version,
    Subtest(&'a str),
    Plan(usize),
    Result {
        passed: bool,
        number: Option<usize>,
        rest: &'a str,
    },
    BailOut(&'a str),
}

fn classify(text: &str) -> Option<Line<'_>> {
    let version = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    if text.strip_prefix("KTAP version ").is_some_and(version)
        || text.strip_prefix("TAP version ").is_some_and(version)
    {
        return Some(Line::Version);
    }
    if let Some(name) = text.strip_prefix("# Subtest:") {
        return Some(Line::Subtest(name.trim()));
    }
    if let Some(plan) = text.strip_prefix("1..") {
        let number = plan.split([' ', '#']).next().unwrap_or_default();
        return number.parse().ok().map(Line::Plan);
    }
    if let Some(reason) = text.strip_prefix("Bail out!") {
        return Some(Line::BailOut(reason.trim()));
    }
    let (passed, rest) = match text.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let rest = rest.trim_start();
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = rest.split_at(digits);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    Some(Line::Result {
        passed,
        number: number.parse().ok(),
        rest,
    })
}

/// Name, and the reason if the test was skipped.
fn directive(rest: &str) -> (&str, Option<&str>) {
    let Some((name, directive)) = rest.split_once('#') else {
        return (rest.trim(), None);
    };
    let directive = directive.trim();
    let skipped = directive
        .get(..4)
        .is_some_and(|word| word.eq_ignore_ascii_case("skip"));
    (name.trim(), skipped.then(|| directive[4..].trim()))
}

impl Parser {
    /// Reads one line, without its newline.
    pub fn line(&mut self, line: &str) {
        let line = line.trim_end();
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        match classify(text) {
            Some(Line::Version) => self.open(indent),
            Some(Line::Subtest(name)) => {
                // Older writers start a group with its name alone.
                if self.groups.last().is_none_or(|group| group.indent < indent) {
                    self.open(indent);
                }
                if let Some(group) = self.group(indent) {
                    group.name = Some(name.to_owned());
                }
            }
            Some(Line::Plan(plan)) => {
                if let Some(group) = self.group(indent) {
                    group.plan = Some(plan);
                }
            }
            Some(Line::Result {
                passed,
                number,
                rest,
            }) => {
                self.result(indent, passed, number, rest);
            }
            Some(Line::BailOut(reason)) => {
                let reason = format!("bailed out: {reason}");
                if let Some(group) = self.groups.first_mut() {
                    group.fail("bail out", reason);
                }
            }
            None => self.note(text),
        }
    }

    /// The number of result lines so far.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// All tests, when no line comes any more.
    pub fn finish(mut self) -> Vec<Test> {
        let unfinished = self.groups.len() > 1;
        let names: Vec<_> = self
            .groups
            .iter()
            .filter_map(|group| group.name.clone())
            .collect();
        while let Some(group) = self.groups.pop() {
            let planned = group.plan.is_some();
            let mut tests = group.close();
            match self.groups.last_mut() {
                Some(outer) => outer.tests.append(&mut tests),
                None => {
                    self.tests.append(&mut tests);
                    if !planned {
                        let verdict = Verdict::Failed(vec!["there was no plan".into()]);
                        self.tests.push(Test {
                            path: vec!["plan".into()],
                            verdict,
                        });
                    }
                }
            }
        }
        if unfinished {
            let reason = format!("the output ended inside {}", names.join("."));
            let verdict = Verdict::Failed(vec![reason]);
            self.tests.push(Test {
                path: vec!["end".into()],
                verdict,
            });
        }
        self.tests
    }

    /// A group begins. One at no deeper indent than the outermost is a new document.
    fn open(&mut self, indent: usize) {
        if self
            .groups
            .last()
            .is_some_and(|group| group.indent < indent)
        {
            self.groups.push(Group::new(indent));
            return;
        }
        let over = std::mem::take(self);
        self.seen = over.seen;
        if !over.groups.is_empty() || !over.tests.is_empty() {
            self.tests = over.finish();
        }
        self.groups.push(Group::new(indent));
    }

    /// The open group at that indent.
    fn group(&mut self, indent: usize) -> Option<&mut Group> {
        self.groups
            .iter_mut()
            .rev()
            .find(|group| group.indent == indent)
    }

    fn note(&mut self, text: &str) {
        // An attribute of the test, not something that it said.
        if text.contains(".speed: ") {
            return;
        }
        if let Some(group) = self.groups.last_mut()
            && !text.is_empty()
        {
            if group.notes.len() == NOTES {
                group.notes.remove(0);
            }
            group.notes.push(text.trim_start_matches("# ").to_owned());
        }
    }

    fn result(&mut self, indent: usize, passed: bool, number: Option<usize>, rest: &str) {
        if !self.groups.iter().any(|group| group.indent == indent) {
            return;
        }
        self.seen += 1;
        let (name, skipped) = directive(rest);
        // Deeper groups that are still open are what this result sums up.
        let mut inner = Vec::new();
        let mut notes = Vec::new();
        let mut groups_below = 0;
        while self
            .groups
            .last()
            .is_some_and(|group| group.indent > indent)
        {
            let Some(group) = self.groups.pop() else {
                break;
            };
            groups_below += 1;
            notes.splice(..0, group.notes.iter().cloned());
            let mut tests = group.close();
            tests.append(&mut inner);
            inner = tests;
        }
        let Some(group) = self.groups.last_mut() else {
            return;
        };
        let name = match name {
            "" => format!("test {}", group.results + 1),
            name => name.to_owned(),
        };
        for test in &mut inner {
            test.path.insert(0, name.clone());
        }
        let inner_failed = inner
            .iter()
            .any(|test| matches!(test.verdict, Verdict::Failed(_)));
        let has_inner = !inner.is_empty();
        group.results += 1;
        let expected = group.results;
        group.tests.append(&mut inner);
        notes.splice(..0, std::mem::take(&mut group.notes));
        if groups_below > 1 {
            let reason = vec![format!("a group inside {name} has no result")];
            let path = vec![name.clone(), "end".into()];
            group.tests.push(Test {
                path,
                verdict: Verdict::Failed(reason),
            });
        }
        if let Some(number) = number
            && number != expected
        {
            group.fail(
                &name,
                format!("number {number} came where {expected} was due"),
            );
            group.results = number;
        }
        // The sum of a group is worth a line of its own only if it says more than its parts.
        let verdict = match (passed, skipped) {
            (true, Some(reason)) => Verdict::Skipped(reason.to_owned()),
            (true, None) => Verdict::Passed,
            (false, _) => Verdict::Failed(notes),
        };
        let redundant = match &verdict {
            Verdict::Passed | Verdict::Skipped(_) => has_inner,
            Verdict::Failed(_) => inner_failed,
        };
        if !redundant {
            group.tests.push(Test {
                path: vec![name],
                verdict,
            });
        }
    }
}

/// All tests in a text.
pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Test> {
    let mut parser = Parser::default();
    for line in lines {
        parser.line(line);
    }
    if parser.groups.is_empty() {
        parser.tests
    } else {
        parser.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log;

    /// One line per test: a letter for the verdict, and the name.
    fn short(text: &str) -> Vec<String> {
        parse(text.lines())
            .iter()
            .map(|test| match &test.verdict {
                Verdict::Passed => format!("+ {}", test.name()),
                Verdict::Failed(_) => format!("- {}", test.name()),
                Verdict::Skipped(reason) => format!("s {}: {reason}", test.name()),
            })
            .collect()
    }

    #[test]
    fn flat_output() {
        let text = "KTAP version 1\n1..3\nok 1 one\nnot ok 2 two\nok 3 three # SKIP no device\n";
        assert_eq!(short(text), ["+ one", "- two", "s three: no device"]);
    }

    #[test]
    fn kselftest_output() {
        let text = "TAP version 13\n1..2\n# note\nok 1 first\n# [SKIP] second\nok 2 # SKIP hugetlb\n# Totals: pass:1 fail:0\n";
        assert_eq!(short(text), ["+ first", "s test 2: hugetlb"]);
    }

    #[test]
    fn nested_output() {
        let text = "\
KTAP version 1
1..2
    KTAP version 1
    # Subtest: outer
    1..2
        KTAP version 1
        # Subtest: inner
        1..1
        ok 1 a
    ok 1 inner
    not ok 2 b
not ok 1 outer
ok 2 plain
";
        assert_eq!(short(text), ["+ outer.inner.a", "- outer.b", "+ plain"]);
    }

    #[test]
    fn kunit_in_a_kernel_log() {
        let text = "\
[    1.000000] udmabuf_rs: loading out-of-tree module taints kernel.
[    1.100000] KTAP version 1
[    1.100000] 1..1
[    1.100000]     KTAP version 1
[    1.100000]     # Subtest: udmabuf_extent
[    1.100000]     # module: udmabuf_rs
[    1.100000]     1..2
[    1.200000] some other line
[    1.200000]     ok 1 empty
[    1.300000]     # merge: EXPECTATION FAILED at src/extent.rs:7
[    1.300000]     Expected 1 == 2
[    1.300000]     # merge.speed: normal
[    1.300000]     not ok 2 merge
[    1.300000] # udmabuf_extent: pass:1 fail:1 skip:0 total:2
[    1.300000] not ok 1 udmabuf_extent
";
        let tests = parse(text.lines().map(log::message));
        assert_eq!(tests.len(), 2);
        assert_eq!(tests[0].name(), "udmabuf_extent.empty");
        let Verdict::Failed(why) = &tests[1].verdict else {
            panic!("{tests:?}")
        };
        assert!(
            why.iter().any(|line| line.contains("EXPECTATION FAILED")),
            "{why:?}"
        );
        assert_eq!(why.last().unwrap(), "Expected 1 == 2", "{why:?}");
    }

    #[test]
    fn two_documents_in_one_log() {
        let text = "KTAP version 1\n1..1\nok 1 a\nnoise\nKTAP version 1\n1..1\nok 1 b\n";
        assert_eq!(short(text), ["+ a", "+ b"]);
    }

    #[test]
    fn a_broken_plan_is_a_failure() {
        assert_eq!(short("KTAP version 1\n1..2\nok 1 a\n"), ["+ a", "- plan"]);
        assert_eq!(
            short("KTAP version 1\n1..1\nok 1 a\nok 2 b\n"),
            ["+ a", "+ b", "- plan"]
        );
        assert_eq!(short("KTAP version 1\nok 1 a\n"), ["+ a", "- plan"]);
        assert_eq!(short("KTAP version 1\n"), ["- plan"]);
    }

    #[test]
    fn a_gap_in_the_numbers_is_a_failure() {
        let text = "KTAP version 1\n1..3\nok 1 a\nok 3 c\n";
        assert_eq!(short(text), ["+ a", "- c", "+ c"]);
    }

    #[test]
    fn output_that_stops_inside_a_group_is_a_failure() {
        let text =
            "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: g\n    1..2\n    ok 1 a\n";
        let tests = short(text);
        assert!(tests.contains(&"- end".to_owned()), "{tests:?}");
        assert!(
            tests.iter().filter(|test| test.ends_with("plan")).count() == 2,
            "{tests:?}"
        );
    }

    #[test]
    fn a_group_that_fails_although_its_tests_pass_is_a_failure() {
        let text = "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: g\n    1..1\n    ok 1 a\nnot ok 1 g\n";
        assert_eq!(short(text), ["+ g.a", "- g"]);
    }

    #[test]
    fn bailing_out_is_a_failure() {
        assert_eq!(
            short("KTAP version 1\n1..1\nok 1 a\nBail out! no memory\n"),
            ["+ a", "- bail out"]
        );
    }

    #[test]
    fn skipping_takes_no_failure_back() {
        assert_eq!(
            short("KTAP version 1\n1..1\nnot ok 1 a # SKIP nothing\n"),
            ["- a"]
        );
    }

    #[test]
    fn output_without_ktap_has_no_tests() {
        assert_eq!(parse("hello\nok then\n".lines()), []);
    }

    #[test]
    fn words_that_only_look_like_results_are_none() {
        assert_eq!(short("KTAP version 1\n1..1\nokay 1 x\nok 1 a\n"), ["+ a"]);
    }
}
