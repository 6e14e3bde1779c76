// SPDX-License-Identifier: GPL-2.0

//! What is measured, in which order.

use protocol::bench::Case;
use protocol::bench::Pages;
use selftests::HUGE_PAGE;
use selftests::PAGE;
use selftests::hugepage;
use selftests::outcome::Stop;

use crate::arguments::Arguments;
use crate::arguments::Part;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// Ranges in a list.
const MANY: usize = 1024;

/// What a buffer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub pages: Pages,
    /// Ranges of the memfd, of the same size each.
    pub items: usize,
    pub bytes: usize,
    /// Contiguous pieces, if they are wanted so; else 0.
    pub pieces: usize,
}

/// One thing to be measured, with all contenders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub case: Case,
    pub shape: Shape,
    /// Mappings for a device meanwhile.
    pub attachments: u32,
    /// Other buffers of the same contender that are mapped for a device; those that are closed, for
    /// [`Case::CloseAll`].
    pub others: u32,
    /// Threads at work, for [`Case::Threads`].
    pub threads: u32,
}

impl Step {
    /// Whether a device is mapped; the C driver has one of its own, for its brackets.
    pub fn maps(&self) -> bool {
        matches!(
            self.case,
            Case::MapUnmap
                | Case::BeginEnd
                | Case::BeginEndPage
                | Case::PageTouched
                | Case::Threads
        )
    }

    /// How many others there are while it is measured.
    pub fn others_alive(&self) -> u32 {
        match self.case {
            Case::CloseAll => 0,
            _ => self.others,
        }
    }
}

/// Everything that is to be measured and for which there are enough huge pages and descriptors.
pub fn plan(arguments: &Arguments, files: usize) -> Result<Vec<Step>, Stop> {
    let huge = hugepage::free()? * HUGE_PAGE;
    let mut steps = steps(arguments, huge);
    steps.extend(grid(arguments));
    steps.extend(at_once(arguments));
    steps.extend(beside_others(arguments, files));
    Ok(steps)
}

fn steps(arguments: &Arguments, huge: usize) -> Vec<Step> {
    let shapes = shapes(arguments.part);
    let fits = |shape: &Shape| {
        let quick = !arguments.quick || shape.bytes <= 16 * MIB;
        quick && (shape.pages != Pages::Hugetlb || shape.bytes <= huge)
    };
    let mut steps = Vec::new();
    for shape in shapes.into_iter().filter(fits) {
        for case in CASES.iter().filter(|case| arguments.wants(**case)) {
            for &attachments in attachments(*case, shape) {
                steps.push(Step {
                    case: *case,
                    shape,
                    attachments,
                    others: 0,
                    threads: 0,
                });
            }
        }
    }
    steps
}

/// What pages and contiguous pieces cost, each for itself.
fn grid(arguments: &Arguments) -> Vec<Step> {
    const PAGES: [usize; 5] = [1, 4, 16, 64, 256];

    let mut steps = Vec::new();
    if !matches!(arguments.part, Part::All | Part::Map) {
        return steps;
    }
    for pages in PAGES {
        for pieces in PAGES.into_iter().filter(|pieces| *pieces <= pages) {
            let cases = OF_THE_GRID
                .into_iter()
                .filter(|case| arguments.wants(*case));
            steps.extend(cases.map(|case| Step {
                case,
                shape: in_pieces(pages * PAGE, pieces),
                attachments: 0,
                others: 0,
                threads: 0,
            }));
        }
    }
    steps
}

/// The cases of the grid.
const OF_THE_GRID: [Case; 3] = [Case::Create, Case::Close, Case::MapUnmap];

fn in_pieces(bytes: usize, pieces: usize) -> Shape {
    Shape {
        pages: Pages::Pieces,
        items: 1,
        bytes,
        pieces,
    }
}

/// Small buffers beside few and many others, which the figures beside none are to be compared with; and
/// those others closed.
fn beside_others(arguments: &Arguments, files: usize) -> Vec<Step> {
    // Of the grid, so that they differ in nothing else.
    let sizes = [(4 * KIB, 1), (64 * KIB, 4)].map(|(bytes, pieces)| in_pieces(bytes, pieces));
    let step = |case, shape, others| Step {
        case,
        shape,
        attachments: 0,
        others,
        threads: 0,
    };
    let mut steps = Vec::new();
    if arguments.part != Part::All {
        return steps;
    }
    // Both drivers have their own, and the program has some files as well.
    let possible = |others: u32| others as usize * 2 + MANY <= files;
    let all = OTHERS.iter().copied().filter(|others| possible(*others));
    let all = all.filter(|others| !arguments.quick || *others <= 10_000);
    for others in all.clone() {
        for shape in sizes {
            steps.extend(OF_THE_GRID.map(|case| step(case, shape, others)));
        }
    }
    let few = all.filter(|others| *others <= 10_000);
    steps.extend(few.map(|others| step(Case::CloseAll, in_pieces(4 * KIB, 1), others)));
    steps.retain(|step| arguments.wants(step.case));
    steps
}

/// Few and many threads.
fn at_once(arguments: &Arguments) -> Vec<Step> {
    const THREADS: [u32; 3] = [1, 8, 64];

    if arguments.part != Part::All || !arguments.wants(Case::Threads) {
        return Vec::new();
    }
    let steps = THREADS.map(|threads| Step {
        case: Case::Threads,
        shape: in_pieces(PAGE, 1),
        attachments: 0,
        others: 0,
        threads,
    });
    steps.into()
}

/// How many others there are.
const OTHERS: [u32; 3] = [100, 10_000, 100_000];

const CASES: [Case; 15] = [
    Case::Create,
    Case::CreateExt,
    Case::CreateCoherent,
    Case::Close,
    Case::Memory,
    Case::MapUnmap,
    Case::FirstTouch,
    Case::EveryPage,
    Case::ScatteredTouch,
    Case::Munmap,
    Case::Vmap,
    Case::BeginEnd,
    Case::BeginEndPage,
    Case::PageTouched,
    Case::Checked,
];

fn shapes(part: Part) -> Vec<Shape> {
    let shape = |pages, items, bytes| Shape {
        pages,
        items,
        bytes,
        pieces: 0,
    };
    let one = |pages, sizes: &[usize]| -> Vec<Shape> {
        sizes.iter().map(|&bytes| shape(pages, 1, bytes)).collect()
    };
    match part {
        Part::Sync => return one(Pages::Base, &[4 * KIB, MIB, 16 * MIB, 64 * MIB]),
        // Bounce buffers of eight mappings have to have room, for the others.
        Part::Shadow => return one(Pages::Base, &[4 * KIB, 64 * KIB, MIB]),
        Part::All | Part::Map => {}
    }
    let base = [4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB, 256 * MIB, GIB];
    let huge = [2 * MIB, 16 * MIB, 64 * MIB, 256 * MIB, GIB];
    let many = [4 * MIB, 64 * MIB, 256 * MIB, GIB];
    [
        one(Pages::Base, &base),
        many.map(|bytes| shape(Pages::Base, MANY, bytes)).into(),
        one(Pages::Apart, &[MIB, 16 * MIB, 256 * MIB]),
        one(Pages::Thp, &huge),
        one(Pages::Hugetlb, &huge),
        one(Pages::Hugetlb, &[4 * GIB]),
        many.map(|bytes| shape(Pages::Hugetlb, MANY, bytes)).into(),
    ]
    .concat()
}

/// With how many mappings a case is measured.
fn attachments(case: Case, shape: Shape) -> &'static [u32] {
    match case {
        // Does not depend on what the buffer is made of.
        Case::BeginEnd if shape.pages != Pages::Base || shape.items > 1 => &[],
        Case::BeginEnd => &[0, 1, 4, 8],
        // Where there are shadows, nothing larger can be mapped.
        Case::BeginEndPage if shape.pages != Pages::Base || shape.items > 1 => &[],
        Case::BeginEndPage if ![MIB, 64 * MIB].contains(&shape.bytes) => &[],
        Case::BeginEndPage => &[0, 1, 8],
        // What a mode takes does not depend on the size.
        Case::CreateExt | Case::CreateCoherent
            if shape.pages != Pages::Base || shape.items > 1 || shape.bytes > MIB =>
        {
            &[]
        }
        Case::PageTouched | Case::Checked if shape.pages != Pages::Base || shape.items > 1 => &[],
        Case::PageTouched => &[1],
        // Touching every page comes before, and takes long.
        Case::Munmap if shape.items > 1 || shape.bytes > 64 * MIB => &[],
        // Where one fault never fills more than a page table.
        Case::ScatteredTouch if shape.pages != Pages::Base || shape.bytes < 16 * MIB => &[],
        _ => &[0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(part: Part, quick: bool) -> Arguments {
        Arguments {
            part,
            cases: Vec::new(),
            only: String::new(),
            quick,
            symbols: false,
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let largest = |huge| {
            let steps = steps(&arguments(Part::All, false), huge);
            let huge = steps
                .iter()
                .filter(|step| step.shape.pages == Pages::Hugetlb);
            huge.map(|step| step.shape.bytes).max()
        };
        assert_eq!(largest(8 * GIB), Some(4 * GIB));
        assert_eq!(largest(2 * GIB), Some(GIB));
        assert_eq!(largest(0), None);
    }

    #[test]
    fn every_case_is_measured_and_a_quick_run_is_small() {
        let all = steps(&arguments(Part::All, false), GIB);
        for case in CASES {
            assert!(all.iter().any(|step| step.case == case), "{case}");
        }
        let quick = steps(&arguments(Part::All, true), GIB);
        assert!(quick.iter().all(|step| step.shape.bytes <= 16 * MIB));
    }

    #[test]
    fn the_grid_has_every_number_of_pieces_of_every_size() {
        let create = |part| {
            let steps = grid(&arguments(part, false)).into_iter();
            steps.filter(|step| step.case == Case::Create)
        };
        assert_eq!(create(Part::All).count(), 15);
        assert!(create(Part::All).all(|step| step.shape.pieces * PAGE <= step.shape.bytes));
        // Others are beside buffers of the grid.
        for step in beside_others(&arguments(Part::All, false), 1 << 20) {
            assert!(
                create(Part::All).any(|alone| alone.shape == step.shape),
                "{step:?}"
            );
        }
        assert_eq!(create(Part::Map).count(), 0);
        assert_eq!(grid(&arguments(Part::Map, false)).len(), 15);
    }

    #[test]
    fn threads_are_few_and_many() {
        let steps = at_once(&arguments(Part::All, true));
        let threads: Vec<_> = steps.iter().map(|step| step.threads).collect();
        assert_eq!(threads, [1, 8, 64]);
        assert!(at_once(&arguments(Part::Sync, true)).is_empty());
    }

    #[test]
    fn others_are_as_many_as_files_can_be_open() {
        let most = |quick, files| {
            let steps = beside_others(&arguments(Part::All, quick), files);
            steps.iter().map(Step::others_alive).max()
        };
        assert_eq!(most(false, 1 << 20), Some(100_000));
        assert_eq!(most(true, 1 << 20), Some(10_000));
        assert_eq!(most(false, 100_000), Some(10_000));
        assert_eq!(most(false, 1024), None);
        assert!(beside_others(&arguments(Part::Map, false), 1 << 20).is_empty());
    }

    #[test]
    fn those_who_are_closed_are_not_there_before() {
        let steps = beside_others(&arguments(Part::All, false), 1 << 20);
        let mut closed = steps.iter().filter(|step| step.case == Case::CloseAll);
        assert!(closed.clone().count() == 2 && closed.all(|step| step.others_alive() == 0));
    }

    #[test]
    fn a_list_has_whole_pages() {
        for shape in shapes(Part::All) {
            assert_eq!(shape.bytes % (shape.items * 4 * KIB), 0, "{shape:?}");
        }
    }
}
