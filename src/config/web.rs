//! The web page in the configuration: the table `[page]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{ConfigReader, ConfigTable, Mistake, listen_address};

/// The default port of the page.
const PORT: u16 = 8080;

/// The configured web page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageConfig {
    /// The address and the port. The default is only open on this machine.
    pub listen: SocketAddr,
    /// The names by which browsers may call this machine, beside its own name and its addresses.
    pub hosts: Vec<String>,
}

impl Default for PageConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            hosts: Vec::new(),
        }
    }
}

impl ConfigReader<'_> {
    /// Reads the table `[page]`.
    pub(super) fn page(&self, mut table: ConfigTable<'_, '_>) -> PageConfig {
        let mut page = PageConfig::default();
        let listen = table.text("listen");
        let default = page.listen;
        self.set(&mut page.listen, "listen", &listen, |text: &str| {
            listen_address(text, default)
        });
        for name in table
            .list("hosts")
            .into_iter()
            .flat_map(|list| list.into_inner())
        {
            page.hosts
                .extend(self.read("hosts", &name, |text: &str| host(text)));
        }
        table.finish();
        page
    }
}

/// Reads a host name without a port.
fn host(text: &str) -> Result<String, Mistake> {
    let name = text.trim().trim_end_matches('.');
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !name.is_empty() && name.chars().all(good) {
        return Ok(name.to_ascii_lowercase());
    }
    let reason = format!("{text:?}, expected a name without http:// and without a port");
    let bare = name.rsplit("://").next().unwrap_or_default();
    let bare = bare.split([':', '/']).next().unwrap_or_default();
    match !bare.is_empty() && bare.chars().all(good) {
        true => Err(Mistake::with(reason, format!("{bare:?}"))),
        false => Err(reason.into()),
    }
}
