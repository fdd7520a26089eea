//! Constants and small functions that several suites of tests use.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use deskticker::market::Symbol;
use deskticker::time::Utc;
use tokio::runtime::{Builder, Runtime};

/// The time limit of each wait. Only a failed test waits this long.
pub const TIME_LIMIT: Duration = Duration::from_secs(20);
/// 2026-11-23 14:30 UTC, a Monday during market hours in New York.
pub const MONDAY: Utc = Utc(1_795_444_200_000);
/// The token that the double of the proxy accepts.
pub const PROXY_TOKEN: &str = "eyJ1IjoiYSJ9+/==.0a1b2c";

/// The directories that this process has created.
static DIRECTORIES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A new empty directory of this suite. Tests run at the same time, so a second call with the same
/// name gets a directory of its own.
pub fn directory(name: &str) -> PathBuf {
    let suite = env!("CARGO_CRATE_NAME");
    let mut created = DIRECTORIES.lock().unwrap();
    let path = (1..)
        .map(|number| match number {
            1 => format!("{suite}-{name}"),
            _ => format!("{suite}-{name}-{number}"),
        })
        .map(|folder| Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder))
        .find(|path| !created.contains(path))
        .unwrap();
    created.push(path.clone());
    std::fs::remove_dir_all(&path).ok();
    std::fs::create_dir_all(&path).unwrap();
    path
}

pub fn symbols(names: &[&str]) -> Vec<Symbol> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A runtime of one thread with network access.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs a future on a new runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}
