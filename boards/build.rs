//! Writes every board file (`.toml` in this directory) as Rust code.
//!
//! A board file has one key and one value in each line, and each value is also valid Rust. Therefore
//! the compiler checks the required keys and their types, and the program contains neither the files
//! nor a parser for the files.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=boards");
    let mut files = fs::read_dir("boards")?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    let boards: Vec<String> = files
        .iter()
        .map(|path| board(path))
        .collect::<io::Result<_>>()?;
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    let all = format!("[{}]", boards.concat());
    fs::write(Path::new(&out).join("boards.rs"), all)
}

fn board(path: &Path) -> io::Result<String> {
    let name = path.file_stem().unwrap_or_default();
    let mut board = format!("Board {{ name: {name:?}, ");
    for line in fs::read_to_string(path)?.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            let message = format!("{}: expected key = value: {line}", path.display());
            return Err(io::Error::other(message));
        };
        let list = if value.trim_start().starts_with('[') {
            "&"
        } else {
            ""
        };
        board += &format!("{key}: {list}{value}, ");
    }
    Ok(board + "}, ")
}
