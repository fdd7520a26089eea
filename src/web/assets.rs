//! The files of the page, which are part of the program. They are compressed once, at the first
//! request: browsers offer gzip to every address, and brotli only over HTTPS.

use std::io::Write;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;

/// One file of the page.
#[derive(Debug)]
pub(super) struct Asset {
    path: &'static str,
    /// Its media type.
    pub(super) kind: &'static str,
    content: &'static [u8],
    compressed: OnceLock<Bytes>,
}

impl Asset {
    const fn new(path: &'static str, kind: &'static str, content: &'static [u8]) -> Self {
        Self {
            path,
            kind,
            content,
            compressed: OnceLock::new(),
        }
    }

    /// Returns the file in gzip.
    pub(super) fn compressed(&self) -> Bytes {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            // A write to a `Vec` cannot fail.
            let _ = encoder.write_all(self.content);
            encoder.finish().unwrap_or_default().into()
        };
        self.compressed.get_or_init(compress).clone()
    }
}

static ASSETS: [Asset; 5] = [
    Asset::new(
        "/",
        "text/html; charset=utf-8",
        include_bytes!("assets/index.html"),
    ),
    Asset::new(
        "/page.css",
        "text/css; charset=utf-8",
        include_bytes!("assets/page.css"),
    ),
    Asset::new(
        "/page.js",
        "text/javascript; charset=utf-8",
        include_bytes!("assets/page.js"),
    ),
    Asset::new(
        "/icon.svg",
        "image/svg+xml",
        include_bytes!("assets/icon.svg"),
    ),
    Asset::new(
        "/page.webmanifest",
        "application/manifest+json",
        include_bytes!("assets/page.webmanifest"),
    ),
];

/// Returns the file with this path.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_together_have_at_most_25_kb() {
        let sizes: Vec<_> = ASSETS
            .iter()
            .map(|asset| asset.compressed().len())
            .collect();
        assert!(sizes.iter().all(|size| *size > 50), "{sizes:?}");
        assert!(sizes.iter().sum::<usize>() <= 25_000, "{sizes:?}");
    }

    #[test]
    fn no_file_of_the_page_comes_from_another_server_or_has_inline_code() {
        for asset in &ASSETS {
            let text = std::str::from_utf8(asset.content).unwrap();
            let text = text.replace("http://www.w3.org/", "");
            for forbidden in [
                "http:",
                "https:",
                "<script>",
                "style=",
                "onclick",
                "innerHTML",
                "eval(",
            ] {
                assert!(!text.contains(forbidden), "{} {forbidden}", asset.path);
            }
        }
    }
}
