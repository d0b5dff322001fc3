//! In which order: operations, and the queue between those who start them and the writer.
//!
//! Guarantee: the writer takes operations in the order in which they were submitted, and each
//! submitted operation is answered once. What an operation does is for [`crate::state`] to say, and
//! when it happens for [`crate::writer`].

pub(crate) mod operation;
mod order;
mod submission;
mod sync;

pub use operation::{Change, Changed, Condition, Key, Operation, Outcome, Write, Written};
pub(crate) use order::Queue;
pub(crate) use submission::Submission;
pub use submission::{Waiter, Wake};
