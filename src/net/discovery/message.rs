//! The two DNS messages of a search (RFC 1035, section 4; RFC 6763): writes the question for a
//! service, and reads the records of an answer. A library for all types of records would need 40 KB
//! of the program for this. The functions are pure, and invalid bytes never cause a panic.

use std::net::Ipv4Addr;

const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;
const SRV: u16 = 33;
const INTERNET: u16 = 1;
/// The flag of an answer in the header.
const ANSWER: u16 = 0x8000;
/// The maximum number of labels of a name: a name has at most 255 bytes (RFC 1035, section 2.3.4).
const LABELS: usize = 127;
/// The maximum number of records that are read. An answer of a hub has about five.
const RECORDS: usize = 100;

/// A name as its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(pub(super) Vec<String>);

impl Name {
    /// Returns true if both names are equal, without regard to upper and lower case.
    pub(super) fn is(&self, other: &Self) -> bool {
        let both = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && both.into_iter().all(|(a, b)| a.eq_ignore_ascii_case(b))
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.split('.').map(str::to_owned).collect())
    }
}

/// A record of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: Name,
    pub(super) data: Data,
}

/// The data of a record, if the search needs it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Data {
    Address(Ipv4Addr),
    /// The name of an instance of a service.
    Instance(Name),
    /// The host and the port of an instance.
    Place(Name, u16),
    /// The properties of an instance, like `tls=yes`.
    Properties(Vec<String>),
    Other,
}

/// Returns the question for all instances of a service.
pub(super) fn question(id: u16, service: &Name) -> Vec<u8> {
    let mut message = Vec::new();
    for number in [id, 0, 1, 0, 0, 0] {
        message.extend_from_slice(&number.to_be_bytes());
    }
    for label in &service.0 {
        // The labels of the service are short.
        message.push(label.len().to_le_bytes()[0]);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    for number in [PTR, INTERNET] {
        message.extend_from_slice(&number.to_be_bytes());
    }
    message
}

/// Returns the records of the answer to the question with this number (RFC 6762, section 6.7);
/// `None` if the message is not this answer or is damaged.
pub(super) fn records(message: &[u8], id: u16) -> Option<Vec<Record>> {
    let mut reader = Reader { message, at: 0 };
    let [own, flags, questions, answers, authorities, additional] =
        [(); 6].map(|()| reader.number());
    if own? != id || flags? & ANSWER == 0 {
        return None;
    }
    for _ in 0..questions? {
        reader.name()?;
        reader.take(4)?;
    }
    let count = [answers?, authorities?, additional?].map(usize::from);
    let count = count.iter().sum::<usize>().min(RECORDS);
    (0..count).map(|_| reader.record()).collect()
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, size: usize) -> Option<&[u8]> {
        let bytes = self.message.get(self.at..self.at.checked_add(size)?)?;
        self.at += size;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Reads a name, which can end with a pointer to an earlier part of the message.
    fn name(&mut self) -> Option<Name> {
        let mut labels = Vec::new();
        let mut behind = None;
        loop {
            let start = self.at;
            let length = usize::from(*self.take(1)?.first()?);
            match length {
                0 => {
                    self.at = behind.unwrap_or(self.at);
                    return Some(Name(labels));
                }
                1..0x40 if labels.len() < LABELS => {
                    let label = self.take(length)?;
                    labels.push(String::from_utf8_lossy(label).into_owned());
                }
                0xC0.. => {
                    let low = usize::from(*self.take(1)?.first()?);
                    behind.get_or_insert(self.at);
                    self.at = ((length & 0x3F) << 8) | low;
                    // Each pointer must lead to an earlier position, and the number of labels is
                    // limited, so the loop always ends.
                    if self.at >= start {
                        return None;
                    }
                }
                _ => return None,
            }
        }
    }

    fn record(&mut self) -> Option<Record> {
        let name = self.name()?;
        let kind = self.number()?;
        // The class and the lifetime do not matter: the answer is used at once.
        self.take(6)?;
        let size = usize::from(self.number()?);
        let end = self.at + size;
        let data = match kind {
            A if size == 4 => {
                let bytes: [u8; 4] = self.take(4)?.try_into().ok()?;
                Data::Address(bytes.into())
            }
            PTR => Data::Instance(self.name()?),
            SRV => {
                self.take(4)?;
                let port = self.number()?;
                Data::Place(self.name()?, port)
            }
            TXT => Data::Properties(texts(self.take(size)?)),
            _ => Data::Other,
        };
        self.at = end;
        Some(Record { name, data })
    }
}

/// Returns the texts of a TXT record. Each text begins with a byte that contains its length.
fn texts(mut bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let Some((text, rest)) = rest.split_at_checked((*length).into()) else {
            break;
        };
        texts.push(String::from_utf8_lossy(text).into_owned());
        bytes = rest;
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::rdata::{self, RData};
    use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, ResourceRecord, TYPE};

    const SERVICE: &str = "_deskticker._tcp.local";

    /// The answer of a hub, written by a library.
    fn answer(compressed: bool) -> Vec<u8> {
        let name = |text: &'static str| simple_dns::Name::new_unchecked(text);
        let (service, host) = (name(SERVICE), name("hub.local"));
        let instance = name("A hub (2)._deskticker._tcp.local");
        let mut packet = Packet::new_reply(7);
        packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        let mut add = |name: &simple_dns::Name<'static>, data| {
            let record = ResourceRecord::new(name.clone(), CLASS::IN, 10, data);
            packet.answers.push(record);
        };
        add(&service, RData::PTR(rdata::PTR(instance.clone())));
        let place = rdata::SRV {
            priority: 0,
            weight: 0,
            port: 3000,
            target: host.clone(),
        };
        add(&instance, RData::SRV(place));
        let text = rdata::TXT::new().with_string("tls=yes").unwrap();
        add(&instance, RData::TXT(text.with_string("x").unwrap()));
        add(&host, RData::A(Ipv4Addr::new(192, 0, 2, 1).into()));
        match compressed {
            true => packet.build_bytes_vec_compressed().unwrap(),
            false => packet.build_bytes_vec().unwrap(),
        }
    }

    #[test]
    fn an_answer_of_a_library_is_read_with_and_without_compression() {
        let (instance, host) = ("A hub (2)._deskticker._tcp.local", "hub.local");
        let properties = ["tls=yes", "x"].map(str::to_owned).to_vec();
        let expected = [
            (SERVICE, Data::Instance(instance.into())),
            (instance, Data::Place(host.into(), 3000)),
            (instance, Data::Properties(properties)),
            (host, Data::Address([192, 0, 2, 1].into())),
        ];
        let expected = expected.map(|(name, data)| Record {
            name: name.into(),
            data,
        });
        assert!(answer(true).len() < answer(false).len());
        for compressed in [true, false] {
            let read = records(&answer(compressed), 7);
            assert_eq!(read.unwrap(), expected, "{compressed}");
        }
        assert_eq!(records(&answer(true), 8), None);
        assert!(Name::from("HUB.local").is(&host.into()));
    }

    #[test]
    fn the_question_is_read_by_a_library() {
        let question = question(7, &SERVICE.into());
        let packet = Packet::parse(&question).unwrap();
        let asked = &packet.questions[0];
        assert_eq!(
            (packet.id(), asked.qname.to_string().as_str()),
            (7, SERVICE)
        );
        assert_eq!(asked.qtype, QTYPE::TYPE(TYPE::PTR));
        // A question is no answer.
        assert_eq!(records(&question, 7), None);
    }

    #[test]
    fn a_damaged_answer_causes_no_panic_and_no_endless_loop() {
        let whole = answer(true);
        for length in 0..whole.len() {
            assert_eq!(records(&whole[..length], 7), None, "{length}");
        }
        for at in 12..whole.len() {
            for byte in [0x00, 0x3F, 0x40, 0xC0, 0xFF] {
                let mut broken = whole.clone();
                broken[at] = byte;
                // The result does not matter, but the call must end.
                let _ = records(&broken, 7);
            }
        }
        // A label, and then a pointer to this label.
        let mut endless = question(7, &"a".into());
        endless[2] = 0x80;
        endless.splice(14.., [0xC0, 12]);
        assert_eq!(records(&endless, 7), None);
    }

    proptest::proptest! {
        #[test]
        fn no_message_causes_a_panic(bytes: Vec<u8>) {
            let head = [0, 7, 0x80, 0, 0, 1, 0, 9, 0, 0, 0, 0];
            let _ = records(&[&head[..], &bytes].concat(), 7);
        }
    }
}
