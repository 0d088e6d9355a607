use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use super::{Body, BodyReader, SpoolError};

/// How many slices wait between whoever makes a body and the connection that takes it.
const SLICES_MAX: usize = 4;

/// A body on its way out, of whichever origin.
#[derive(Debug)]
pub(crate) enum Flow {
    /// In one piece.
    Whole(Full<Bytes>),
    /// From memory or the spool, its length known.
    Kept(BodyReader),
    /// As somebody makes it.
    Made(mpsc::Receiver<Result<Bytes, FlowError>>),
}

/// Why a body breaks off on its way out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlowError {
    /// The spool failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Whoever made the body gave up; the text is for the program's log.
    #[error("the body was given up: {0}")]
    GivenUp(String),
}

/// The other end of a [`Flow::Made`].
pub(crate) type FlowSender = mpsc::Sender<Result<Bytes, FlowError>>;

impl Flow {
    /// A body that is made while it is sent.
    pub(crate) fn made() -> (FlowSender, Self) {
        let (sender, receiver) = mpsc::channel(SLICES_MAX);
        (sender, Self::Made(receiver))
    }

    /// A kept body; one in memory goes in one piece.
    pub(crate) fn of(body: Option<&Body>) -> Self {
        match body {
            None => Self::from(Bytes::new()),
            Some(body) => match body.memory() {
                Some(bytes) => Self::from(bytes.clone()),
                None => Self::Kept(body.reader()),
            },
        }
    }
}

impl From<Bytes> for Flow {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl From<Full<Bytes>> for Flow {
    fn from(bytes: Full<Bytes>) -> Self {
        Self::Whole(bytes)
    }
}

impl HttpBody for Flow {
    type Data = Bytes;
    type Error = FlowError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => {
                Pin::new(bytes).poll_frame(context).map(|next| next.map(|frame| frame.map_err(|never| match never {})))
            }
            Self::Kept(reader) => {
                reader.poll_next(context).map(|next| next.map(|piece| piece.map(Frame::data).map_err(Into::into)))
            }
            Self::Made(receiver) => receiver.poll_recv(context).map(|next| next.map(|slice| slice.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_end_stream(),
            Self::Kept(reader) => reader.remaining() == 0,
            Self::Made(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => bytes.size_hint(),
            Self::Kept(reader) => SizeHint::with_exact(reader.remaining()),
            Self::Made(_) => SizeHint::default(),
        }
    }
}
