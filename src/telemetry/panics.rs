//! A panic is the failure of what was being done, and of nothing else.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

/// Works; a panic is an error that says what the program said. What the work had in hands may be in any state
/// then: a connection is to be closed.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let worked = AssertUnwindSafe(work).catch_unwind().await;
    worked.map_err(|panic| format!("the program panicked: {}", said(&*panic)))
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("it did not say why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_panic_said_is_its_error() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let panics = |n: u8| async move {
            match n {
                0 => panic!("plain"),
                1 => panic!("formatted {n}"),
                _ => std::panic::panic_any(n),
            }
        };
        let said = ["plain", "formatted 1", "it did not say why"];
        for (n, said) in (0..).zip(said) {
            let error: Result<(), _> = caught(panics(n)).await;
            assert_eq!(error, Err(format!("the program panicked: {said}")));
        }
    }
}
