//! Creates a self-signed certificate and its private key, for a hub in a local network. A display
//! trusts exactly this certificate if its `ca_file` names it. This module never replaces a file,
//! and serves nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::ServerName;

use crate::time::Utc;

/// The validity of a new certificate, in days. No program renews such a certificate, and a display
/// trusts only this certificate, so a short validity would give no protection.
const DAYS: i64 = 3650;

/// The files of a new certificate.
#[derive(Debug)]
pub struct NewCertificate {
    /// The PEM file of the certificate, which every display needs.
    pub certificate: PathBuf,
    /// The PEM file of the private key, which only the hub may read.
    pub key: PathBuf,
    /// The last day of the validity.
    pub until: String,
}

/// Creates a certificate for these host names and addresses, and writes `hub.pem` and `hub.key` to
/// `folder`. Both files belong to the owner of the folder if root creates them.
///
/// # Errors
/// A name is no host name, the clock is not set, a file exists, or the folder is not writable.
pub fn create(names: &[String], folder: &Path, now: Option<Utc>) -> Result<NewCertificate, String> {
    for name in names {
        ServerName::try_from(name.as_str()).map_err(|_| {
            format!(
                "{name:?} is no host name and no address; expected for example hub.local or \
                 192.168.1.5, without ws:// and without a port"
            )
        })?;
    }
    let now = now.ok_or("the clock of this machine is not set: a certificate needs its date")?;
    let made = |error: rcgen::Error| format!("cannot create the certificate: {error}");
    let mut params = CertificateParams::new(names).map_err(made)?;
    let (from, until) = validity(now).map_err(|error| error.to_string())?;
    let time = |date: Date| {
        let [month, day] = [date.month(), date.day()].map(i8::unsigned_abs);
        rcgen::date_time_ymd(date.year().into(), month, day)
    };
    (params.not_before, params.not_after) = (time(from), time(until));
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "deskticker-hub");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let secret = KeyPair::generate().map_err(made)?;
    let signed = params.self_signed(&secret).map_err(made)?;
    let (certificate, key) = (folder.join("hub.pem"), folder.join("hub.key"));
    let mut file = new_file(&certificate, 0o644, folder)?;
    let written = new_file(&key, 0o600, folder).and_then(|mut secret_file| {
        let text = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        let whole = write(&mut secret_file, &secret.serialize_pem());
        let whole = whole.map_err(|error| text(&key, error));
        let whole = whole.and_then(|()| {
            write(&mut file, &signed.pem()).map_err(|error| text(&certificate, error))
        });
        // If one of the two files is missing, the next attempt must not fail because of the other
        // file.
        whole.inspect_err(|_| drop(std::fs::remove_file(&key)))
    });
    written.inspect_err(|_| drop(std::fs::remove_file(&certificate)))?;
    Ok(NewCertificate {
        certificate,
        key,
        until: until.to_string(),
    })
}

/// Returns the first and the last day. The first day is yesterday, because the clock of a display
/// can be a little behind.
fn validity(now: Utc) -> Result<(Date, Date), jiff::Error> {
    let today = Timestamp::from_millisecond(now.0)?;
    let today = today.to_zoned(jiff::tz::TimeZone::UTC).date();
    Ok((today.checked_sub(1.day())?, today.checked_add(DAYS.days())?))
}

/// Creates a file that does not exist yet.
fn new_file(path: &Path, mode: u32, folder: &Path) -> Result<File, String> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(path);
    let file = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!(
            "{}: the file exists already, and this command replaces no file: move it away, or choose \
             another folder with --folder",
            path.display()
        ),
        _ => format!("{}: {error}", path.display()),
    })?;
    // The umask may have removed permissions, and the hub runs as another user than root.
    let set = || {
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        if rustix::process::geteuid().is_root() {
            let owner = std::fs::metadata(folder)?;
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(())
    };
    if let Err(error) = set() {
        let error: io::Error = error;
        drop(std::fs::remove_file(path));
        return Err(format!("{}: {error}", path.display()));
    }
    Ok(file)
}

fn write(file: &mut File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
