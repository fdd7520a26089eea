//! Reads the expiry time of an X.509 certificate. Parses only the DER elements before that time,
//! checks every length, and does not verify the certificate.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::time::Utc;

const SEQUENCE: u8 = 0x30;
/// The tag of the optional version field.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The `notAfter` time of a DER certificate (RFC 5280, 4.1); `None` if the bytes are no
/// certificate.
pub(super) fn not_after(der: &[u8]) -> Option<Utc> {
    let (certificate, _) = expect(SEQUENCE, der)?;
    let (mut fields, _) = expect(SEQUENCE, certificate)?;
    if let Some((_, rest)) = expect(VERSION, fields) {
        fields = rest;
    }
    // Skip the serial number, the signature algorithm and the issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (validity, _) = expect(SEQUENCE, fields)?;
    let (tag, text, _) = element(element(validity)?.2)?;
    time(tag, text)
}

/// The tag and the content of the first DER element, and the bytes after the element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // The long form contains the number of length bytes first. No certificate needs more than
        // four length bytes.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// Parses a time in the form `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ` (RFC 5280, 4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<Utc> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| {
        digits
            .iter()
            .fold(0i16, |sum, digit| sum * 10 + i16::from(digit - b'0'))
    };
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2]);
            (year + if year < 50 { 2000 } else { 1900 }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let two = |at: usize| i8::try_from(number(&rest[at..at + 2])).ok();
    let time = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    Some(Utc(TimeZone::UTC.to_timestamp(time).ok()?.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate_until(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["hub.local".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1990, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 3, 4);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_expiry_of_a_certificate_is_read_from_both_date_formats() {
        // The four times are 1999-03-04, 2027-03-04, 2049-03-04 and 2100-03-04, each at 00:00 UTC.
        for (year, seconds) in [
            (1999, 920_505_600),
            (2027, 1_804_118_400),
            (2049, 2_498_428_800),
            (2100, 4_107_801_600),
        ] {
            assert_eq!(
                not_after(&certificate_until(year)),
                Some(Utc(seconds * 1000)),
                "{year}"
            );
        }
    }

    #[test]
    fn a_truncated_or_corrupt_certificate_causes_no_panic() {
        let der = certificate_until(2027);
        for length in 0..der.len() {
            assert_eq!(not_after(&der[..length]), None, "{length}");
        }
        for at in 0..der.len() {
            for byte in [0x00, 0x7f, 0x80, 0x84, 0xff] {
                let mut broken = der.clone();
                broken[at] = byte;
                // The result does not matter, but the call must not panic.
                let _ = not_after(&broken);
            }
        }
    }
}
