use civic::Locale;
use web::Messages;

use crate::error::IdentityError;

/// The words of the pages, the consent screen and the messages.
pub(crate) fn load() -> Result<Messages, IdentityError> {
    let files = [
        (Locale::Fr, include_str!("../../../translations/fr/identity.ftl")),
        (Locale::En, include_str!("../../../translations/en/identity.ftl")),
    ];
    Messages::load(&files).map_err(|error| IdentityError::Config(error.to_string()))
}
