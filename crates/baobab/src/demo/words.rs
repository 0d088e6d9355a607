//! What the demo nation says of itself: its laws, its purposes, the words of its consent screen.

use civic::{Purpose, ServiceId};
use identity::{Acr, ServiceNotice};
use web::Text;

/// The law under which the population register answers the portal. The nation and its laws are made up.
pub(super) const CIVIL_LAW: &str = "Loi 2026-01 (nation de démonstration), art. 12";

/// Why the portal reads the register.
pub(super) fn citizen_portal() -> Purpose {
    Purpose {
        code: "citizen-portal".to_owned(),
        text: "Montrer à la personne ses propres données sur le portail".to_owned(),
    }
}

/// The tax service as the consent screen describes it.
pub(super) fn income_notice(service: ServiceId) -> ServiceNotice {
    let field = |code: &str, fr: &str, en: &str| (code.to_owned(), Text::new(fr, en));
    ServiceNotice {
        service,
        provider: Text::new("Direction des impôts", "Tax office"),
        name: Text::new("votre relevé de revenus", "your income statement"),
        fields: vec![
            field("gross_income", "revenu brut de l’année", "gross income of the year"),
            field("taxable_income", "revenu imposable de l’année", "taxable income of the year"),
            field("tax_paid", "impôt payé", "tax paid"),
            field("employer", "nom de l’employeur", "name of the employer"),
            field("reference", "numéro du relevé", "number of the statement"),
            field("issued_on", "date du relevé", "date of the statement"),
        ],
        law: Text::new(
            "Loi 2026-02 (nation de démonstration), art. 7 : le revenu n’est communiqué qu’avec l’accord de la personne",
            "Act 2026-02 (demo nation), art. 7: income is disclosed with the person's agreement only",
        ),
        refusal: Text::new(
            "La banque ne saura rien de vos revenus ; elle peut vous demander des papiers à la place.",
            "The bank learns nothing of your income; it may ask you for papers instead.",
        ),
        acr_min: Acr::Substantial,
    }
}
