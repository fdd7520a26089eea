//! The notice of the set-up by phone for the display: the text in the first line, and the QR code
//! as one line for each row of modules, with `#` for a dark module. The display only copies the
//! modules, so it needs no encoder. Pure: this module writes no file.

use std::net::IpAddr;

use qrcodegen::{QrCode, QrCodeEcc};

/// Returns the notice for an open network: its name, its code, the address of the page, and a QR
/// code with which a phone joins the network. `failed` is true if the last settings did not work.
pub fn text(name: &str, code: &str, page: IpAddr, failed: bool) -> String {
    // On a high panel, the text has eight lines of twelve characters beside the QR code.
    let mut text = match failed {
        true => format!("no connection. Again: Wi-Fi {name}, code {code}, {page}\n"),
        false => format!("join the Wi-Fi {name} with the code {code}, then open {page}\n"),
    };
    // A text of this length always fits into a QR code. The notice is complete without one.
    let content = format!("WIFI:T:WPA;S:{name};P:{code};;");
    if let Ok(code) = QrCode::encode_text(&content, QrCodeEcc::Low) {
        for y in 0..code.size() {
            text.extend((0..code.size()).map(|x| if code.get_module(x, y) { '#' } else { '.' }));
            text.push('\n');
        }
    }
    text
}
