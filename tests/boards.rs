//! The existence of a file makes a board, so every file must be one.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Board {
    model: String,
    bus: String,
    target: String,
    config_txt: Vec<String>,
}

#[test]
fn every_board_file_describes_a_board() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards");
    let mut models = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let board: Board =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(board.model.starts_with("Raspberry Pi "), "{}", board.model);
        assert!(board.bus.starts_with("/dev/i2c-"), "{}", board.bus);
        assert!(
            ["aarch64-unknown-linux-gnu", "armv7-unknown-linux-gnueabihf"]
                .contains(&board.target.as_str()),
            "{}",
            board.target
        );
        assert!(
            board
                .config_txt
                .iter()
                .all(|line| line.starts_with("dtparam=i2c_arm")),
            "{:?}",
            board.config_txt
        );
        models.push(board.model);
    }
    let count = models.len();
    models.sort();
    models.dedup();
    assert!(
        count >= 4 && models.len() == count,
        "each model once: {models:?}"
    );
}
