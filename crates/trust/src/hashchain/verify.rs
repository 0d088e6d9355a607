//! Checking a chain against its result.

use super::{FILES_MAX, Files, HashChainError, NAMESPACE, Plain, push_single, step};
use crate::c14n;
use crate::digest::DigestAlgorithm;
use crate::xml::{Document, Element, Limits};
use crate::xmldsig::{self, XMLDSIG};

/// What the caller knows about a file that the chain refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// Its bytes.
    Bytes(&'a [u8]),
    /// Its digest.
    Digest(DigestAlgorithm, Vec<u8>),
    /// The file is known to be elsewhere: its digest in the chain is taken as it is and reported as detached.
    Detached,
    /// No such file: the chain is refused.
    Unknown,
}

/// A file that the chain covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Its name as the chain has it: `/message.xml`, `/attachment1`, `/META-INF/signatures.xml`.
    pub name: String,
    /// The digest algorithm.
    pub algorithm: DigestAlgorithm,
    /// The digest that is covered.
    pub digest: Vec<u8>,
    /// Whether the caller said that the file is elsewhere: the digest was compared with nothing.
    pub detached: bool,
}

/// Checks that the chain leads from its files to the result, and returns the files. `chain_name` is the name under which
/// the result must refer to the chain (`/sig-hashchain.xml` or `/ts-hashchain.xml`). Whether the result is signed or
/// stamped is another question: ask it with the same bytes.
pub fn verify<'f>(
    result: &[u8],
    chain_name: &str,
    chain: &[u8],
    files: impl FnMut(&str) -> Data<'f>,
) -> Result<Vec<DataFile>, HashChainError> {
    // What `build` wrote leads to its result by its making: only the files are to be compared.
    match Files::of_chain(chain_name).and_then(|names| Plain::read(names, result, chain)) {
        Some(plain) => compared(&plain, files),
        None => verify_xml(result, chain_name, chain, files),
    }
}

fn compared<'f>(plain: &Plain, mut files: impl FnMut(&str) -> Data<'f>) -> Result<Vec<DataFile>, HashChainError> {
    let algorithm = plain.algorithm();
    let mut found = Vec::with_capacity(2);
    for (name, stated) in plain.files() {
        let (is_stated, detached) = match files(&name) {
            Data::Bytes(bytes) => (algorithm.digest(bytes) == stated, false),
            Data::Digest(known, digest) if known == algorithm => (digest == stated, false),
            Data::Digest(known, _) => return Err(other_algorithm(algorithm, known)),
            Data::Detached => (true, true),
            Data::Unknown => return Err(HashChainError::Unresolved(name)),
        };
        if !is_stated {
            return Err(HashChainError::Reference(name));
        }
        found.push(DataFile { name, algorithm, digest: stated.to_vec(), detached });
    }
    Ok(found)
}

fn other_algorithm(method: DigestAlgorithm, known: DigestAlgorithm) -> HashChainError {
    HashChainError::Algorithm(format!("{method} where the digest is known in {known}"))
}

fn verify_xml<'f>(
    result: &[u8],
    chain_name: &str,
    chain: &[u8],
    files: impl FnMut(&str) -> Data<'f>,
) -> Result<Vec<DataFile>, HashChainError> {
    let result = Document::parse(result, &Limits::SMALL)?;
    let result = result.root();
    if !result.is(NAMESPACE, "HashChainResult") {
        return Err(malformed("the root of a hash chain result must be HashChainResult"));
    }
    let top = digest_method(result, None)?;
    let expected = digest_value(result, top)?;
    if result.elements().count() != 2 {
        return Err(malformed("HashChainResult holds DigestMethod and DigestValue, nothing else"));
    }
    let uri = result.attribute("URI").ok_or_else(|| malformed("HashChainResult has no URI"))?;
    let document = Document::parse(chain, &Limits::SMALL)?;
    let mut walk = Walk::new(document.root(), chain_name, files)?;
    let computed = top.digest(&walk.step(uri, 0)?);
    walk.nothing_left()?;
    if computed != expected {
        return Err(HashChainError::Result);
    }
    Ok(walk.found)
}

struct Walk<'d, 'a, 'n, F> {
    name: &'n str,
    default: Option<DigestAlgorithm>,
    steps: Vec<(&'d str, Element<'d, 'a>, bool)>,
    files: F,
    found: Vec<DataFile>,
}

impl<'d, 'a, 'n, 'f, F: FnMut(&str) -> Data<'f>> Walk<'d, 'a, 'n, F> {
    fn new(root: Element<'d, 'a>, name: &'n str, files: F) -> Result<Self, HashChainError> {
        if !root.is(NAMESPACE, "HashChain") {
            return Err(malformed("the root of a hash chain must be HashChain"));
        }
        let mut steps: Vec<(&'d str, Element<'d, 'a>, bool)> = Vec::new();
        let mut default = None;
        for (place, element) in root.elements().enumerate() {
            if element.is(NAMESPACE, "DefaultDigestMethod") && place == 0 {
                default = Some(algorithm(element)?);
            } else if element.is(NAMESPACE, "HashStep") {
                let id = element.attribute("id").ok_or_else(|| malformed("a HashStep has no id"))?;
                if steps.iter().any(|(known, ..)| *known == id) {
                    return Err(HashChainError::Repeated(format!("#{id}")));
                }
                if steps.len() >= Limits::SMALL.depth_max {
                    return Err(malformed("a hash chain has at most 64 steps"));
                }
                steps.push((id, element, false));
            } else {
                return Err(malformed("HashChain holds one DefaultDigestMethod and HashSteps, nothing else"));
            }
        }
        Ok(Self { name, default, steps, files, found: Vec::new() })
    }

    /// DER of the step that the URI names. A step is walked once, so the recursion ends.
    fn step(&mut self, uri: &str, depth: usize) -> Result<Vec<u8>, HashChainError> {
        let unresolved = || HashChainError::Unresolved(uri.chars().take(128).collect());
        let (file, id) = uri.split_once('#').ok_or_else(unresolved)?;
        if file != self.name && !(file.is_empty() && depth > 0) {
            return Err(unresolved());
        }
        let (_, element, used) = self.steps.iter_mut().find(|(known, ..)| *known == id).ok_or_else(unresolved)?;
        if std::mem::replace(used, true) {
            return Err(HashChainError::Repeated(format!("#{id}")));
        }
        let element = *element;
        let mut singles = Vec::with_capacity(256);
        for value in element.elements() {
            let (method, digest) = self.value(value, depth)?;
            push_single(method, &digest, &mut singles);
        }
        if singles.is_empty() {
            return Err(malformed("a HashStep is empty"));
        }
        Ok(step(&singles))
    }

    fn value(&mut self, value: Element<'d, 'a>, depth: usize) -> Result<(DigestAlgorithm, Vec<u8>), HashChainError> {
        let method = digest_method(value, self.default)?;
        let allowed = |local: &str| match local {
            "DigestMethod" => true,
            "DigestValue" => value.local() != "StepRef",
            "Transforms" => value.local() == "DataRef",
            _ => false,
        };
        let known = |inner: Element<'_, '_>| inner.namespace() == XMLDSIG && allowed(inner.local());
        if value.namespace() != NAMESPACE || !value.elements().all(known) {
            return Err(malformed("a HashStep holds HashValue, StepRef and DataRef with their digests, nothing else"));
        }
        let uri = || value.attribute("URI").ok_or_else(|| malformed("a StepRef or DataRef has no URI"));
        match value.local() {
            "HashValue" => Ok((method, digest_value(value, method)?)),
            "StepRef" => Ok((method, method.digest(&self.step(uri()?, depth + 1)?))),
            "DataRef" => self.data(value, uri()?, method),
            _ => Err(malformed("a HashStep holds HashValue, StepRef and DataRef, nothing else")),
        }
    }

    fn data(
        &mut self,
        value: Element<'d, 'a>,
        uri: &str,
        method: DigestAlgorithm,
    ) -> Result<(DigestAlgorithm, Vec<u8>), HashChainError> {
        if self.found.iter().any(|file| file.name == uri) {
            return Err(HashChainError::Repeated(uri.to_owned()));
        }
        if self.found.len() >= FILES_MAX {
            return Err(malformed("a hash chain covers at most 1024 files"));
        }
        let stated = digest_value(value, method)?;
        let transforms = transforms(value)?;
        let (digest, detached) = match (self.files)(uri) {
            Data::Bytes(bytes) => (method.digest(&transformed(bytes, &transforms)?), false),
            Data::Digest(known, digest) if known == method && transforms.is_empty() => (digest, false),
            Data::Digest(known, _) => return Err(other_algorithm(method, known)),
            Data::Detached => (stated.clone(), true),
            Data::Unknown => return Err(HashChainError::Unresolved(uri.to_owned())),
        };
        if digest != stated {
            return Err(HashChainError::Reference(uri.to_owned()));
        }
        self.found.push(DataFile { name: uri.to_owned(), algorithm: method, digest: digest.clone(), detached });
        Ok((method, digest))
    }

    fn nothing_left(&self) -> Result<(), HashChainError> {
        match self.steps.iter().find(|(.., used)| !used) {
            Some((id, ..)) => Err(HashChainError::Leftover((*id).to_owned())),
            None => Ok(()),
        }
    }
}

fn transforms(value: Element<'_, '_>) -> Result<Vec<c14n::Method>, HashChainError> {
    let mut methods = Vec::new();
    for transform in value.named("Transforms").flat_map(|transforms| transforms.elements()) {
        let uri = transform.attribute("Algorithm").unwrap_or("");
        let method = c14n::Method::from_uri(uri).filter(|_| transform.elements().next().is_none());
        methods.push(method.ok_or_else(|| HashChainError::Algorithm(uri.chars().take(128).collect()))?);
    }
    if methods.len() > 1 {
        return Err(malformed("a DataRef has more than one transform"));
    }
    Ok(methods)
}

fn transformed(bytes: &[u8], transforms: &[c14n::Method]) -> Result<Vec<u8>, HashChainError> {
    match transforms.first() {
        Some(method) => Ok(c14n::document(&Document::parse(bytes, &Limits::LARGE)?, *method)),
        None => Ok(bytes.to_vec()),
    }
}

fn digest_method(
    element: Element<'_, '_>,
    default: Option<DigestAlgorithm>,
) -> Result<DigestAlgorithm, HashChainError> {
    match element.child(XMLDSIG, "DigestMethod") {
        Some(method) => algorithm(method),
        None => default.ok_or_else(|| malformed("a digest method is missing and there is no default")),
    }
}

fn algorithm(element: Element<'_, '_>) -> Result<DigestAlgorithm, HashChainError> {
    let uri = element.attribute("Algorithm").unwrap_or("");
    xmldsig::digest_algorithm(uri).ok_or_else(|| HashChainError::Algorithm(uri.chars().take(128).collect()))
}

fn digest_value(element: Element<'_, '_>, method: DigestAlgorithm) -> Result<Vec<u8>, HashChainError> {
    let value = element.child(XMLDSIG, "DigestValue").ok_or_else(|| malformed("a DigestValue is missing"))?;
    let digest = xmldsig::base64(&value.text()).ok_or_else(|| malformed("a DigestValue is not base64"))?;
    if digest.len() != method.output_len() {
        return Err(HashChainError::DigestLength {
            algorithm: method,
            expected: method.output_len(),
            found: digest.len(),
        });
    }
    Ok(digest)
}

fn malformed(reason: &str) -> HashChainError {
    HashChainError::Malformed(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Files, build};
    use super::*;
    use crate::digest::sha512;

    fn digests(message: usize, files: usize) -> Vec<Vec<u8>> {
        (0..files).map(|file| sha512(format!("{message}/{file}").as_bytes()).to_vec()).collect()
    }

    fn known(message: usize) -> impl FnMut(&str) -> Data<'static> {
        move |name| {
            let file = match name {
                "/message.xml" => 0,
                _ => match name.strip_prefix("/attachment").and_then(|number| number.parse().ok()) {
                    Some(number) => number,
                    None => return Data::Unknown,
                },
            };
            Data::Digest(DigestAlgorithm::Sha512, sha512(format!("{message}/{file}").as_bytes()).to_vec())
        }
    }

    #[test]
    fn every_message_of_a_batch_of_any_size_leads_to_the_result() {
        for count in 1..20_usize {
            let messages: Vec<_> =
                (0..count).map(|message| digests(message, 2 - usize::from(count > 1 && message % 3 != 0))).collect();
            let batch = build(DigestAlgorithm::Sha512, Files::SIGNATURE, &messages).unwrap();
            for (place, chain) in batch.chains.iter().enumerate() {
                let files =
                    verify(batch.result.as_bytes(), "/sig-hashchain.xml", chain.as_bytes(), known(place)).unwrap();
                assert_eq!(files.len(), messages[place].len());
                let parsed = verify_xml(batch.result.as_bytes(), "/sig-hashchain.xml", chain.as_bytes(), known(place));
                assert_eq!(parsed, Ok(files), "read plainly and parsed it is the same");
                let other = known(place + 1);
                let parsed = verify_xml(batch.result.as_bytes(), "/sig-hashchain.xml", chain.as_bytes(), other);
                assert_eq!(parsed, Err(HashChainError::Reference("/message.xml".to_owned())));
            }
        }
    }

    #[test]
    fn a_lone_file_and_odd_counts_are_refused() {
        assert_eq!(build(DigestAlgorithm::Sha512, Files::SIGNATURE, &[digests(0, 1)]), Err(HashChainError::Count));
        assert_eq!(build(DigestAlgorithm::Sha512, Files::SIGNATURE, &[]), Err(HashChainError::Count));
        assert!(matches!(
            build(DigestAlgorithm::Sha256, Files::SIGNATURE, &[digests(0, 2)]),
            Err(HashChainError::DigestLength { .. })
        ));
    }

    #[test]
    fn an_altered_file_chain_or_result_is_refused() {
        let batch = build(DigestAlgorithm::Sha512, Files::SIGNATURE, &[digests(0, 2), digests(1, 1)]).unwrap();
        let check = |result: &str, chain: &str, message: usize| {
            verify(result.as_bytes(), "/sig-hashchain.xml", chain.as_bytes(), known(message)).unwrap_err()
        };
        let (result, chain) = (&batch.result, &batch.chains[0]);
        assert_eq!(check(result, chain, 1), HashChainError::Reference("/message.xml".to_owned()));
        assert_eq!(check(result, &chain.replace("#STEP1", "#STEP0"), 0), HashChainError::Repeated("#STEP0".to_owned()));
        assert_eq!(check(&result.replace("#STEP0", "#STEP1"), chain, 0), HashChainError::Leftover("STEP0".to_owned()));
        assert_eq!(
            check(&result.replace("sig-hashchain", "other"), chain, 0),
            HashChainError::Unresolved("/other.xml#STEP0".to_owned())
        );
        let other = build(DigestAlgorithm::Sha512, Files::SIGNATURE, &[digests(0, 2), digests(2, 1)]).unwrap();
        assert_eq!(check(&other.result, chain, 0), HashChainError::Result);
        assert!(matches!(
            check(result, &chain.replace("xmlenc#sha512", "xmlenc#md5"), 0),
            HashChainError::Algorithm(_)
        ));
        assert!(matches!(check(result, &chain.replace("DataRef", "Other"), 0), HashChainError::Malformed(_)));
    }

    #[test]
    fn a_file_that_is_elsewhere_is_reported() {
        let batch = build(DigestAlgorithm::Sha512, Files::SIGNATURE, &[digests(0, 2)]).unwrap();
        let mut here = known(0);
        let files = verify(batch.result.as_bytes(), "/sig-hashchain.xml", batch.chains[0].as_bytes(), |name| {
            if name == "/attachment1" { Data::Detached } else { here(name) }
        })
        .unwrap();
        assert_eq!(files.iter().map(|file| file.detached).collect::<Vec<_>>(), [false, true]);
    }
}
