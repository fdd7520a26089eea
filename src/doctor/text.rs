//! Findings as lines for people, and as JSON for programs.

use serde_json::json;

use super::{CheckState, Finding};

/// The width of a terminal that nobody has made wider.
const WIDTH: usize = 80;
/// Where what was found begins: behind the state and the check.
const COLUMN: usize = 23;
/// Where advice begins.
const INDENT: usize = 9;

/// One finding as lines, the last with its newline. Only what is to be typed as it is may be longer
/// than 80 columns.
pub fn text(finding: &Finding, colour: bool) -> String {
    let word = finding.state.word();
    let (on, off) = match (colour, finding.state) {
        (false, _) => ("", ""),
        (true, CheckState::Ok) => ("\x1b[32m", "\x1b[0m"),
        (true, CheckState::Warning) => ("\x1b[33m", "\x1b[0m"),
        (true, CheckState::Failed) => ("\x1b[31m", "\x1b[0m"),
        (true, CheckState::Skipped) => ("\x1b[2m", "\x1b[0m"),
    };
    let mut out = format!("{on}{word:<7}{off}  {:<13} ", finding.check);
    wrap(&mut out, &finding.found, COLUMN);
    for line in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
        out.push_str(&" ".repeat(INDENT));
        if line.starts_with(' ') {
            // A command is one line, however long, or it cannot be copied.
            out.push_str(line);
            out.push('\n');
        } else {
            wrap(&mut out, line, INDENT);
        }
    }
    out
}

/// Writes words from this column on, and in lines that begin there.
fn wrap(out: &mut String, words: &str, column: usize) {
    let mut at = column;
    for word in words.split(' ') {
        let length = word.chars().count();
        if at > column {
            if at + 1 + length > WIDTH {
                out.push('\n');
                out.push_str(&" ".repeat(column));
                at = column;
            } else {
                out.push(' ');
                at += 1;
            }
        }
        // What comes of others has lost its control characters long before.
        out.extend(word.chars().filter(|c| !c.is_control()));
        at += length;
    }
    out.push('\n');
}

/// How it went, in a line.
pub fn summary(findings: &[Finding]) -> String {
    let count = |state| {
        findings
            .iter()
            .filter(|finding| finding.state == state)
            .count()
    };
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    match (count(CheckState::Failed), count(CheckState::Warning)) {
        (0, 0) => "all is well\n".to_owned(),
        (0, warnings) => format!("it works, with {warnings} warning{}\n", plural(warnings)),
        (failed, 0) => format!("{failed} check{} failed\n", plural(failed)),
        (failed, warnings) => format!(
            "{failed} check{} failed, {warnings} warning{}\n",
            plural(failed),
            plural(warnings)
        ),
    }
}

/// All of them as an array, one object a line.
pub fn json(findings: &[Finding]) -> String {
    let rows: Vec<String> = findings
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check,
                "state": finding.state.word(),
                "found": finding.found,
                "mend": finding.remedy,
            })
            .to_string()
        })
        .collect();
    format!("[\n{}\n]\n", rows.join(",\n"))
}
