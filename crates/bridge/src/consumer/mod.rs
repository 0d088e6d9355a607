//! The side of the caller: takes a request of an information system of the organisation, signs it, sends it to the provider's node,
//! verifies what comes back and logs both before the answer leaves.

mod answer;
mod exchange;
pub(crate) mod management;
mod pool;
mod send;
mod soap;

pub(crate) use pool::Pool;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::core::Core;
use crate::evidence;
use crate::fault::Fault;
use crate::listener::{Answer, Reply, lingering};
use crate::message::{ErrorForm, render_error};
use crate::messagelog::Role;
use crate::metaservices;
use crate::operations::{Observed, ServerType};
use crate::spool::Flow;

/// Answers a request of an information system.
pub(crate) async fn handle(core: Arc<Core>, request: Request<Incoming>) -> Reply {
    let (head, mut body) = request.into_parts();
    match head.uri.path() {
        "/asic" => return evidence::asic(&core, &head).await.map(Flow::from),
        "/listClients" => return metaservices::clients::list(&core, &head).map(Flow::from),
        "/verificationconf" => return evidence::verification_configuration(&core, &head).map(Flow::from),
        _ => {}
    }
    let observed = Observed::begin(&core, ServerType::Client);
    let by_soap = soap::is_soap(&head);
    let outcome = if by_soap {
        soap::exchange(&core, &head, &mut body, &observed).await
    } else if head.uri.path() == "/wsdl" {
        soap::wsdl(&core, &head, &observed).await.map(|answer| answer.map(Flow::from))
    } else {
        exchange::exchange(&core, &head, &mut body, &observed).await
    };
    match outcome {
        Ok(answer) => answer,
        Err(fault) => {
            observed.failed(&fault);
            let answer = if by_soap { soap::error(&core, fault) } else { error(&core, &head, fault) };
            lingering(answer.map(Flow::from), body)
        }
    }
}

/// An error in the form that the caller accepts. It is logged here, once.
pub(crate) fn error(core: &Core, head: &Parts, fault: Fault) -> Answer {
    let fault = core.logged(Role::Consumer, fault);
    let accept = head.headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let rendered = render_error(&fault, ErrorForm::negotiate(accept), core.config.error_style);
    let mut answer = Response::new(Full::new(Bytes::from(rendered.body)));
    *answer.status_mut() = StatusCode::from_u16(rendered.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(rendered.content_type));
    if let Ok(value) = HeaderValue::from_str(&rendered.error_header) {
        answer.headers_mut().insert(HeaderName::from_static("x-road-error"), value);
    }
    answer
}
