//! The command `certificate`: creates the certificate and prints the lines that the hub and the
//! displays need.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use deskticker::hub::auth::registry;
use deskticker::hub::{certificate, config};
use deskticker::net::endpoint::Endpoint;
use deskticker::time::Clock;

use crate::ExitReason;

/// Creates a certificate for these names in `folder` and returns the text for the user. The default
/// folder is the state directory of the service.
pub(crate) fn create(
    names: &[String],
    folder: Option<PathBuf>,
    config: Option<&Path>,
) -> Result<String, ExitReason> {
    let port = config::listen_port(config).map_err(ExitReason::config)?;
    let usual = Path::new(registry::DEFAULT_PATH).parent();
    let folder = match (folder, usual) {
        (None, Some(usual)) => {
            let mut builder = std::fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(usual);
            made.map_err(|error| ExitReason(1, format!("{}: {error}", usual.display())))?;
            usual.to_owned()
        }
        // The service has another working directory, so its configuration needs absolute paths.
        (folder, _) => {
            std::path::absolute(folder.unwrap_or_default()).map_err(ExitReason::other)?
        }
    };
    let now = Clock::system().now().utc;
    let made = certificate::create(names, &folder, now).map_err(ExitReason::other)?;
    let settings = config.unwrap_or(Path::new(config::DEFAULT_PATH)).display();
    let (public, secret) = (made.certificate.display(), made.key.display());
    let host = names.first().cloned().unwrap_or_default();
    let url = Endpoint {
        secure: true,
        host,
        port,
        base: String::new(),
        address: None,
    };
    Ok(format!(
        "The certificate for {}, valid until {}: {public}
Its private key, which must stay on this machine: {secret}

Add these lines to {settings}, then restart the hub (sudo systemctl restart deskticker-hub):

[tls]
cert = {:?}
key = {:?}

Copy the certificate to each display as /etc/deskticker/hub.pem, with the mode 644:

  sudo cat {public} | ssh pi@DISPLAY sudo install -m 644 /dev/stdin /etc/deskticker/hub.pem

To a card with the image of deskticker, copy the certificate to the partition DESKTICKER; its path is
then /boot/firmware/hub.pem.

Write these lines to /etc/deskticker/deskticker.toml of each display:

[hub]
url = \"{url}\"
ca_file = \"/etc/deskticker/hub.pem\"
",
        names.join(", "),
        made.until,
        made.certificate,
        made.key,
    ))
}
