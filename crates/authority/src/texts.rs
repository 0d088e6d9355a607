//! What texts must be like to stand in the configuration: nodes of every make must be able to read it.

use trust::mserv::Command;

use crate::approved::Approval;
use crate::{AuthorityError, TEXT_CHARS_MAX};

/// An error unless it is host or host and port.
pub(crate) fn checked_address(address: &str) -> Result<(), AuthorityError> {
    const MORE: &str = ", and is host or host:port";
    checked(address, "address", MORE)?;
    if address.contains([' ', '/']) { Err(AuthorityError::Text { what: "address", more: MORE }) } else { Ok(()) }
}

/// An error unless people can read it and XML can hold it.
pub(crate) fn checked(text: &str, what: &'static str, more: &'static str) -> Result<(), AuthorityError> {
    // Beside the control characters, XML 1.0 §2.2 excludes these two.
    let wrong = |character: &char| character.is_control() || matches!(character, '\u{FFFE}' | '\u{FFFF}');
    if let Some((place, character)) = text.chars().enumerate().find(|(_, character)| wrong(character)) {
        let character = format!("U+{:04X}", u32::from(character));
        return Err(AuthorityError::Character { what, character, place: place + 1 });
    }
    let chars = text.chars().count();
    if chars == 0 || chars > TEXT_CHARS_MAX {
        return Err(AuthorityError::Text { what, more });
    }
    Ok(())
}

/// The texts that a request brings.
pub(crate) fn check_command(command: &Command) -> Result<(), AuthorityError> {
    let optional = |text: Option<&str>, what| text.map_or(Ok(()), |text| checked(text, what, ""));
    match command {
        Command::AuthCertReg { address: Some(address), .. } | Command::AddressChange { address, .. } => {
            checked_address(address)
        }
        Command::ClientReg { subsystem_name, .. } => optional(subsystem_name.as_deref(), "name of the subsystem"),
        Command::ClientRename { subsystem_name, .. } => checked(subsystem_name, "name of the subsystem", ""),
        Command::MaintenanceModeEnable { message, .. } => optional(message.as_deref(), "message"),
        Command::AuthCertReg { address: None, .. }
        | Command::AuthCertDeletion { .. }
        | Command::ClientDeletion { .. }
        | Command::OwnerChange { .. }
        | Command::ClientDisable { .. }
        | Command::ClientEnable { .. }
        | Command::MaintenanceModeDisable { .. } => Ok(()),
    }
}

/// The texts of an approved authority; its certificates are judged by [`Approval::check`].
pub(crate) fn check_approval(approval: &Approval) -> Result<(), AuthorityError> {
    match approval {
        Approval::Tsa { name, url, .. } => {
            checked(name, "name", "")?;
            checked(url, "address", "")
        }
        Approval::Ca { name, intermediates, ocsp, certificate_profile, acme_directory, .. } => {
            checked(name, "name", "")?;
            checked(certificate_profile, "certificate profile", "")?;
            let responders = ocsp.iter().chain(intermediates.iter().flat_map(|below| &below.ocsp));
            let urls = responders.map(|responder| responder.url.as_str()).chain(acme_directory.as_deref());
            urls.into_iter().try_for_each(|url| checked(url, "address", ""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_taken_as_it_is() {
        for good in ["Direction générale des impôts", "関税", "👍", "<&>\"'", "\u{FFFD}", "é".repeat(255).as_str()]
        {
            assert_eq!(checked(good, "name", ""), Ok(()), "{good}");
        }
        for wrong in ["", "é".repeat(256).as_str()] {
            assert!(matches!(checked(wrong, "name", ""), Err(AuthorityError::Text { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_character_without_a_place_is_named_with_its_place() {
        let error = checked("ab\u{B}", "message", "").unwrap_err();
        assert!(error.to_string().starts_with("the message holds the character U+000B as its character 3"), "{error}");
    }
}
