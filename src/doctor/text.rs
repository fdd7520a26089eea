//! Formats findings as text for people and as JSON for programs. Prints nothing itself.

use serde_json::json;

use super::{CheckState, Finding};

/// The default width of a terminal, in columns.
const WIDTH: usize = 80;
/// The column at which the observation begins, after the state and the name of the check.
const COLUMN: usize = 23;
/// The column at which the remedy begins.
const INDENT: usize = 9;

/// Formats one finding as lines; the last line ends with a newline. Prose is wrapped at 80 columns.
/// A command stays on one line, so that the user can copy the command.
pub fn text(finding: &Finding, colour: bool) -> String {
    let word = finding.state.word();
    let on = match finding.state {
        CheckState::Ok => "\x1b[32m",
        CheckState::Warning => "\x1b[33m",
        CheckState::Failed => "\x1b[31m",
        CheckState::Skipped => "\x1b[2m",
    };
    let (on, off) = if colour { (on, "\x1b[0m") } else { ("", "") };
    let mut out = format!("{on}{word:<7}{off}  {:<13} ", finding.check);
    wrap(&mut out, &finding.found, COLUMN);
    for line in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
        out.push_str(&" ".repeat(INDENT));
        if line.starts_with(' ') {
            // A command must stay on one line: otherwise the user cannot copy the command.
            out.push_str(line);
            out.push('\n');
        } else {
            wrap(&mut out, line, INDENT);
        }
    }
    out
}

/// Appends words from `column` on and wraps them at `WIDTH`. Each further line begins at `column`.
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
        // Text from a server has no control characters at this point. This filter is a second
        // protection of the terminal.
        out.extend(word.chars().filter(|c| !c.is_control()));
        at += length;
    }
    out.push('\n');
}

/// Counts the failures and warnings of all checks, as one line with a newline.
pub fn summary(findings: &[Finding]) -> String {
    let count = |state, noun: &str| {
        let found = findings.iter().filter(|finding| finding.state == state);
        match found.count() {
            0 => None,
            1 => Some(format!("1 {noun}")),
            count => Some(format!("{count} {noun}s")),
        }
    };
    let failed = count(CheckState::Failed, "check");
    match (failed, count(CheckState::Warning, "warning")) {
        (None, None) => "all checks passed\n".to_owned(),
        (None, Some(warnings)) => format!("no check failed, {warnings}\n"),
        (Some(failed), None) => format!("{failed} failed\n"),
        (Some(failed), Some(warnings)) => format!("{failed} failed, {warnings}\n"),
    }
}

/// Formats all findings as a JSON array with one object per line.
pub fn json(findings: &[Finding]) -> String {
    let row = |finding: &Finding| {
        let state = finding.state.word();
        let (check, found, mend) = (finding.check, &finding.found, &finding.remedy);
        json!({ "check": check, "state": state, "found": found, "mend": mend }).to_string()
    };
    let rows = findings.iter().map(row).collect::<Vec<_>>();
    format!("[\n{}\n]\n", rows.join(",\n"))
}
