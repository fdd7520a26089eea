//! The part of a hub's set-up about another hub above it: the address of that hub, and the token of this
//! hub there.

use std::path::{Path, PathBuf};

use super::console::{Console, Question};
use super::{HubSecrets, edit, good, hub_config, quoted};
use crate::doctor;
use crate::net::connector::Connector;
use crate::secret::{Secret, UNIT_SECRETS, read_secret};

/// The settings for the hub above.
pub(super) struct HubAbove {
    /// The text of the configuration.
    pub(super) text: String,
    pub(super) token: Secret,
    /// The file of the token.
    pub(super) file: PathBuf,
}

/// Reads the address and the token of the hub above, and checks both. `url` is a new address;
/// without it, the address in the configuration stays. `given` is the token, if the user has given
/// one.
pub(super) async fn set_up(
    mut text: String,
    path: &Path,
    url: Option<&str>,
    given: Option<String>,
    console: &Console,
) -> Result<HubAbove, String> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if let Some(url) = url {
        text = edit::without_table(&text, "massive");
        text = edit::set(&text, "upstream", "hub", &quoted(url));
    }
    text = edit::without_key(&text, "", "simulate");
    let file = edit::string(&text, "upstream", "token_file").map(PathBuf::from);
    let file = file.unwrap_or_else(|| folder.join("upstream-token"));
    let old = read_secret(&file, "token").ok();
    let words = match old {
        Some(_) => {
            "The token of this hub at the hub above (it is not shown; Enter: the present one)"
        }
        None => "The token of this hub at the hub above (it is not shown)",
    };
    let question = Question::hidden(words, "--upstream-token-file");
    let check = async |answer: &str| {
        let token = match (answer, &old) {
            ("", Some(old)) => old.clone(),
            ("", None) => {
                return Err(
                    "there is no token yet: create one on the hub above with `deskticker-hub \
                            token add NAME`"
                        .to_owned(),
                );
            }
            _ => Secret::from_text(answer, "token")?,
        };
        let secrets = HubSecrets {
            upstream_token: Some(&token),
            ..HubSecrets::default()
        };
        let config = hub_config(&text, path, secrets)?;
        let connector = Connector::new(config.ca_file.as_deref())?;
        let source = config.upstream.source;
        for place in 0..=source.alternatives.len() {
            let one = source.at(place);
            good(doctor::hub::recognise(&connector, &one).await.0)?;
            let found = good(doctor::hub::token(&connector, &one).await)?;
            console.say(&format!("  {}: {found}", one.endpoint));
        }
        Ok(token)
    };
    let token = console.until(question, given, check).await?;
    if folder != Path::new(UNIT_SECRETS) {
        let named = quoted(&file.display().to_string());
        text = edit::set(&text, "upstream", "token_file", &named);
    }
    Ok(HubAbove { text, token, file })
}
