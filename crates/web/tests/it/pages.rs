use std::sync::Arc;

use askama::Template;
use civic::{Locale, Timestamp};
use web::assets::{MARK, STYLE};
use web::testing::faults;
use web::{Choices, ErrorSummary, Field, FieldKind, FormErrors, Link, Page, PageLinks, Paging, SignedIn, Visit};

use crate::site;

#[derive(Template)]
#[template(
    source = "{{ summary }}<h1>{{ v.t(\"test-title\") }}</h1><p class=\"lead\">{{ v.t1(\"test-lead\", \"name\", name) }}</p>\
<form method=\"post\">{{ amount }}{{ pin }}{{ choices }}<button>OK</button></form>{{ pages }}",
    ext = "html"
)]
struct Body<'a> {
    v: &'a Visit,
    name: &'a str,
    summary: ErrorSummary,
    amount: Field,
    pin: Field,
    choices: Choices,
    pages: PageLinks,
}

fn page(locale: Locale) -> Page {
    let visit = Arc::new(site()).visit(locale, "/loan?offset=20&lang=fr");
    let errors = FormErrors::one("amount", "Écrivez un montant en chiffres.");
    let body = Body {
        v: &visit,
        name: "<Awa & co>",
        summary: errors.summary(&visit),
        amount: Field::new("amount", "Montant")
            .hint("En francs")
            .kind(FieldKind::Number)
            .value("x\"y")
            .error(errors.of("amount")),
        pin: Field::new("pin", "Code secret").kind(FieldKind::Secret).value("123456").autocomplete("off").longest(6),
        choices: Choices::new("why", "Pourquoi ?").choice("home", "Maison", true).choice("car", "Voiture", false),
        pages: Paging::new(20, 20).links(&visit, "/loan", 20, 61),
    };
    visit
        .page(visit.t("test-title"), &body)
        .unwrap()
        .back("/")
        .navigation(vec![Link::new("/", "A").current(true), Link::new("/b", "B")])
        .signed_in(SignedIn { name: "Awa Ndiaye".into(), logout: "/logout".into(), csrf: "c5".into() })
        .module("/assets/x.js?v=1")
}

#[test]
fn a_page_has_no_fault_in_any_language() {
    for locale in Locale::ALL {
        assert_eq!(faults(&page(locale).html().unwrap()), Vec::<String>::new());
    }
}

#[test]
fn a_page_looks_the_same_as_reviewed() {
    for locale in Locale::ALL {
        let html = page(locale).html().unwrap().replace(&STYLE.href(), "STYLE").replace(&MARK.href(), "MARK");
        insta::assert_snapshot!(format!("page_{locale}"), html);
    }
}

#[test]
fn what_people_type_is_escaped_and_a_secret_is_never_shown_again() {
    let html = page(Locale::Fr).html().unwrap();
    assert!(!html.contains("<Awa"));
    assert!(!html.contains("x\"y"));
    assert!(!html.contains("123456"));
}

#[test]
fn the_faults_of_a_bad_page_are_found() {
    let bad = "<html><head><style>p{}</style><script>1</script></head><body onload=\"x()\"><input name=\"a\" placeholder=\"b\">\
<img src=\"https://elsewhere.example/x.png\"><a href=\"#gone\">x</a><p style=\"color:red\" id=\"i\"></p><p id=\"i\"></p></body></html>";
    let found = faults(bad);
    for word in ["document type", "language", "<h1>", "label", "inline", "alt", "another origin", "gone", "twice"] {
        assert!(found.iter().any(|fault| fault.contains(word)), "{word} in {found:?}");
    }
}

#[test]
fn days_moments_and_numbers_read_as_people_write_them() {
    let site = Arc::new(site());
    let (fr, en) = (site.visit(Locale::Fr, "/"), site.visit(Locale::En, "/"));
    let moment = Timestamp::parse_rfc3339("2026-08-01T22:05:00Z").unwrap();
    assert_eq!(fr.moment(&moment), "1er août 2026 à 22:05");
    assert_eq!(en.moment(&moment), "1 August 2026 at 22:05");
    assert_eq!(fr.number(&1_250_000), "1\u{202f}250\u{202f}000");
    assert_eq!(en.number(&-1234), "−1,234");
    assert_eq!(en.number(&0), "0");
}

#[test]
fn the_style_sheet_is_small() {
    assert!(web::assets::STYLE.bytes.len() < 20_000, "about 5 kB when compressed");
}
