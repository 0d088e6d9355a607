//! The accept loop of all listeners: a limit on connections, time limits against slow peers, and a drain at the end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::NodeLimits;
use crate::pace::Pace;
use crate::spool::Flow;
use crate::steady::Steady;

/// A small answer of the node itself.
pub(crate) type Answer = Response<Full<Bytes>>;

/// The answer of an exchange: its body may come from the spool, or be made while it is sent.
pub(crate) type Reply = Response<Flow>;

/// How long open exchanges may go on once the node shuts down.
const DRAIN: Duration = Duration::from_secs(10);

/// How long the rest of a refused request is read.
const LINGER: Duration = Duration::from_secs(30);
/// How long it may pause on the way.
const LINGER_IDLE: Duration = Duration::from_secs(2);
/// The lowest rate at which it is worth reading, bytes a second.
const LINGER_BYTES_PER_S_MIN: u64 = 1024 * 1024;

/// Serves HTTP/1.1 until the shutdown, then lets open exchanges end. `connect` turns a socket into a stream and what is known of its peer.
pub(crate) async fn serve<C, CF, IO, P, H, HF, B>(
    listener: TcpListener,
    limits: NodeLimits,
    shutdown: CancellationToken,
    connect: C,
    handle: H,
) where
    C: Fn(TcpStream) -> CF + Clone + Send + 'static,
    CF: Future<Output = io::Result<(IO, P)>> + Send,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Clone + Send + 'static,
    H: Fn(P, Request<Incoming>) -> HF + Clone + Send + 'static,
    HF: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let tasks = TaskTracker::new();
    loop {
        let slot = tokio::select! {
            () = shutdown.cancelled() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Out of file descriptors, or the peer left already: breathe, go on.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (connect, handle, shutdown) = (connect.clone(), handle.clone(), shutdown.clone());
        tasks.spawn(async move {
            let _slot = slot;
            connection(socket, limits, shutdown, connect, handle).await;
        });
    }
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!(open = tasks.len(), "connections were cut because they did not end within the drain time");
    }
}

/// Answers although a request is still coming in. Whoever sends a body reads no answer before it is done, or finds the connection
/// reset: so the rest is read and dropped for a while, and the answer ends after it.
pub(crate) fn lingering(answer: Reply, mut rest: Incoming) -> Reply {
    if rest.is_end_stream() {
        return answer;
    }
    let (head, flow) = answer.into_parts();
    let Flow::Whole(mut whole) = flow else { return Response::from_parts(head, flow) };
    let (sender, made) = Flow::made();
    tokio::spawn(async move {
        if let Some(Ok(frame)) = whole.frame().await
            && let Ok(bytes) = frame.into_data()
        {
            let _ = sender.send(Ok(bytes)).await;
        }
        let mut pace = Pace::new(LINGER_IDLE, LINGER_BYTES_PER_S_MIN);
        let drained = async { while let Ok(Some(_)) = pace.next(&mut rest).await {} };
        let _ = tokio::time::timeout(LINGER, drained).await;
    });
    Response::from_parts(head, made)
}

/// The identity of plain listeners: nothing is known of the peer.
pub(crate) async fn plain(socket: TcpStream) -> io::Result<(TcpStream, ())> {
    Ok((socket, ()))
}

async fn connection<C, CF, IO, P, H, HF, B>(
    socket: TcpStream,
    limits: NodeLimits,
    shutdown: CancellationToken,
    connect: C,
    handle: H,
) where
    C: Fn(TcpStream) -> CF,
    CF: Future<Output = io::Result<(IO, P)>>,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Clone + Send + 'static,
    H: Fn(P, Request<Incoming>) -> HF + Clone + Send + 'static,
    HF: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let _ = socket.set_nodelay(true);
    let (stream, peer) = match tokio::time::timeout(limits.head_timeout, connect(socket)).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => {
            tracing::info!(%error, "a connection was refused");
            return;
        }
        Err(_) => {
            tracing::info!("a peer was too slow with its handshake");
            return;
        }
    };
    let service = service_fn(move |request| {
        let answer = handle(peer.clone(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_headers(crate::message::HEADERS_MAX)
            .max_buf_size(2 * crate::message::HEADER_PART_BYTES_MAX)
            .half_close(true)
            .serve_connection(TokioIo::new(Steady::new(stream, limits.exchange_timeout)), service)
    );
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        // A peer that leaves between two requests is no event.
        tracing::debug!(error = web::with_causes(&error), "a connection ended early");
    }
}
