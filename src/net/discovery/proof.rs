//! The proof that an announced hub knows the token of this display. Both sides have the SHA-256 of
//! the token: the display computes it, and the hub stores it. This hash is the key of two keyed
//! hashes (HMAC-SHA-256, RFC 2104), and neither the token nor its hash is sent:
//!
//! ```text
//! display ─▶ hub   challenge D, HMAC(key, "display", address, D)
//! display ◀─ hub   challenge H, HMAC(key, "hub", address, D, H)
//! ```
//!
//! A challenge is 32 fresh random bytes. The hashes contain the address to which the display has
//! connected, so a false hub cannot forward the exchange to the real hub at another address. The
//! first hash shows the hub which token is meant; without it a stranger could collect hashes of all
//! tokens from a hub. The functions are pure except for the random numbers.

use std::net::SocketAddr;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;

use crate::secret::Secret;

/// The path of the exchange at a hub (`POST`).
pub(crate) const PATH: &str = "/api/hub-proof";
/// The text at the beginning of each hashed message, so that no other use of the key has the same
/// message.
const DOMAIN: &str = "deskticker hub proof 1";

/// The number of bytes of a challenge.
const SIZE: usize = 32;
/// A fresh random value of one side.
type Challenge = [u8; SIZE];

/// An exchange that the display has begun.
pub(super) struct Pending {
    key: hmac::Key,
    address: SocketAddr,
    challenge: Challenge,
}

/// The response of the hub.
#[derive(Deserialize)]
struct HubAnswer {
    challenge: String,
    proof: String,
}

/// Begins an exchange with the server at this address. Returns the path and the query of the
/// request. Returns `None` if the machine has no randomness.
pub(super) fn begin(token: &Secret, address: SocketAddr) -> Option<(String, Pending)> {
    let pending = Pending {
        key: key(digest(&SHA256, token.reveal().as_bytes()).as_ref()),
        address: canonical(address),
        challenge: fresh()?,
    };
    let proof = hmac::sign(&pending.key, &pending.message("display", &[]));
    let [challenge, proof] = [&pending.challenge[..], proof.as_ref()].map(|b| HEXLOWER.encode(b));
    let path = format!("{PATH}?challenge={challenge}&proof={proof}");
    Some((path, pending))
}

impl Pending {
    /// Returns true if the response proves that the server knows the token.
    pub(super) fn proves(&self, response: &[u8]) -> bool {
        let Ok(answer) = serde_json::from_slice::<HubAnswer>(response) else {
            return false;
        };
        let decoded = [&answer.challenge, &answer.proof].map(|text| decode(text));
        let [Some(challenge), Some(proof)] = decoded else {
            return false;
        };
        hmac::verify(&self.key, &self.message("hub", &challenge), &proof).is_ok()
    }

    fn message(&self, side: &str, other: &[u8]) -> Vec<u8> {
        message(side, self.address, &self.challenge, other)
    }
}

/// The hub's side: a request to prove the knowledge of a token.
pub(crate) struct Request {
    address: SocketAddr,
    challenge: Challenge,
    proof: Challenge,
}

impl Request {
    /// Reads the two parameters of a request that arrived at this address of the hub.
    pub(crate) fn parse(challenge: &str, proof: &str, address: SocketAddr) -> Option<Self> {
        Some(Self {
            address: canonical(address),
            challenge: decode(challenge)?,
            proof: decode(proof)?,
        })
    }

    /// Returns true if the display has the token with this hash.
    pub(crate) fn is_from(&self, hash: &[u8; 32]) -> bool {
        let message = message("display", self.address, &self.challenge, &[]);
        hmac::verify(&key(hash), &message, &self.proof).is_ok()
    }

    /// Returns a fresh challenge of the hub and its proof, both as hexadecimal digits; `None` if
    /// the machine has no randomness.
    pub(crate) fn answer(&self, hash: &[u8; 32]) -> Option<(String, String)> {
        let own = fresh()?;
        let message = message("hub", self.address, &self.challenge, &own);
        let proof = hmac::sign(&key(hash), &message);
        Some((HEXLOWER.encode(&own), HEXLOWER.encode(proof.as_ref())))
    }
}

fn key(hash: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, hash)
}

/// Returns a message of one side. Every part but the address has a fixed length, and a zero byte
/// ends the texts, so two different exchanges never have the same message.
fn message(side: &str, address: SocketAddr, display: &Challenge, hub: &[u8]) -> Vec<u8> {
    let mut message = format!("{DOMAIN}\0{side}\0{address}\0").into_bytes();
    message.extend_from_slice(display);
    message.extend_from_slice(hub);
    message
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn decode(text: &str) -> Option<Challenge> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn fresh() -> Option<Challenge> {
    let mut bytes = [0; SIZE];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.0.2.1:3000";

    fn hash(token: &str) -> [u8; 32] {
        let hash = digest(&SHA256, token.as_bytes());
        hash.as_ref().try_into().unwrap()
    }

    /// Passes a request of a display with the token `t` to a hub at `there`.
    fn request(there: &str) -> (Pending, Request) {
        let token = Secret::new("t").unwrap();
        let (path, pending) = begin(&token, HERE.parse().unwrap()).unwrap();
        let (_, query) = path.split_once("?challenge=").unwrap();
        let (challenge, proof) = query.split_once("&proof=").unwrap();
        let request = Request::parse(challenge, proof, there.parse().unwrap());
        (pending, request.unwrap())
    }

    fn json((challenge, proof): (String, String)) -> String {
        serde_json::json!({ "challenge": challenge, "proof": proof }).to_string()
    }

    #[test]
    fn a_hub_that_knows_the_token_proves_it_and_another_hub_does_not() {
        let (pending, request) = request(HERE);
        assert!(request.is_from(&hash("t")) && !request.is_from(&hash("u")));
        let answer = |token| json(request.answer(&hash(token)).unwrap());
        assert!(pending.proves(answer("t").as_bytes()));
        assert!(!pending.proves(answer("u").as_bytes()));
    }

    #[test]
    fn an_exchange_is_bound_to_the_address_of_the_hub() {
        // A false hub at `HERE` forwards the request to the real hub at another address.
        for elsewhere in ["192.0.2.2:3000", "192.0.2.1:3001"] {
            let (pending, request) = request(elsewhere);
            assert!(!request.is_from(&hash("t")));
            let answer = json(request.answer(&hash("t")).unwrap());
            assert!(!pending.proves(answer.as_bytes()));
        }
        // A hub can see an IPv4 address in its IPv6 form.
        let (_, request) = request("[::ffff:192.0.2.1]:3000");
        assert!(request.is_from(&hash("t")));
    }

    #[test]
    fn no_message_can_be_used_a_second_time_or_by_the_other_side() {
        let (first, request) = request(HERE);
        let answer = json(request.answer(&hash("t")).unwrap());
        let (second, _) = self::request(HERE);
        assert!(first.proves(answer.as_bytes()) && !second.proves(answer.as_bytes()));
        // A false server can send the message of the display back.
        let own = hmac::sign(&first.key, &first.message("display", &[]));
        let mirrored = [&first.challenge[..], own.as_ref()].map(|b| HEXLOWER.encode(b));
        let [challenge, proof] = mirrored;
        assert!(!first.proves(json((challenge, proof)).as_bytes()));
        for junk in ["", "{}", "[1]", "{\"challenge\":\"\",\"proof\":\"\"}"] {
            assert!(!first.proves(junk.as_bytes()));
        }
        assert!(Request::parse("00", "zz", HERE.parse().unwrap()).is_none());
    }
}
