//! Exchanges that outlive their callers: what was begun is logged.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::runtime::Handle;

use crate::listener::Reply;
use crate::spool::Flow;

/// An exchange that runs on the connection of its caller, as long as there is one, and goes on as a task of its own when the caller goes
/// away. A task from the start would cost each exchange two changes of tasks for the sake of the few whose caller leaves.
pub(crate) struct Detached {
    exchange: Option<Pin<Box<dyn Future<Output = Reply> + Send>>>,
}

/// Runs an exchange to its end also when the caller goes away.
pub(crate) fn detached(exchange: impl Future<Output = Reply> + Send + 'static) -> Detached {
    Detached { exchange: Some(Box::pin(exchange)) }
}

impl Future for Detached {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let Some(exchange) = self.exchange.as_mut() else { return Poll::Pending };
        let reply = match catch_unwind(AssertUnwindSafe(|| exchange.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(reply)) => reply,
            Err(_) => {
                tracing::error!("an exchange ended in a defect of the program");
                let mut answer = Response::new(Flow::from(Bytes::new()));
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                answer
            }
        };
        self.exchange = None;
        Poll::Ready(reply)
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        // Where the runtime itself ends nothing can go on.
        if let (Some(exchange), Ok(runtime)) = (self.exchange.take(), Handle::try_current()) {
            runtime.spawn(exchange);
        }
    }
}
