//! Searches for the windows that cover all changes with the fewest bytes. This module owns the
//! search; it never reads a picture, and it never allocates.
//!
//! The search is exact: it tries each set of windows and each order, and leaves out only what
//! cannot cost less than the best plan so far. Complex changes have too many sets, so the number of
//! tries is limited, and the search then ends with the best plan so far.

use super::window::{MESSAGE, SIDE, Window, WindowPlan, price};

/// A range of columns in which the same pages have changed. A window that ends within a slab never
/// costs less than a window that ends at an edge of the slab.
#[derive(Clone, Copy, Debug)]
struct Slab {
    left: u8,
    width: u8,
    /// One bit for each page, set if the bytes of this page have changed.
    pages: u8,
}

/// The largest number of slabs of a search.
const SLABS: usize = 40;
/// The number of slabs up to which the search ends only if it has tried everything. Its tries are
/// limited all the same, but no such change is known that needs as many.
const SIMPLE: usize = 8;
const SIMPLE_TRIES: u32 = 20_000;
/// The limit for all other changes. A hundred times as many tries save one byte in fifty.
const TRIES: u32 = 200;
/// The largest number of windows that the search tries. A larger plan comes from outside.
const WINDOWS: usize = 6;
/// A window that keeps the columns or the pages of another window may cost this number of bytes
/// more: it saves both sides at most.
const GROWTH: usize = 2 * SIDE;

type Slabs = heapless::Vec<Slab, SLABS>;
type Cores = heapless::Vec<Window, WINDOWS>;

/// The search for one update.
pub(crate) struct Search {
    /// The window that is set in the chip.
    current: Option<Window>,
    /// The cost in bytes of the first switch, at least.
    first: usize,
    slabs: Slabs,
    /// The best plan so far, and its cost in bytes.
    best: WindowPlan,
    least: usize,
    /// The number of tries that are left.
    tries: u32,
}

impl Search {
    /// Starts a search. `current` is the window that is set in the chip, and `first` is the least
    /// cost in bytes of the first switch.
    pub(crate) const fn new(current: Option<Window>, first: usize) -> Self {
        Self {
            current,
            first,
            slabs: Slabs::new(),
            best: WindowPlan::new(),
            least: usize::MAX,
            tries: TRIES,
        }
    }

    /// Returns the best plan that was found.
    pub(crate) fn best(self) -> WindowPlan {
        self.best
    }

    /// Keeps these windows in their order if they cost less than the best plan so far. An update of
    /// many windows has too many orders for the search, so it needs a plan to begin with.
    pub(crate) fn keep(&mut self, plan: &WindowPlan) {
        let cost = price(plan, self.current);
        if cost < self.least {
            self.least = cost;
            self.best.clone_from(plan);
        }
    }

    /// Tries each set of windows that covers all changes. `changes` has one bit for each changed
    /// column of each page. The function does nothing if the changes are too complex.
    pub(crate) fn all(&mut self, changes: &[u128; 8]) {
        let Some(bytes) = self.cut(changes) else {
            return;
        };
        if self.slabs.len() <= SIMPLE {
            self.tries = SIMPLE_TRIES;
        }
        let mut uncovered = [0; SLABS];
        for (pages, slab) in uncovered.iter_mut().zip(&self.slabs) {
            *pages = slab.pages;
        }
        self.cover(&uncovered, bytes, 0, &mut Cores::new());
    }

    /// Cuts the changes into slabs, and returns the number of changed bytes. Returns `None` if there
    /// are too many slabs.
    fn cut(&mut self, changes: &[u128; 8]) -> Option<usize> {
        self.slabs.clear();
        let mut edges = 0;
        for columns in changes {
            edges |= columns ^ columns << 1;
        }
        let mut bytes = 0;
        while edges != 0 {
            let left = edges.trailing_zeros();
            edges &= edges - 1;
            let right = edges.trailing_zeros();
            let mut pages = 0;
            for (page, columns) in changes.iter().enumerate() {
                pages |= (((columns >> left) as u8) & 1) << page;
            }
            let slab = Slab {
                left: left as u8,
                width: (right - left) as u8,
                pages,
            };
            bytes += usize::from(slab.width) * pages.count_ones() as usize;
            self.slabs.push(slab).ok()?;
        }
        Some(bytes)
    }

    /// Returns the least cost in bytes of the commands for this number of windows. Two windows of a
    /// plan always differ, so each switch sets at least one side.
    const fn switches(&self, windows: usize) -> usize {
        self.first + SIDE * (windows - 1)
    }

    /// Covers the first byte that is not covered yet with each possible window, and then the rest.
    /// `left` is the number of bytes that are not covered, and `spent` is the cost in bytes of the
    /// windows in `chosen` without their commands.
    fn cover(&mut self, uncovered: &[u8; SLABS], left: usize, spent: usize, chosen: &mut Cores) {
        let Some(first) = uncovered.iter().position(|pages| *pages != 0) else {
            let mut cores = chosen.clone();
            cores.sort_unstable();
            self.arrange(&cores);
            return;
        };
        let windows = chosen.len() + 1;
        if windows > WINDOWS {
            return;
        }
        let page = uncovered[first].trailing_zeros();
        let used = uncovered.iter().fold(0, |used, pages| used | pages);
        // A window begins at the first slab, because no slab before it has uncovered bytes.
        for top in (0..=page).filter(|top| used >> top & 1 == 1) {
            for bottom in (page..8).filter(|bottom| used >> bottom & 1 == 1) {
                let rows = (u8::MAX << top) & (u8::MAX >> (7 - bottom));
                let (mut width, mut covered, mut hit_pages) = (0, 0, 0);
                for right in first..self.slabs.len() {
                    if self.tries == 0 {
                        return;
                    }
                    self.tries -= 1;
                    let slab = self.slabs[right];
                    let hit = uncovered[right] & rows;
                    width += usize::from(slab.width);
                    covered += usize::from(slab.width) * hit.count_ones() as usize;
                    hit_pages |= hit;
                    let area = width * (bottom - top + 1) as usize;
                    let rest = left - covered;
                    let cost = spent + MESSAGE + area;
                    // The bytes beside the changes only become more in a wider window.
                    if cost + rest + self.switches(windows) >= self.least {
                        break;
                    }
                    let is_tight = hit != 0 && hit_pages >> top & hit_pages >> bottom & 1 == 1;
                    let more = MESSAGE + rest + self.switches(windows + 1);
                    if !is_tight || rest > 0 && cost + more >= self.least {
                        continue;
                    }
                    let window = Window {
                        left: self.slabs[first].left,
                        right: slab.left + slab.width - 1,
                        top: top as u8,
                        bottom: bottom as u8,
                    };
                    // There is space, because `windows` is within the limit.
                    let _ = chosen.push(window);
                    let mut after = *uncovered;
                    for pages in &mut after[first..=right] {
                        *pages &= !rows;
                    }
                    self.cover(&after, rest, cost, chosen);
                    chosen.pop();
                }
            }
        }
    }

    /// Tries each order of these windows, which are in reading order. Of orders with the same cost,
    /// the search keeps the first one in reading order: the marks above a price come before the
    /// price, and its high digits come before its low digits, so that a price that is half new is
    /// as near to the new price as possible.
    pub(crate) fn arrange(&mut self, cores: &[Window]) {
        let areas = cores.iter().map(|core| MESSAGE + core.area()).sum();
        self.place(cores, 0, areas, 0, &mut WindowPlan::new());
    }

    /// Sends each of the windows next that are not in `placed`, and then the others. `left` is the
    /// cost in bytes of the windows that are not placed, without commands, and `spent` is the cost
    /// in bytes of the windows in `order`.
    fn place(
        &mut self,
        cores: &[Window],
        placed: u32,
        left: usize,
        spent: usize,
        order: &mut WindowPlan,
    ) {
        if order.len() == cores.len() {
            if spent < self.least {
                self.least = spent;
                self.best.clone_from(order);
            }
            return;
        }
        let before = order.last().copied().or(self.current);
        let others = cores.len() - order.len() - 1;
        // Windows that share a side with the window before come first, because they cost less.
        for shared in [true, false] {
            for (i, core) in cores.iter().enumerate() {
                if placed >> i & 1 == 1 {
                    continue;
                }
                if self.tries == 0 && self.least < usize::MAX {
                    return;
                }
                self.tries = self.tries.saturating_sub(cores.len() as u32);
                let rest = left - MESSAGE - core.area();
                let mut try_window = |window: Window| {
                    let switch = window.switch(before);
                    let cost = spent + MESSAGE + window.area() + switch;
                    if (switch <= SIDE) != shared || cost + rest + SIDE * others >= self.least {
                        return;
                    }
                    // The capacity of a plan is larger than the number of windows.
                    let _ = order.push(window);
                    self.place(cores, placed | 1 << i, rest, cost, order);
                    order.pop();
                };
                grown(*core, cores, before, &mut try_window);
            }
        }
    }
}

/// Calls `each` with the window, and then with each slightly larger window whose columns or pages
/// can be the same as those of another window.
fn grown(core: Window, cores: &[Window], before: Option<Window>, each: &mut impl FnMut(Window)) {
    let others = || cores.iter().copied().chain(before);
    let columns = GROWTH / core.height();
    let pages = GROWTH / core.width();
    let lefts = sides(core.left, others().map(|other| other.left), |side| {
        side < core.left && usize::from(core.left - side) <= columns
    });
    let rights = sides(core.right, others().map(|other| other.right), |side| {
        side > core.right && usize::from(side - core.right) <= columns
    });
    let tops = sides(core.top, others().map(|other| other.top), |side| {
        side < core.top && usize::from(core.top - side) <= pages
    });
    let bottoms = sides(core.bottom, others().map(|other| other.bottom), |side| {
        side > core.bottom && usize::from(side - core.bottom) <= pages
    });
    for left in &lefts {
        for right in &rights {
            for top in &tops {
                for bottom in &bottoms {
                    let window = Window {
                        top: *top,
                        left: *left,
                        bottom: *bottom,
                        right: *right,
                    };
                    if window.area() <= core.area() + GROWTH {
                        each(window);
                    }
                }
            }
        }
    }
}

/// Returns the window's own side, and the sides of others that a larger window can take.
fn sides(
    own: u8,
    others: impl Iterator<Item = u8>,
    is_near: impl Fn(u8) -> bool,
) -> heapless::Vec<u8, 6> {
    let mut found = heapless::Vec::new();
    found.extend([own]);
    for side in others {
        // With so many sides, the first ones are enough.
        if is_near(side) && !found.contains(&side) && found.push(side).is_err() {
            break;
        }
    }
    found
}
