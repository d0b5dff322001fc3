//! Starting an operation without waiting for it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// An operation that has taken its place in the order of operations.
pub(crate) type Started<'store, T> = Pin<Box<dyn Future<Output = T> + Send + 'store>>;

/// Polls a future once.
pub(crate) fn start<'store, T: Send + 'store>(
    future: impl Future<Output = T> + Send + 'store,
) -> Started<'store, T> {
    let mut future = Box::pin(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Box::pin(std::future::ready(output)),
        Poll::Pending => future,
    }
}
