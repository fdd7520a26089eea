//! Reads the dots of the display as a person does: names, numbers, strike lines, and the words
//! beside the numbers. It knows the layout of the pages and nothing about the program behind them.

use super::fonts::{Face, Fonts, Glass, Size, WIDTH};

/// The content of a place for a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Figure {
    /// No dots, or dots that are not a number.
    #[default]
    Nothing,
    /// Dashes: the value is unknown.
    Dashes,
    /// Dots: the number does not fit.
    Dots,
    /// A number in 1/10 000, and the look of its digits.
    Number { scaled: i64, look: Look },
}

/// The look of the digits of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// Bright digits.
    Plain,
    /// Faint digits: the number is a closing price.
    Faint,
    /// Faint digits with a line through them, or with lines beside them: the number is stale.
    Struck,
    /// Digits that are too small to be drawn faint.
    Small,
}

impl Figure {
    /// Returns the number, read in one of the sizes of [`Fonts`]. The smallest digits are never
    /// faint.
    const fn sized(self, size: usize) -> Self {
        match self {
            Self::Number {
                scaled,
                look: Look::Plain,
            } if size == 3 => Self::Number {
                scaled,
                look: Look::Small,
            },
            figure => figure,
        }
    }

    /// Returns true for a number that is struck out.
    pub(crate) const fn is_struck(&self) -> bool {
        matches!(
            self,
            Self::Number {
                look: Look::Struck,
                ..
            }
        )
    }
}

/// The words that may stand beside a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    Stale,
    Closed,
    Delayed,
    Demo,
    Pre,
    Post,
    Ext,
    Expired,
    NoAccess,
    Halted,
    Today,
    Age,
}

impl Word {
    pub(crate) const ALL: [(Self, &str); 12] = [
        (Self::Stale, "STALE"),
        (Self::Closed, "CLOSED"),
        (Self::Delayed, "DELAYED"),
        (Self::Demo, "DEMO"),
        (Self::Pre, "PRE"),
        (Self::Post, "POST"),
        (Self::Ext, "EXT"),
        (Self::Expired, "EXPIRED"),
        (Self::NoAccess, "NO ACCESS"),
        (Self::Halted, "HALTED"),
        (Self::Today, "TODAY"),
        (Self::Age, "12s"),
    ];

    fn of(text: &str) -> Option<Self> {
        if text == "DENIED" {
            return Some(Self::NoAccess);
        }
        if let Some(digits) = text.strip_suffix(['s', 'm', 'h', 'd']) {
            let aged = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
            return aged.then_some(Self::Age);
        }
        let found = Self::ALL.iter().find(|(_, word)| *word == text);
        found.map(|(word, _)| *word)
    }
}

/// A set of words, one bit for each word.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Words(u16);

impl Words {
    fn add(&mut self, word: Word) {
        self.0 |= 1 << word as u16;
    }

    pub(crate) const fn has(self, word: Word) -> bool {
        self.0 >> word as u16 & 1 == 1
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (word, text) in Word::ALL {
            if self.has(word) {
                write!(f, " {text}")?;
            }
        }
        Ok(())
    }
}

/// One instrument as the display shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sight {
    /// Its index in the watchlist, or `None` if the reader finds no known name.
    pub(crate) place: Option<usize>,
    pub(crate) figure: Figure,
    pub(crate) words: Words,
    /// True if this is the price of the first instrument from outside the regular hours. It has the
    /// name PRE, POST or EXT and stands below the close.
    pub(crate) later: bool,
}

/// The content of the display.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Page {
    pub(crate) first: Sight,
    pub(crate) second: Option<Sight>,
    pub(crate) demo: bool,
    /// The minute of the day, or `None` if the display shows no time or dashes.
    pub(crate) time: Option<u16>,
    /// The bid and the ask on the page of a contract.
    pub(crate) book: Option<[Figure; 2]>,
    /// The change of the first instrument in 1/100 of a percent.
    pub(crate) change: Option<i64>,
}

/// Reads the display; it reads only the parts that have changed since the last call.
pub(crate) struct Reader {
    fonts: Fonts,
    /// The names in the order of the watchlist; each label begins with one of them.
    names: Vec<String>,
    last: Glass,
    page: Page,
    /// The content of the header: the instrument, the first column after its name, and the badges.
    header: (Option<usize>, usize, Words),
    number: (Figure, Words),
    fresh: bool,
}

/// The byte ranges of the header, the first number, and the area below it. The bid and the ask of a
/// contract stand in the last row of the number's range.
const HEADER: std::ops::Range<usize> = 0..WIDTH;
const NUMBER: std::ops::Range<usize> = WIDTH..5 * WIDTH;
const BELOW: std::ops::Range<usize> = 5 * WIDTH..8 * WIDTH;

impl Reader {
    pub(crate) fn new(names: &[&str]) -> Self {
        Self {
            fonts: Fonts::new(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            last: [0; 1024],
            page: Page::default(),
            header: Default::default(),
            number: Default::default(),
            fresh: false,
        }
    }

    /// Returns the content of the display, and true if its dots have changed since the last call.
    pub(crate) fn read(&mut self, glass: &Glass) -> (Page, bool) {
        let changed = |part: std::ops::Range<usize>| glass[part.clone()] != self.last[part];
        let first = !self.fresh;
        let [header, number, below] = [HEADER, NUMBER, BELOW].map(|part| first || changed(part));
        if !(header || number || below) {
            return (self.page, false);
        }
        self.last = *glass;
        self.fresh = true;
        if header {
            self.header = self.header(glass);
            self.page.time = self.time(glass);
            self.page.demo = self.header.2.has(Word::Demo);
        }
        if header || number {
            self.page.change = self.change(glass, self.header.1);
        }
        if number {
            let mut words = Words::default();
            self.badges(glass, 1..5, &mut words);
            self.number = (self.figure(glass, 0, 1, &[0, 1, 2, 3]).0, words);
        }
        let place = self.header.0;
        let words = Words(self.header.2.0 | self.number.1.0);
        self.page.first = Sight {
            place,
            figure: self.number.0,
            words,
            later: false,
        };
        if number || below {
            self.page.book = self.book(glass);
            self.page.second = match self.page.book {
                Some(_) => None,
                None => self.second(glass),
            };
            if self
                .page
                .second
                .is_some_and(|second| second.words.has(Word::Demo))
            {
                self.page.demo = true;
            }
        }
        (self.page, true)
    }

    fn header(&self, glass: &Glass) -> (Option<usize>, usize, Words) {
        let (text, end) = text(&self.fonts.small, glass, 0, 0);
        let mut words = Words::default();
        self.badges(glass, 0..1, &mut words);
        let halted = || (30..60).any(|x| self::text(&self.fonts.word, glass, x, 2).0 == "HALTED");
        if text.is_empty() && halted() {
            words.add(Word::Halted);
        }
        (self.place(&text), end, words)
    }

    fn place(&self, text: &str) -> Option<usize> {
        let mut names = self.names.iter();
        // A longer name needs an exact comparison first: SPXW must not match SPX.
        let begins = |name: &String| text == name || name.len() > 3 && text.starts_with(&**name);
        names.position(begins)
    }

    fn time(&self, glass: &Glass) -> Option<u16> {
        // The time stands before the connection symbol; the narrow colon moves it two columns to
        // the right.
        let colon = 2;
        let (text, _) = text(&self.fonts.small, glass, 118 - 20 - colon, 0);
        let (hours, minutes) = text.split_once(':')?;
        Some(hours.parse::<u16>().ok()? * 60 + minutes.get(..2)?.parse::<u16>().ok()?)
    }

    /// Returns the change, which stands below the decimals of the price, or behind the name.
    fn change(&self, glass: &Glass, from: usize) -> Option<i64> {
        let behind = (from..75).map(|x| (x, 0));
        let below = (18..110).map(|x| (x, 4));
        below.chain(behind).find_map(|(x, page)| {
            let sign = self.fonts.small.plain(glass, x, page)?.letter;
            if !matches!(sign, b'+' | b'-') {
                return None;
            }
            let (text, _) = text(&self.fonts.small, glass, x, page);
            let digits: String = text
                .strip_suffix('%')?
                .chars()
                .filter(|c| *c != ',')
                .collect();
            let (whole, cents) = digits.split_once('.')?;
            let points = whole.parse::<i64>().ok()?.abs() * 100 + cents.parse::<i64>().ok()?;
            Some(if sign == b'-' { -points } else { points })
        })
    }

    /// Returns the instrument in the lower half.
    fn second(&self, glass: &Glass) -> Option<Sight> {
        let mut place = None;
        let mut end = 0;
        let (name, after) = text(&self.fonts.small, glass, 0, 6);
        let (root, _) = text(&self.fonts.small, glass, 0, 5);
        if let Some(found) = self.place(&root) {
            // The label has three lines: root, expiry, strike.
            place = Some(found);
            let lines = (5..8).map(|page| text(&self.fonts.small, glass, 0, page).1);
            end = lines.max().unwrap_or(0);
        } else if let Some(found) = self.place(&name) {
            (place, end) = (Some(found), after);
        } else if matches!(&*name, "PRE" | "POST" | "EXT") {
            (place, end) = (self.header.0, after);
        }
        let later = place.is_some() && place == self.header.0;
        place?;
        let mut words = Words::default();
        let part = self.badges(glass, 5..8, &mut words);
        let mut sight = Sight {
            place,
            figure: Figure::Nothing,
            words,
            later,
        };
        let ends = [end, part.unwrap_or(0).max(end)];
        for x in ends.map(|end| end + 4) {
            for (page, sizes) in [(5, &[1][..]), (6, &[2, 3])] {
                let (figure, _) = self.figure(glass, x, page, sizes);
                if figure != Figure::Nothing {
                    sight.figure = figure;
                    return Some(sight);
                }
            }
        }
        Some(sight)
    }

    /// Returns the bid and the ask of a contract's page. The words before them identify the page.
    fn book(&self, glass: &Glass) -> Option<[Figure; 2]> {
        let small = &self.fonts.small;
        let (bid, ask) = (text(small, glass, 0, 4), text(small, glass, 69, 4));
        let named = |text: &str, name: &str| text.starts_with(name);
        if !named(&bid.0, "bid") && !named(&bid.0, "b") || !ask.0.starts_with('a') {
            return None;
        }
        let side = |from: usize, end: usize| {
            let digits = (from..end).find(|x| {
                let before = (*x).saturating_sub(1);
                let ink = |x: usize| glass[4 * WIDTH + x] != 0;
                !ink(before) && self.figure(glass, *x, 4, &[3]).0 != Figure::Nothing
            });
            digits.map_or(Figure::Nothing, |x| self.figure(glass, x, 4, &[3]).0)
        };
        Some([side(15, 60), side(69 + 15, 125)])
    }

    /// Returns the number that begins at this position in one of the sizes, and the first column
    /// after it.
    fn figure(&self, glass: &Glass, x: usize, page: usize, sizes: &[usize]) -> (Figure, usize) {
        for look in [Look::Plain, Look::Faint, Look::Struck] {
            for number_size in sizes {
                let size = &self.fonts.sizes[*number_size];
                if page + size.whole.pages > 8 {
                    continue;
                }
                let mut text = [0u8; 24];
                if let Some((length, end)) = number(size, glass, (x, page), look, &mut text)
                    && let Some(figure) = parse(&text[..length], look)
                {
                    return (figure.sized(*number_size), end);
                }
            }
        }
        (Figure::Nothing, x)
    }

    /// Adds the badges (inverted words) on these pages to `words`. Returns the end of a badge at
    /// the left edge.
    fn badges(
        &self,
        glass: &Glass,
        pages: std::ops::Range<usize>,
        words: &mut Words,
    ) -> Option<usize> {
        let mut left = None;
        for page in pages.clone() {
            let mut x = 0;
            while x < WIDTH - 5 {
                // The number of pages whose left edge is lit, for a badge of several pages.
                let below = page + 1..pages.end;
                let lit = |page: &usize| glass[page * WIDTH + x] == 0xFF;
                let found = match (glass[page * WIDTH + x], below.take_while(lit).count()) {
                    (0xFF, _) => badge(&self.fonts.badge, glass, (x + 1, page), 0),
                    (0xFE, 0) => None,
                    (0xFE, 1) => badge(&self.fonts.word, glass, (x + 1, page), 1),
                    (0xFE, _) => badge(&self.fonts.block, glass, (x + 1, page), 1)
                        .or_else(|| badge(&self.fonts.word, glass, (x + 1, page), 1)),
                    _ => None,
                };
                let Some((text, end)) = found else {
                    x += 1;
                    continue;
                };
                if let Some(word) = Word::of(&text) {
                    words.add(word);
                    if x == 0 {
                        left = Some(end);
                    }
                }
                x = end;
            }
        }
        left
    }
}

/// Returns the text that begins at this position, and the first column after it. A gap of one
/// character is a space.
fn text(face: &Face, glass: &Glass, x: usize, page: usize) -> (String, usize) {
    let mut text = String::new();
    let (mut x, mut end) = (x, x);
    let mut gap = false;
    while x < WIDTH {
        match face.plain(glass, x, page) {
            Some(glyph) => {
                if gap {
                    text.push(' ');
                }
                text.push(char::from(glyph.letter));
                x += glyph.advance;
                (end, gap) = (x, false);
            }
            None => {
                let blank = (x..(x + 5).min(WIDTH)).all(|x| glass[page * WIDTH + x] == 0);
                if gap || !blank || text.is_empty() {
                    break;
                }
                gap = true;
                x += 5;
            }
        }
    }
    (text, end)
}

/// Returns the inverted text that begins at this position, and the first column after it.
fn badge(
    face: &Face,
    glass: &Glass,
    (x, page): (usize, usize),
    dark: u8,
) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut x = x;
    let step = [5, 8, 12][face.pages - 1];
    while x + step <= WIDTH {
        if let Some(glyph) = face.inverted(glass, x, page, dark) {
            text.push(char::from(glyph.letter));
            x += glyph.advance;
            continue;
        }
        // A space between two words, as in NO ACCESS, is fully lit.
        let lit = (x..x + step).all(|x| glass[page * WIDTH + x] | dark == 0xFF);
        if lit && face.inverted(glass, x + step, page, dark).is_some() {
            text.push(' ');
            x += step;
            continue;
        }
        break;
    }
    (!text.is_empty()).then_some((text, x))
}

/// Writes the characters of a number to `text`. Returns their count and the first column after
/// them.
fn number(
    size: &Size,
    glass: &Glass,
    (x, page): (usize, usize),
    look: Look,
    text: &mut [u8; 24],
) -> Option<(usize, usize)> {
    let start = x;
    let (mut x, mut length) = (x, 0);
    let mut fraction = None;
    while x < WIDTH && length < text.len() {
        let glyph = match fraction {
            None => {
                let whole = match look {
                    Look::Faint => size.whole.faint(glass, (x, page), x - start),
                    Look::Struck => size.whole.struck(glass, (x, page), x - start, size.line),
                    Look::Plain | Look::Small => size.whole.plain(glass, x, page),
                };
                let whole = whole.filter(|glyph| matches!(glyph.letter, b'0'..=b'9' | b',' | b'-'));
                match whole {
                    Some(glyph) => Some(glyph),
                    None => {
                        fraction = Some(x);
                        continue;
                    }
                }
            }
            Some(from) => {
                let behind = match look {
                    Look::Struck if size.beside => {
                        let odd = x - from;
                        size.fraction.struck(glass, (x, page), odd, size.line)
                    }
                    Look::Faint | Look::Struck => size.fraction.faint(glass, (x, page), x - from),
                    Look::Plain | Look::Small => size.fraction.plain(glass, x, page),
                };
                let first = x == from;
                behind.filter(|glyph| match glyph.letter {
                    b'.' => true,
                    b'0'..=b'9' => !first,
                    _ => false,
                })
            }
        };
        let Some(glyph) = glyph else { break };
        text[length] = glyph.letter;
        length += 1;
        x += glyph.advance;
    }
    (length > 0).then_some((length, x))
}

fn parse(text: &[u8], look: Look) -> Option<Figure> {
    if text.iter().all(|letter| *letter == b'-') {
        return (text.len() > 1 && look == Look::Plain).then_some(Figure::Dashes);
    }
    if text.iter().all(|letter| *letter == b'.') {
        return (text.len() > 1).then_some(Figure::Dots);
    }
    let (mut scaled, mut places, mut negative) = (0i64, None, false);
    let mut digits = false;
    for letter in text {
        match (letter, &mut places) {
            (b'-', None) if scaled == 0 => negative = true,
            (b',', None) => {}
            (b'.', None) if digits => places = Some(0),
            (b'0'..=b'9', None) => {
                scaled = scaled * 10 + i64::from(letter - b'0');
                digits = true;
            }
            (b'0'..=b'9', Some(places)) if *places < 4 => {
                scaled = scaled * 10 + i64::from(letter - b'0');
                *places += 1;
            }
            _ => return None,
        }
    }
    // Each price on the display has at least two decimals: a number with fewer decimals is only a
    // part of a price.
    let places: u32 = places.filter(|places| *places >= 2)?;
    let scaled = scaled * 10i64.pow(4 - places);
    Some(Figure::Number {
        scaled: if negative { -scaled } else { scaled },
        look,
    })
}
