//! What people see: each page from values to words.

use askama::Template;
use civic::Timestamp;
use web::{Arg, Choices, ErrorSummary, Field, FieldKind, FormErrors, Link, Page, Problem, Visit};

use super::application::{Application, Assessment, Call, Income, Loan, MONTHS, Outcome, PROJECTS, State};
use super::http::{LoanForm, USES, VALID_FOR_DAYS};
use super::node::Node;

/// The first page.
pub(super) fn home(visit: &Visit, applications: &[Application]) -> Result<Page, Problem> {
    let requests = applications.iter().map(|application| request_line(visit, application)).collect();
    let page = visit.page(visit.t("bank-home-title"), &Home { v: visit, requests })?;
    Ok(page.navigation(navigation(visit, "/")))
}

/// The form of a loan, with what is wrong in it.
pub(super) fn loan(visit: &Visit, form: &LoanForm, errors: &FormErrors, csrf: &str) -> Result<Page, Problem> {
    let amount = Field::new("amount", visit.t("bank-amount"))
        .hint(visit.t("bank-amount-hint"))
        .kind(FieldKind::Number)
        .longest(15)
        .autocomplete("off")
        .value(&form.amount)
        .error(errors.of("amount"));
    let mut months = Choices::new("months", visit.t("bank-months")).error(errors.of("months"));
    for offered in MONTHS {
        let words = visit.t1("bank-months-count", "months", u32::from(offered));
        months = months.choice(offered.to_string(), words, form.months == offered.to_string());
    }
    let mut project = Choices::new("project", visit.t("bank-project")).error(errors.of("project"));
    for offered in PROJECTS {
        project = project.choice(offered, project_name(visit, offered), form.project == offered);
    }
    let body = LoanBody { v: visit, summary: errors.summary(visit), amount, months, project, csrf };
    let title = visit.t("bank-loan-title");
    let title = if errors.is_empty() { title } else { format!("{} – {title}", visit.t("web-errors-title")) };
    Ok(visit.page(title, &body)?.back("/").navigation(navigation(visit, "/loan")))
}

/// One request: what was asked, what was read, what the bank thinks of it, the proofs.
pub(super) fn application(
    visit: &Visit,
    application: &Application,
    calls: &[(String, Call)],
    now: Timestamp,
    csrf: &str,
) -> Result<Page, Problem> {
    let last = calls.first().map(|(_, call)| call.outcome);
    let (agreed, alive, grant) = match &application.state {
        State::Agreed(access) => (true, now < access.until, access.grant.clone()),
        _ => (false, false, None),
    };
    let spent = last.is_some_and(Outcome::needs_new_consent);
    let body = ApplicationBody {
        v: visit,
        id: &application.id,
        csrf,
        loan: loan_pairs(visit, &application.loan),
        notice: notice(visit, application, last, alive),
        income: application.income.as_ref().map(|income| income_pairs(visit, income)).unwrap_or_default(),
        assessment: application.income.as_ref().and_then(|income| assessment(visit, &application.loan, income)),
        calls: calls.iter().map(|(_, call)| call_line(visit, call)).collect(),
        again: agreed && alive && !spent,
        retry: agreed && alive && spent,
        consent: !agreed || !alive || spent,
        grant,
    };
    let page = visit.page(visit.t("bank-request-title"), &body)?;
    Ok(page.back("/").language_path(format!("/applications/{}", application.id)).navigation(navigation(visit, "")))
}

/// What the bank's log holds of this visitor's requests.
pub(super) fn back_office(visit: &Visit, calls: &[(String, Call)], node: &Node) -> Result<Page, Problem> {
    let body = BackOffice {
        v: visit,
        client: node.client.to_string(),
        service: node.service.to_string(),
        calls: calls.iter().map(|(_, call)| call_line(visit, call)).collect(),
    };
    let page = visit.page(visit.t("bank-office-title"), &body)?;
    Ok(page.back("/").navigation(navigation(visit, "/back-office")))
}

fn navigation(visit: &Visit, here: &str) -> Vec<Link> {
    let link = |href: &str, key: &str| Link::new(href, visit.t(key)).current(href == here);
    vec![link("/", "bank-nav-home"), link("/loan", "bank-nav-loan"), link("/back-office", "bank-nav-office")]
}

fn project_name(visit: &Visit, project: &str) -> String {
    visit.t_or(&format!("bank-project-{project}"), project)
}

fn francs(visit: &Visit, amount: i64) -> String {
    visit.t1("bank-francs", "amount", visit.number(&amount))
}

fn loan_pairs(visit: &Visit, loan: &Loan) -> Vec<Pair> {
    vec![
        Pair::new(visit.t("bank-amount"), francs(visit, loan.amount)),
        Pair::new(visit.t("bank-months"), visit.t1("bank-months-count", "months", u32::from(loan.months))),
        Pair::new(visit.t("bank-project"), project_name(visit, &loan.project)),
    ]
}

fn income_pairs(visit: &Visit, income: &Income) -> Vec<Pair> {
    let mut pairs = vec![Pair::new(visit.t("bank-income-year"), income.year.to_string())];
    let amounts = [("bank-income-gross", income.gross_income), ("bank-income-taxable", income.taxable_income)];
    for (key, amount) in amounts {
        pairs.extend(amount.map(|amount| Pair::new(visit.t(key), francs(visit, amount))));
    }
    pairs.extend(income.employer.clone().map(|employer| Pair::new(visit.t("bank-income-employer"), employer)));
    pairs
}

fn assessment(visit: &Visit, loan: &Loan, income: &Income) -> Option<AssessmentView> {
    let assessment = Assessment::of(loan, income)?;
    let (class, key) =
        if assessment.affordable() { ("", "bank-advice-good") } else { (" caution", "bank-advice-talk") };
    Some(AssessmentView {
        class,
        instalment: francs(visit, assessment.instalment),
        share: visit.t1("bank-advice-share", "percent", assessment.share_percent),
        advice: visit.t1(key, "limit", Assessment::SHARE_PERCENT_MAX),
        terms: visit.t1("bank-advice-terms", "percent", Assessment::INTEREST_PERCENT),
    })
}

/// What the page says first.
fn notice(visit: &Visit, application: &Application, last: Option<Outcome>, alive: bool) -> Notice {
    let told = |class, key: &str| {
        let uses: [(&str, Arg); 2] = [("uses", USES.into()), ("days", VALID_FOR_DAYS.into())];
        let title = visit.t_with(&format!("bank-told-{key}-title"), &uses);
        Notice { class, title, text: visit.t_with(&format!("bank-told-{key}-text"), &uses) }
    };
    match (&application.state, last) {
        (State::Asked(_), _) => told("caution", "asked"),
        (State::Refused, _) => told("", "refused"),
        (State::Agreed(_), Some(Outcome::Answered)) if alive => told("", "answered"),
        (State::Agreed(_), None) if alive => told("caution", Outcome::Other.code()),
        (State::Agreed(_), Some(Outcome::Answered) | None) => told("caution", "ended"),
        (State::Agreed(_), Some(outcome)) => {
            let class = if outcome == Outcome::ConsentRevoked { "" } else { "caution" };
            told(class, &outcome.code().replace('_', "-"))
        }
    }
}

fn request_line(visit: &Visit, application: &Application) -> RequestLine {
    let (class, key) = match (&application.state, &application.income) {
        (State::Asked(_), _) => (" wait", "bank-state-asked"),
        (State::Refused, _) => (" off", "bank-state-refused"),
        (State::Agreed(_), Some(_)) => ("", "bank-state-verified"),
        (State::Agreed(_), None) => (" wait", "bank-state-unverified"),
    };
    RequestLine {
        href: format!("/applications/{}", application.id),
        amount: francs(visit, application.loan.amount),
        project: project_name(visit, &application.loan.project),
        made: visit.moment(&application.created_at),
        class,
        state: visit.t(key),
    }
}

fn call_line(visit: &Visit, call: &Call) -> CallLine {
    let class = match call.outcome {
        Outcome::Answered => "",
        Outcome::NoStatement => " wait",
        Outcome::ConsentRevoked | Outcome::ConsentExpired | Outcome::ConsentExhausted => " off",
        _ => " bad",
    };
    CallLine {
        id: call.id.clone(),
        made: visit.moment(&call.called_at),
        took: visit.t1("bank-call-took", "ms", call.took_us / 1_000),
        class,
        outcome: visit.t(&format!("bank-outcome-{}", call.outcome.code().replace('_', "-"))),
        reference: call.reference.clone(),
        proved: matches!(call.outcome, Outcome::Answered | Outcome::NoStatement),
    }
}

struct Pair {
    label: String,
    value: String,
}

impl Pair {
    const fn new(label: String, value: String) -> Self {
        Self { label, value }
    }
}

struct Notice {
    class: &'static str,
    title: String,
    text: String,
}

struct AssessmentView {
    class: &'static str,
    instalment: String,
    share: String,
    advice: String,
    terms: String,
}

struct RequestLine {
    href: String,
    amount: String,
    project: String,
    made: String,
    class: &'static str,
    state: String,
}

struct CallLine {
    id: String,
    made: String,
    took: String,
    class: &'static str,
    outcome: String,
    reference: Option<String>,
    proved: bool,
}

#[derive(Template)]
#[template(path = "bank/home.html")]
struct Home<'a> {
    v: &'a Visit,
    requests: Vec<RequestLine>,
}

#[derive(Template)]
#[template(path = "bank/loan.html")]
struct LoanBody<'a> {
    v: &'a Visit,
    summary: ErrorSummary,
    amount: Field,
    months: Choices,
    project: Choices,
    csrf: &'a str,
}

#[derive(Template)]
#[template(path = "bank/application.html")]
struct ApplicationBody<'a> {
    v: &'a Visit,
    id: &'a str,
    csrf: &'a str,
    loan: Vec<Pair>,
    notice: Notice,
    income: Vec<Pair>,
    assessment: Option<AssessmentView>,
    calls: Vec<CallLine>,
    again: bool,
    retry: bool,
    consent: bool,
    grant: Option<String>,
}

#[derive(Template)]
#[template(path = "bank/back_office.html")]
struct BackOffice<'a> {
    v: &'a Visit,
    client: String,
    service: String,
    calls: Vec<CallLine>,
}
