//! Something that holds callbacks back until a test says otherwise, and what hides panics that
//! tests want.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use super::common::raw::PATIENCE;
use std::panic;
use std::sync::{Arc, Condvar, Mutex, Once};

/// Keeps panics on purpose out of the tests' output.
pub fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload_as_str().is_none_or(|text| !text.contains("on purpose")) {
                usual(info);
            }
        }));
    });
}

/// A gate that is shut until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn shut() -> Self {
        Self::default()
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until the gate is open.
    #[track_caller]
    pub fn pass(&self) {
        let (open, opened) = &*self.0;
        let waited = opened.wait_timeout_while(open.lock().unwrap(), PATIENCE, |open| !*open);
        assert!(*waited.unwrap().0, "the gate was never opened");
    }
}
