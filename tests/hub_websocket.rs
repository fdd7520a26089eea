//! Tests of the WebSocket decoder of the hub: the same bytes give the same messages however they
//! are split, and no bytes cause a panic.
#![allow(clippy::unwrap_used)]

use deskticker::hub::session::websocket::{Decoder, FrameError, Message};
use proptest::prelude::*;

const LIMIT: usize = 1000;

/// A masked frame, as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        n @ 0..=125 => bytes.push(0x80 | n as u8),
        n => {
            bytes.push(0x80 | 126);
            bytes.extend((n as u16).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    bytes
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message>, Option<FrameError>) {
    let mut decoder = Decoder::new(LIMIT);
    let mut messages = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
        assert!(piece.is_empty());
    }
    (messages, None)
}

fn whole(bytes: &[u8]) -> (Vec<Message>, Option<FrameError>) {
    decode([bytes])
}

fn text(said: &str) -> Message {
    Message::Text(said.to_owned())
}

#[test]
fn a_fragmented_message_is_joined_around_a_ping() {
    let bytes = [
        frame(0x01, "dés".as_bytes().split_at(2).0),
        frame(0x89, b"still there?"),
        frame(0x00, "dés".as_bytes().split_at(2).1),
        frame(0x80, b"k"),
    ]
    .concat();
    let expected = vec![Message::Ping(b"still there?".to_vec()), text("désk")];
    assert_eq!(whole(&bytes), (expected, None));
}

#[test]
fn a_frame_that_the_rfc_forbids_is_a_protocol_error() {
    let mut bare = frame(0x81, b"x");
    bare[1] &= 0x7f;
    let long_ping = frame(0x89, &[0; 126]);
    let not_minimal = [&[0x81, 0xfe, 0, 5, 0, 0, 0, 0][..], b"12345"].concat();
    for (bytes, what) in [
        (frame(0xc1, b"x"), "a reserved bit"),
        (frame(0x83, b"x"), "an unknown kind"),
        (frame(0x8b, b"x"), "an unknown control frame"),
        (frame(0x09, b"x"), "a ping in fragments"),
        (frame(0x80, b"x"), "a continuation of nothing"),
        (
            [frame(0x01, b"x"), frame(0x81, b"y")].concat(),
            "a message within another",
        ),
        (bare, "no mask"),
        (long_ping, "a long ping"),
        (not_minimal, "a length in more bytes than it needs"),
        (frame(0x88, b"x"), "half a code"),
        (
            frame(0x88, &1005u16.to_be_bytes()),
            "a code that is never sent",
        ),
        (frame(0x88, &999u16.to_be_bytes()), "a code that is none"),
    ] {
        assert_eq!(whole(&bytes).1, Some(FrameError::Protocol), "{what}");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_at_the_first_bad_byte() {
    assert_eq!(whole(&frame(0x81, b"\xff")).1, Some(FrameError::Utf8));
    assert_eq!(
        whole(&frame(0x01, b"ok \xed\xa0\x80")).1,
        Some(FrameError::Utf8)
    );
    assert_eq!(whole(&frame(0x81, b"cut \xc3")).1, Some(FrameError::Utf8));
    assert_eq!(
        whole(&frame(0x88, b"\x03\xe8\xff")).1,
        Some(FrameError::Utf8)
    );
    assert_eq!(whole(&frame(0x01, b"to come \xc3")).1, None);
}

#[test]
fn a_message_beyond_the_limit_is_refused_after_its_head() {
    assert_eq!(whole(&frame(0x81, &[b'x'; LIMIT])).1, None);
    assert_eq!(
        whole(&frame(0x82, &[0; LIMIT + 1])[..8]).1,
        Some(FrameError::TooLarge)
    );
    let huge = [&[0x82, 0xff][..], &(1u64 << 40).to_be_bytes(), &[0; 4]].concat();
    assert_eq!(whole(&huge).1, Some(FrameError::TooLarge));
    let parts = [frame(0x01, &[b'x'; LIMIT]), frame(0x80, b"x")].concat();
    assert_eq!(whole(&parts).1, Some(FrameError::TooLarge));
}

#[test]
fn a_close_frame_is_decoded_with_its_code() {
    assert_eq!(whole(&frame(0x88, b"")).0, [Message::Close(None)]);
    assert_eq!(
        whole(&frame(0x88, b"\x03\xe8bye")).0,
        [Message::Close(Some(1000))]
    );
    assert_eq!(
        whole(&frame(0x88, &4999u16.to_be_bytes())).0,
        [Message::Close(Some(4999))]
    );
}

/// Random frames that are mostly valid, so that the tests reach the states after the first frame.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => prop::sample::select(vec![0x01u8, 0x81, 0x02, 0x82, 0x00, 0x80, 0x89, 0x8a, 0x88]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        "\\PC{0,40}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..150),
    ];
    prop::collection::vec((first, payload), 0..8).prop_map(|frames| {
        frames
            .iter()
            .flat_map(|(first, load)| frame(*first, load))
            .collect()
    })
}

fn cut(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2)
        .map(|pair| bytes[pair[0]..pair[1]].to_vec())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn the_same_bytes_give_the_same_messages_for_any_split(
        bytes in frames(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let pieces = cut(&bytes, &cuts);
        prop_assert_eq!(decode(pieces.iter().map(Vec::as_slice)), whole(&bytes));
        prop_assert_eq!(decode(bytes.chunks(1)), whole(&bytes));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(decode(bytes.chunks(3)), whole(&bytes));
    }

    #[test]
    fn every_text_of_a_client_is_decoded(said in "\\PC{0,200}", at in any::<prop::sample::Index>()) {
        let (head, tail) = said.as_bytes().split_at(at.index(said.len() + 1));
        let bytes = [frame(0x01, head), frame(0x80, tail)].concat();
        prop_assert_eq!(whole(&bytes), (vec![Message::Text(said)], None));
    }
}
