//! The way of the log to stderr, by a thread of its own.
//!
//! Whoever reads stderr may be slow, or may not read at all; a worker that waited for it would hold
//! up its clients. So lines wait in a bounded queue, and those that find it full are left out and
//! counted. What a line says is the business of `tracing`.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// How many lines may wait.
const QUEUE: usize = 1024;
/// How long the end of the program waits for a reader of its last lines.
const PATIENCE: Duration = Duration::from_secs(1);

enum Item {
    Line(Vec<u8>),
    /// Everything before it was written.
    Done(Sender<()>),
}

/// A writer that never waits.
pub(crate) struct Log {
    queue: SyncSender<Item>,
    left_out: Arc<AtomicU64>,
}

impl Log {
    pub(crate) fn start() -> io::Result<Self> {
        let (queue, items) = sync_channel(QUEUE);
        let left_out = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&left_out);
        let named = thread::Builder::new().name("clws-log".to_owned());
        named.spawn(move || write(&items, &counted))?;
        Ok(Self { queue, left_out })
    }

    /// Waits until what was logged so far is written, for a second at most.
    pub(crate) fn flush(&self) {
        let (done, written) = channel();
        if self.queue.try_send(Item::Done(done)).is_ok() {
            let _ = written.recv_timeout(PATIENCE);
        }
    }
}

impl Write for &Log {
    /// Takes `line`, which has to be a whole one.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Item::Line(line.to_vec())).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nobody can be told that stderr is closed; then the lines are gone.
fn write(items: &Receiver<Item>, left_out: &AtomicU64) {
    for item in items {
        match item {
            Item::Line(line) => drop(io::stderr().write_all(&line)),
            Item::Done(done) => drop(done.send(())),
        }
        let count = left_out.swap(0, Ordering::Relaxed);
        if count > 0 {
            drop(writeln!(io::stderr(), "clws: {count} lines of the log were left out"));
        }
    }
}
