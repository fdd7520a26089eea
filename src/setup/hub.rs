//! The set-up of a hub: the key, another hub above it or simulated prices, the address, TLS and the
//! first device.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};

use super::console::{Console, Question};
use super::{
    HubSecrets, absolute, carry_out, check_permission, edit, given_secret, good, hub_above,
    hub_config, present, quoted, service,
};
use crate::doctor;
use crate::hub::auth::registry::{self, RegistryFile};
use crate::hub::config::DEFAULT_PATH;
use crate::hub::listen_address::{DEFAULT_LISTEN, foreign_address, typed_listen};
use crate::hub::server::tls::Tls;
use crate::net::connector::Connector;
use crate::net::endpoint::Endpoint;
use crate::net::http;
use crate::net::source::{FeedProvider, FeedSource};
use crate::secret::{Environment, Secret, UNIT_SECRETS, read_secret};

/// The service of the hub.
const UNIT: &str = "deskticker-hub";
/// The configuration of the package, for a machine without a configuration.
const SAMPLE: &str = include_str!("../../systemd/deb/hub.toml");
/// The longest wait for the hub after its start.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The options of `deskticker-hub setup`; see [`super::DisplayOptions`].
#[derive(Debug, Default)]
pub struct HubOptions {
    /// The configuration file to write; `None` selects the default file.
    pub config: Option<PathBuf>,
    /// The file with the key of the vendor; `-` is the standard input.
    pub key_file: Option<PathBuf>,
    /// True for simulated prices in place of a key.
    pub simulate: bool,
    /// The address of a hub above this hub, in place of the vendor.
    pub upstream: Option<String>,
    /// The file with the token of this hub at the hub above; `-` is the standard input.
    pub upstream_token_file: Option<PathBuf>,
    /// The listen address.
    pub listen: Option<String>,
    /// The file of the certificate; an empty path selects no TLS.
    pub tls_cert: Option<String>,
    /// The file of the private key.
    pub tls_key: Option<String>,
    /// The name or address under which the displays reach the hub.
    pub name: Option<String>,
    /// The name of the first device.
    pub device: Option<String>,
    /// False for a set-up without questions.
    pub ask: bool,
    /// True if the set-up only shows the changes.
    pub dry_run: bool,
}

/// Sets up a hub. Returns true if the set-up has written its files.
///
/// # Errors
/// See [`super::display`].
pub async fn set_up(options: HubOptions, environment: &Environment) -> Result<bool, String> {
    let console = Console::open(options.ask);
    let path = absolute(options.config.unwrap_or_else(|| DEFAULT_PATH.into()))?;
    check_permission(&path, options.dry_run)?;
    let usual = path == Path::new(DEFAULT_PATH);
    let unit = (usual && service::exists(UNIT)).then_some(UNIT);
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let mut text = present(&path, SAMPLE)?;
    if !usual && edit::string(&text, "devices", "file").is_none() {
        let devices = folder.join("devices").display().to_string();
        text = edit::set(&text, "devices", "file", &quoted(&devices));
    }

    // The answers say where the prices come from; without such an answer, the present place stays.
    let is_other = options.simulate || options.key_file.is_some();
    let has_hub = edit::has(&text, "upstream", "hub") && !is_other;
    let above = match options.upstream.is_some() || has_hub {
        true => {
            let file = options.upstream_token_file.as_deref();
            let given = given_secret(file, environment.upstream_token.as_deref(), "token")?;
            let url = options.upstream.as_deref();
            Some(hub_above::set_up(text.clone(), &path, url, given, &console).await?)
        }
        false => None,
    };
    text = match &above {
        Some(above) => above.text.clone(),
        None => edit::without_table(&text, "upstream"),
    };
    let key_file = edit::string(&text, "massive", "key_file").map(PathBuf::from);
    let key_file = key_file.unwrap_or_else(|| folder.join("key"));
    let given = given_secret(
        options.key_file.as_deref(),
        environment.key.as_deref(),
        "key",
    )?;
    let key = match options.simulate || above.is_some() {
        true => None,
        false => ask_key(given, &key_file, &text, &path, &console).await?,
    };
    // The value is a setting, so that the service has simulated prices too.
    let simulates = key.is_none() && above.is_none();
    if simulates != edit::is_true(&text, "", "simulate") {
        text = edit::set(&text, "", "simulate", &simulates.to_string());
    }
    if key.is_some() && folder != Path::new(UNIT_SECRETS) {
        let file = key_file.display().to_string();
        text = edit::set(&text, "massive", "key_file", &quoted(&file));
    }

    let (listen, secure, name);
    (text, listen) = choose_listen(text, options.listen, unit, &console).await?;
    (text, secure) = choose_tls(text, options.tls_cert, options.tls_key, &console).await?;
    let usual_name = match listen.ip() {
        ip if ip.is_unspecified() => "hub.local".to_owned(),
        ip => ip.to_string(),
    };
    let label = match secure {
        true => "The name of this hub for the displays, as in the certificate",
        false => "The name or the address of this hub for the displays",
    };
    let question = Question::new(label, &usual_name, "--name");
    let scheme = if secure { "wss" } else { "ws" };
    let url = |name: &str| {
        let host = if name.contains(':') {
            format!("[{name}]")
        } else {
            name.to_owned()
        };
        Endpoint::parse(&format!("{scheme}://{host}:{}", listen.port()))
    };
    name = console
        .until(question, options.name, async |name: &str| url(name))
        .await?;

    // A secret is needed to read the settings, and its file does not exist yet.
    let secrets = HubSecrets {
        key: key.as_ref(),
        upstream_token: above.as_ref().map(|above| &above.token),
    };
    let config = hub_config(&text, &path, secrets)?;
    let devices = RegistryFile::new(&config.devices.file);
    let known = match devices.path().exists() {
        true => devices.list().map_err(|error| error.to_string())?,
        false => Vec::new(),
    };
    let question = Question::new("A name for the first display", "display", "--device");
    let device = console
        .until(question, options.device, async |name: &str| {
            match known.iter().any(|known| **known == *name) {
                true => Err(format!(
                    "{name} has a token already; choose another name, or revoke the token: \
                     deskticker-hub token revoke {name}"
                )),
                false => registry::check_name(name).map(|()| name.to_owned()),
            }
        })
        .await?;

    let mut files = vec![(path.clone(), text, 0o644)];
    if let Some(key) = key.filter(|key| read_secret(&key_file, "key").ok().as_ref() != Some(key)) {
        files.push((key_file, format!("{}\n", key.reveal()), 0o600));
    }
    if let Some(hub_above::HubAbove { token, file, .. }) = above
        && read_secret(&file, "token").ok().as_ref() != Some(&token)
    {
        files.push((file, format!("{}\n", token.reveal()), 0o600));
    }
    console.say(&format!(
        "A token for {device} is added to {}.",
        devices.path().display()
    ));
    if !carry_out(files, unit, &console, options.dry_run)? {
        return Ok(false);
    }
    let token = devices.add(&device).map_err(|error| error.to_string())?;
    match unit {
        Some(unit) => {
            service::start(unit)?;
            console.say(&format!("  {}", working(listen, secure, &token).await?));
        }
        None => console.say(&format!(
            "Start the hub with: deskticker-hub run --config {}",
            path.display()
        )),
    }
    let ca_file = match secure {
        true => {
            "\n(--ca-file FILE, with a copy of the certificate, if no public authority has signed it)"
        }
        false => "",
    };
    console.say(&format!(
        "On the display, type this line; it contains the token, which is printed only once:\n  \
         echo {token} | sudo deskticker setup --hub {name} --token-file -{ca_file}"
    ));
    Ok(true)
}

/// Asks the user for the key of the vendor and checks the key at the vendor. Returns `None` if the
/// user chooses simulated prices.
async fn ask_key(
    given: Option<String>,
    file: &Path,
    settings: &str,
    path: &Path,
    console: &Console,
) -> Result<Option<Secret>, String> {
    let old = read_secret(file, "key").ok();
    let text = match old {
        Some(_) => {
            "The key of the vendor (it is not shown; Enter: the present one, s: simulated prices)"
        }
        None => "The key of the vendor (it is not shown; s: simulated prices)",
    };
    let question = Question::hidden(text, "--key-file");
    let check = async |answer: &str| {
        let key = match (answer, &old) {
            ("s", _) => return Ok(None),
            ("", Some(old)) => old.clone(),
            ("", None) if console.asks() => {
                return Err("there is no key yet; type the key, or s for simulated prices".into());
            }
            ("", None) => return Err("there is no key yet; --simulate needs none".to_owned()),
            _ => Secret::from_text(answer, "key")?,
        };
        let text = edit::without_key(settings, "", "simulate");
        let secrets = HubSecrets {
            key: Some(&key),
            ..HubSecrets::default()
        };
        let config = hub_config(&text, path, secrets)?;
        let connector = Connector::new(config.ca_file.as_deref())?;
        // Every plan includes this path, and each request needs the key.
        let status = "/v1/marketstatus/now";
        match http::ask(&connector, &config.upstream.rest, Method::GET, status).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                console.say("  the vendor accepts the key")
            }
            Ok(answer) if matches!(answer.status.as_u16(), 401 | 403) => {
                return Err(
                    "the vendor refuses this key: compare it with the dashboard at massive.com"
                        .into(),
                );
            }
            Ok(answer) => console.say(&format!(
                "  the key was not checked: status {}",
                answer.status
            )),
            Err(reason) => console.say(&format!("  the key was not checked: {reason}")),
        }
        Ok(Some(key))
    };
    console.until(question, given, check).await
}

async fn choose_listen(
    text: String,
    given: Option<String>,
    unit: Option<&str>,
    console: &Console,
) -> Result<(String, SocketAddr), String> {
    let present = edit::string(&text, "", "listen");
    let default = present.as_deref().unwrap_or(DEFAULT_LISTEN);
    let question = Question::new(
        "The address and the port for the displays",
        default,
        "--listen",
    );
    let check = async |answer: &str| {
        let address = typed_listen(answer)?;
        if address.to_string() != answer {
            console.say(&format!("  completed to {address}"));
        }
        // The running hub already uses its own port, so this address cannot be opened a second
        // time.
        let own = unit.is_some_and(service::runs) && answer == default;
        match TcpListener::bind(address) {
            Err(error) if !own => Err(match foreign_address(address) {
                Some(hint) => hint,
                None => format!("cannot listen on {address}: {error}"),
            }),
            _ => Ok(address),
        }
    };
    let address = console.until(question, given, check).await?;
    let text = match address.to_string() == default {
        true => text,
        false => edit::set(&text, "", "listen", &quoted(&address.to_string())),
    };
    Ok((text, address))
}

/// Asks for the certificate. Returns the text with its files, and true if the hub uses TLS.
async fn choose_tls(
    text: String,
    cert: Option<String>,
    key: Option<String>,
    console: &Console,
) -> Result<(String, bool), String> {
    let present = |name| edit::string(&text, "tls", name);
    let (old_cert, old_key) = (present("cert"), present("key"));
    let default = old_cert.as_deref().unwrap_or("none");
    let question = "The certificate for TLS, a PEM file (none: no TLS)";
    let asked = Question::new(question, default, "--tls-cert");
    let cert = console.until(asked, cert, async |answer: &str| match answer {
        "none" => Ok(None),
        path => match Path::new(path).is_file() {
            true => absolute(path.into()).map(Some),
            false => Err(format!("there is no file {path}")),
        },
    });
    let Some(cert) = cert.await? else {
        return Ok((edit::without_table(&text, "tls"), false));
    };
    let default = old_key.as_deref().unwrap_or_default();
    let question = "The private key of the certificate, a PEM file";
    let asked = Question::new(question, default, "--tls-key");
    let key = console.until(asked, key, async |answer: &str| {
        let key = absolute(answer.into())?;
        Tls::load(&cert, &key).map(|_| key)
    });
    let key = key.await?;
    let text = edit::set(&text, "tls", "cert", &quoted(&cert.display().to_string()));
    let text = edit::set(&text, "tls", "key", &quoted(&key.display().to_string()));
    Ok((text, true))
}

/// Waits until the hub answers at its address and accepts the token.
async fn working(listen: SocketAddr, secure: bool, token: &str) -> Result<String, String> {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let endpoint = Endpoint::parse(&format!("ws://{address}"))?;
    let source = FeedSource::new(FeedProvider::Hub, endpoint, Some(Secret::new(token)?));
    let connector = Connector::new(None)?;
    let end = Instant::now() + START_LIMIT;
    loop {
        let answer = if secure {
            // The certificate has another name than this address, so only the port is checked.
            let stream = std::net::TcpStream::connect(address);
            stream.map_or_else(
                |error| Err(error.to_string()),
                |_| Ok("the port is open".to_owned()),
            )
        } else {
            match good(doctor::hub::recognise(&connector, &source).await.0) {
                Ok(_) => good(doctor::hub::token(&connector, &source).await),
                error => error,
            }
        };
        match answer {
            Ok(found) => return Ok(format!("the hub answers on {address}, and {found}")),
            Err(reason) if Instant::now() > end => {
                return Err(format!(
                    "the hub does not work on {address}: {reason}\nRead its log: journalctl -u \
                     deskticker-hub -n 20"
                ));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
