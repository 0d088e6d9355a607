//! Harm done to bytes that were right, for tests of everything that reads what strangers send.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A way in which bytes suffer.
#[derive(Clone, Debug)]
pub enum Harm {
    /// A byte becomes another one.
    Replace(Index, u8),
    /// A part is cut out.
    Cut(Index, usize),
    /// A part stands there twice.
    Double(Index, usize),
    /// Bytes are put in.
    Insert(Index, Vec<u8>),
    /// It ends there.
    End(Index),
}

/// What readers stumble over: markup, DER, archives, lines, numbers.
const STUMBLES: &[&[u8]] = &[
    b"<",
    b">",
    b"&#0;",
    b"&a;",
    b"<!DOCTYPE a [<!ENTITY b \"c\">]>",
    b"<?xml version=\"1.1\"?>",
    b"]]>",
    b"<![CDATA[",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\0",
    b".",
    b":",
    b"=",
    b" ",
    b"\"",
    b"--",
    b"-1",
    b"99999999999999999999",
    b"%00",
    b"\x30\x84\xff\xff\xff\xff",
    b"\x30\x80",
    b"\x02\x01\xff",
    b"\x13\x00",
    b"\xa0\x03",
    b"PK\x01\x02",
    b"\xff\xff\xff\xff",
    b"\xff\xfe",
    b"\xc3",
];

/// One to five harms; `more` are stumbles of the format that is read.
pub fn harms(more: &[&'static [u8]]) -> impl Strategy<Value = Vec<Harm>> + use<> {
    let place = any::<Index>;
    let stumbles: Vec<&'static [u8]> = STUMBLES.iter().chain(more).copied().collect();
    let harm = prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, byte)| Harm::Replace(at, byte)),
        2 => (place(), 1..120_usize).prop_map(|(at, length)| Harm::Cut(at, length)),
        2 => (place(), 1..200_usize).prop_map(|(at, length)| Harm::Double(at, length)),
        2 => (place(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
        3 => (place(), select(stumbles)).prop_map(|(at, bytes)| Harm::Insert(at, bytes.to_vec())),
        1 => place().prop_map(Harm::End),
    ];
    prop::collection::vec(harm, 1..6)
}

/// The bytes after these harms, one after the other.
pub fn harmed(whole: &[u8], harms: &[Harm]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for harm in harms {
        let size = bytes.len();
        let place = |at: &Index| at.index(size.max(1)).min(size);
        match harm {
            Harm::Replace(at, new) => {
                if let Some(byte) = bytes.get_mut(place(at)) {
                    *byte = *new;
                }
            }
            Harm::Cut(at, length) => {
                let from = place(at);
                bytes.drain(from..(from + length).min(size));
            }
            Harm::Double(at, length) => {
                let from = place(at);
                let part: Vec<u8> = bytes.iter().skip(from).take(*length).copied().collect();
                bytes.splice(from..from, part);
            }
            Harm::Insert(at, more) => {
                let from = place(at);
                bytes.splice(from..from, more.iter().copied());
            }
            Harm::End(at) => bytes.truncate(place(at)),
        }
    }
    bytes
}
