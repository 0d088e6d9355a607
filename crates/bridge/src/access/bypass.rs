//! Nobody comes, by the spelling of a path, to an endpoint that the right does not name: rights and paths are drawn, the paths are spelled
//! in the ways that are known to deceive, and what is forwarded is read as strict and as lenient servers read it.

use percent_encoding::percent_decode;
use proptest::prelude::*;

use super::{AccessRight, Endpoint, ServicePath};
use crate::message::{RequestIds, RestRequest, Verb};

const SERVICE: &str = "/r1/BB/GOV/1002/fisc/pets";

/// How a server reads a path. RFC 3986 is `decodes: 1`, all else `false`.
#[derive(Clone, Copy, Debug)]
struct Server {
    /// How often it decodes percent-escapes.
    decodes: usize,
    /// It also decodes what is no percent-escape or no UTF-8: `%u002e`, overlong forms.
    loose_escapes: bool,
    /// It cuts `;parameters` off each segment (Tomcat, and whoever stands before it).
    cuts_parameters: bool,
    /// `\` is `/` to it (IIS).
    backslash: bool,
    /// `//` is `/` to it.
    merges_slashes: bool,
    /// It takes dot segments away before it decodes, as well as at the end.
    dots_at_each_step: bool,
    /// Spaces and dots at the end of a segment are cut off, where it is `..` or `.` otherwise (file systems of Windows).
    trims: bool,
}

impl Server {
    fn all() -> impl Iterator<Item = Self> {
        (0..3_usize * 64).map(|number| {
            let flag = |bit: usize| ((number / 3) >> bit) % 2 == 1;
            Self {
                decodes: 1 + number % 3,
                loose_escapes: flag(0),
                cuts_parameters: flag(1),
                backslash: flag(2),
                merges_slashes: flag(3),
                dots_at_each_step: flag(4),
                trims: flag(5),
            }
        })
    }

    /// The segments that it ends with, and whether it climbed out of the service on the way.
    fn read(self, path: &str) -> (Vec<String>, bool) {
        let mut text = path.to_owned();
        let mut out = false;
        for step in 0..=self.decodes {
            if step > 0 {
                text = self.decode(&text);
            }
            if self.backslash {
                text = text.replace('\\', "/");
            }
            let mut segments: Vec<String> = text.split('/').skip(1).map(|segment| self.segment(segment)).collect();
            if self.merges_slashes {
                let last = segments.len().saturating_sub(1);
                let mut at = 0;
                segments.retain(|segment| {
                    at += 1;
                    !segment.is_empty() || at > last
                });
            }
            if self.dots_at_each_step || step == self.decodes {
                let climbed;
                (segments, climbed) = without_dots(segments);
                out |= climbed;
            }
            text = segments.iter().flat_map(|segment| ["/", segment.as_str()]).collect();
        }
        (text.split('/').skip(1).map(str::to_owned).collect(), out)
    }

    fn segment(self, segment: &str) -> String {
        let kept = if self.cuts_parameters { segment.split(';').next().unwrap_or_default() } else { segment };
        let trimmed = kept.trim();
        if self.trims && matches!(trimmed, "." | "..") { trimmed.to_owned() } else { kept.to_owned() }
    }

    fn decode(self, text: &str) -> String {
        let mut text = text.to_owned();
        if self.loose_escapes {
            for (escape, character) in
                [("%u002e", "."), ("%u002f", "/"), ("%u005c", "\\"), ("%c0%ae", "."), ("%c0%af", "/")]
            {
                text = text.replace(escape, character).replace(&escape.to_uppercase().replace("%U", "%u"), character);
            }
        }
        percent_decode(text.as_bytes()).decode_utf8_lossy().into_owned()
    }
}

fn without_dots(segments: Vec<String>) -> (Vec<String>, bool) {
    let mut kept = Vec::new();
    let mut out = false;
    for segment in segments {
        match segment.as_str() {
            "." => {}
            ".." => out |= kept.pop().is_none(),
            _ => kept.push(segment),
        }
    }
    (kept, out)
}

/// Whether a right names what a server ends at, by the plainest possible reading of the rules. A slash at the end opens nothing new.
fn names(pattern: &[&str], segments: &[String]) -> bool {
    match (pattern.split_first(), segments.split_first()) {
        (None, None) => true,
        (None, Some((first, rest))) => first.is_empty() && rest.is_empty(),
        (Some((&"**", rest)), _) => {
            names(rest, segments) || segments.split_first().is_some_and(|(_, fewer)| names(pattern, fewer))
        }
        (Some((step, rest)), Some((first, fewer))) => {
            (*step == "*" && !first.is_empty() || step == first) && names(rest, fewer)
        }
        (Some(_), None) => false,
    }
}

/// What the node forwards to the service, where it lets the request through.
fn forwarded(pattern: &str, path: &str) -> Option<String> {
    let target = format!("{SERVICE}{path}");
    let ids = RequestIds { message_id: "m".to_owned(), request_id: "r".to_owned() };
    let headers = [("x-road-client", &b"BB/COM/2001/credit"[..])];
    let request = RestRequest::from_http("GET", &target, headers.into_iter(), ids).ok()?;
    let read = ServicePath::parse(request.service_path()).ok()?;
    let right = AccessRight {
        client: request.client().clone(),
        service: request.service().clone(),
        endpoint: Some(Endpoint { verb: Some(Verb::Get), path: pattern.to_owned() }),
    };
    let allowed = right.endpoint.is_none_or(|endpoint| endpoint.covers(request.verb(), &read));
    allowed.then(|| request.service_path_and_query().to_owned())
}

fn path_of(forwarded: &str) -> &str {
    forwarded.split('?').next().unwrap_or_default()
}

/// Segments that a path may be made of: some that rights name, some that they do not.
fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("admin".to_owned()),
        Just("1".to_owned()),
        "[a-z0-9.~_-]{1,4}"
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    let step = prop_oneof![3 => segment(), 2 => Just("*".to_owned()), 2 => Just("**".to_owned())];
    prop::collection::vec(step, 0..5).prop_map(|steps| format!("/{}", steps.join("/")))
}

/// A deceit: what is put in, and where (a share of the length).
fn trick() -> impl Strategy<Value = (String, u8)> {
    let tricks = [
        "../",
        "..",
        "/..",
        "./",
        "/.",
        "%2e%2e/",
        "/%2E%2e",
        ".%2e/",
        "%2e/",
        "..%2f",
        "%2f..",
        "/..;/",
        "/..;v=1/",
        "..%3b/",
        ";v=1",
        ";",
        "%3Bx",
        "//",
        "/",
        "%2f",
        "%2F",
        "%252f",
        "%25252f",
        "\\",
        "%5c",
        "\\..\\",
        "%5C..%5c",
        "..%5c",
        "%252e%252e/",
        "%252e%252e%252f",
        "%25252e%25252e/",
        "%u002e%u002e/",
        "/%u002e%u002e",
        "%25u002e%25u002e/",
        "%c0%ae%c0%ae/",
        "%c0%af",
        "..%c0%af",
        "%00",
        "%0a",
        "%20",
        "..%20/",
        "..%09/",
        "%",
        "%2",
        "%zz",
        "?",
        "%3f",
        "%3F",
        "#",
        "%23",
        "admin",
        "/admin/",
        "é",
        "%c3%a9",
        "%ef%bc%8f",
        "..\u{a0}/",
        "~",
        "*",
        "**",
        "/*/",
        "/**/",
    ];
    (prop::sample::select(tricks.to_vec()).prop_map(str::to_owned), any::<u8>())
}

/// Characters that are escaped once or twice though they need not be.
fn escape(path: &str, choices: &[u8]) -> String {
    path.chars()
        .enumerate()
        .map(|(at, character)| match choices.get(at % choices.len().max(1)) {
            Some(choice @ 0..=3) if character.is_ascii() && character != '%' => {
                let code = u32::from(character);
                match choice {
                    0 => format!("%{code:02x}"),
                    1 => format!("%{code:02X}"),
                    2 => format!("%25{code:02x}"),
                    _ => format!("%2525{code:02X}"),
                }
            }
            _ => character.to_string(),
        })
        .collect()
}

/// A right, and a path that begins as one that the right names and is then spelled deceitfully.
fn attempt() -> impl Strategy<Value = (String, String)> {
    let parts = (pattern(), prop::collection::vec(segment(), 8), prop::collection::vec(trick(), 0..4));
    (parts, prop::collection::vec(0_u8..40, 1..12)).prop_map(|((pattern, fill, tricks), choices)| {
        let mut fill = fill.into_iter();
        let mut path = String::new();
        for step in pattern.split('/').skip(1) {
            let times = if step == "**" { fill.len() % 3 } else { 1 };
            for _ in 0..times {
                path.push('/');
                path.push_str(&if step.starts_with('*') { fill.next().unwrap_or_default() } else { step.to_owned() });
            }
        }
        for (text, place) in tricks {
            let mut at = path.len() * usize::from(place) / 255;
            while !path.is_char_boundary(at) {
                at -= 1;
            }
            path.insert_str(at, &text);
        }
        (pattern, escape(&path, &choices))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_forwarded_lies_within_the_right_for_strict_and_lenient_servers((pattern, path) in attempt()) {
        let Some(sent) = forwarded(&pattern, &path) else { return Ok(()) };
        let steps: Vec<&str> = pattern.split('/').filter(|step| !step.is_empty()).collect();
        for server in Server::all() {
            let (segments, out) = server.read(path_of(&sent));
            prop_assert!(!out, "{pattern} lets {sent} climb out at {server:?}");
            prop_assert!(names(&steps, &segments), "{pattern} lets {sent} through, which is {segments:?} to {server:?}");
        }
    }

    #[test]
    fn a_path_that_goes_to_a_whole_service_does_not_climb_out_of_it((_, path) in attempt()) {
        let target = format!("{SERVICE}{path}");
        let raw = target.strip_prefix(SERVICE).unwrap_or_default().split('?').next().unwrap_or_default();
        if ServicePath::parse(raw).is_ok() {
            for server in Server::all() {
                prop_assert!(!server.read(raw).1, "{raw} climbs out at {server:?}");
            }
        }
    }
}

/// The control: the properties above say something only where many paths are let through, and where the servers do fall for these tricks.
#[test]
fn plain_paths_are_let_through_and_the_tricks_do_deceive_these_servers() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut through, mut deceived) = (0, 0);
    for _ in 0..2_000 {
        let (pattern, path) = attempt().new_tree(&mut runner).unwrap().current();
        let steps: Vec<&str> = pattern.split('/').filter(|step| !step.is_empty()).collect();
        through += u32::from(forwarded(&pattern, &path).is_some());
        let strict = Server {
            decodes: 1,
            loose_escapes: false,
            cuts_parameters: false,
            backslash: false,
            merges_slashes: false,
            dots_at_each_step: false,
            trims: false,
        };
        let differs = |server: Server| server.read(path_of(&path)) != strict.read(path_of(&path));
        deceived += u32::from(!names(&steps, &strict.read(path_of(&path)).0) || Server::all().any(differs));
    }
    assert!(through > 200, "only {through} of 2,000 paths are let through");
    assert!(deceived > 500, "only {deceived} of 2,000 paths deceive a server");
}
