//! The layers of the source: a module uses only what is below it, no two files use each other, and the
//! cores name neither a runtime nor a clock. Reads `src` as text; code for tests does not count.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The top-level modules, the lowest layer first. Two modules of one layer may not use each other.
const LAYERS: &[&[&str]] = &[
    &["board", "files", "time"],
    &["logging", "secret", "systemd"],
    &["market"],
    &["massive", "render"],
    &["net"],
    &["display", "feed"],
    &["config"],
    &["simulator", "web"],
    &["ticker"],
    &["hub"],
    &["command_line", "demo", "doctor", "phone"],
    &["setup"],
];

/// Modules that get events and time as arguments. They name neither tokio nor a clock.
const CORES: &[&str] = &[
    "market",
    "massive",
    "render",
    "feed::backoff",
    "feed::connection",
    "feed::hub_choice",
    "feed::poll_schedule",
    "feed::subscriptions",
    "ticker::alerts",
    "ticker::dimming",
    "ticker::link_monitor",
    "ticker::page_rotation",
    "ticker::demand",
    "ticker::state",
    "ticker::time_consensus",
    "ticker::view_builder",
    "hub::broker::commands",
    "hub::broker::frame_cache",
    "hub::broker::last_value",
    "hub::broker::liveness",
    "hub::broker::subscriptions",
    "web::metrics",
    "web::status",
    "phone::decision",
    "phone::notice",
    "phone::page",
];

/// A file of the library, by its module path.
type Modules = BTreeMap<Vec<String>, Vec<String>>;

/// Identifiers and punctuation of a source text, without comments, literals and test modules.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            3 + raw.find("\"#").unwrap() + 2
        } else if first == '"' {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            end.unwrap().0 + 1
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\") {
            2 + rest[2..].find('\'').unwrap() + 1
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            end.unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let token = &rest[..length];
        let literal = first == '"' || token.starts_with("r#\"");
        if !first.is_whitespace() && !literal && !token.starts_with("//") {
            tokens.push(token.to_owned());
        }
        rest = &rest[length..];
    }
    without_tests(tokens)
}

/// Leaves out each module that stands behind `#[cfg(test)]`.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let marker = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].starts_with(&marker.map(str::to_owned)) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0;
        loop {
            at += 1;
            match tokens.get(at).map(String::as_str) {
                Some("{") => depth += 1,
                Some("}") if depth == 1 => break,
                Some("}") => depth -= 1,
                Some(";") if depth == 0 => break,
                Some(_) => {}
                None => break,
            }
        }
        at += 1;
    }
    kept
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" && name != "bin" {
            files(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

fn modules() -> Modules {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    let module = |path: &Path| {
        let path = path.strip_prefix(&source).unwrap().with_extension("");
        let mut parts: Vec<String> = path
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
            parts.pop();
        }
        parts
    };
    found
        .iter()
        .map(|path| (module(path), tokens(&fs::read_to_string(path).unwrap())))
        .collect()
}

/// The paths that begin at this token, with the braces of a `use` written out; and the token behind.
fn paths(tokens: &[String], mut at: usize, prefix: &[String]) -> (Vec<Vec<String>>, usize) {
    let mut path = prefix.to_vec();
    let mut all = Vec::new();
    loop {
        if tokens[at] == "{" {
            at += 1;
            while tokens[at] != "}" {
                let (more, next) = paths(tokens, at, &path);
                all.extend(more);
                at = next;
                if tokens[at] == "as" {
                    at += 2;
                }
                at += usize::from(tokens[at] == ",");
            }
            return (all, at + 1);
        }
        path.push(tokens[at].clone());
        at += 1;
        match tokens.get(at).map(String::as_str) {
            Some("::") if tokens[at + 1] != "<" => at += 1,
            _ => {
                all.push(path);
                return (all, at);
            }
        }
    }
}

/// The modules that a module uses, each with the longest path that is a file.
fn uses(modules: &Modules, module: &[String], tokens: &[String]) -> BTreeSet<Vec<String>> {
    let mut used = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let behind = at > 0 && matches!(tokens[at - 1].as_str(), "::" | ".");
        let begins = match token.as_str() {
            "crate" | "super" => !behind && tokens.get(at + 1).is_some_and(|next| next == "::"),
            "use" => true,
            _ => false,
        };
        if !begins {
            continue;
        }
        let first = at + usize::from(token == "use");
        for path in paths(tokens, first, &[]).0 {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let own = [module, &path[..]].concat();
            let absolute = match path[0].as_str() {
                "crate" => path[1..].to_vec(),
                "super" => [&module[..module.len() - ups], &path[ups..]].concat(),
                _ if modules.contains_key(&own[..=module.len()]) => own,
                _ => continue,
            };
            let longest = (0..=absolute.len())
                .rev()
                .map(|length| absolute[..length].to_vec())
                .find(|part| modules.contains_key(part));
            used.extend(longest.filter(|longest| longest != module));
        }
    }
    used
}

fn name(module: &[String]) -> String {
    module.join("::")
}

fn layer(module: &[String]) -> Option<usize> {
    let first = module.first()?;
    let found = LAYERS.iter().position(|names| names.contains(&&**first));
    Some(found.unwrap_or_else(|| panic!("{first} is in no layer: add it to LAYERS")))
}

#[test]
fn every_module_uses_only_the_layers_below_it() {
    let modules = modules();
    let mut wrong = Vec::new();
    for (module, tokens) in &modules {
        for used in uses(&modules, module, tokens) {
            let (Some(from), Some(to)) = (layer(module), layer(&used)) else {
                continue;
            };
            if to > from || to == from && module[0] != used[0] {
                wrong.push(format!("{} uses {}", name(module), name(&used)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_two_files_use_each_other() {
    let modules = modules();
    let is_kin = |a: &[String], b: &[String]| a.starts_with(b) || b.starts_with(a);
    let arrows: BTreeMap<_, BTreeSet<_>> = modules
        .iter()
        .map(|(module, tokens)| {
            let mut used = uses(&modules, module, tokens);
            used.retain(|used| !is_kin(module, used));
            (module, used)
        })
        .collect();
    // What is reached from each, one arrow after the other.
    let mut circles = BTreeSet::new();
    for start in modules.keys() {
        let mut reached = BTreeSet::new();
        let mut ahead: Vec<_> = arrows[start].iter().collect();
        while let Some(next) = ahead.pop() {
            if reached.insert(next) {
                ahead.extend(&arrows[next]);
            }
        }
        if reached.contains(start) {
            let others = reached.iter().filter(|other| {
                let back = &arrows[**other];
                back.contains(start) && arrows[start].contains(**other)
            });
            let names: Vec<String> = others.map(|other| name(other)).collect();
            circles.insert(format!("{} with {names:?}", name(start)));
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn the_cores_name_neither_a_runtime_nor_a_clock() {
    let mut wrong = Vec::new();
    for (module, tokens) in modules() {
        let path = name(&module);
        let is_core = |core: &&&str| path == **core || path.starts_with(&format!("{core}::"));
        if CORES.iter().find(is_core).is_none() {
            continue;
        }
        for (at, token) in tokens.iter().enumerate() {
            let forbidden = match token.as_str() {
                "tokio" | "Instant" | "SystemTime" => true,
                "use" => {
                    let used = paths(&tokens, at + 1, &[]).0;
                    used.iter()
                        .any(|path| path.ends_with(&["time", "Clock"].map(str::to_owned)))
                }
                _ => false,
            };
            if forbidden {
                wrong.push(format!(
                    "{path}: {}",
                    tokens[at..].iter().take(6).cloned().collect::<String>()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_longer_than_four_hundred_lines_of_code() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    files(&source.join("bin"), &mut found);
    let mut wrong = Vec::new();
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let program = text.split("#[cfg(test)]").next().unwrap();
        let lines = program.lines().map(str::trim);
        let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
        let count = code.count();
        if count > 400 {
            wrong.push(format!("{}: {count}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
