//! Signals: stop, stop at once, and read certificates again.

use clws::ServerHandle;

/// What a process that a signal ended by force exits with.
const FORCED: i32 = 130;

/// Stops `handle` on Ctrl-C and SIGTERM; a second one ends the process. SIGHUP reads certificates
/// again where there are files, as `reloads` says, and stops where there are none.
#[cfg(unix)]
pub(crate) fn watch(handle: ServerHandle, reloads: bool) -> Result<(), String> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| format!("cannot watch for signals: {error}"))?;
    let react = move || {
        let mut asked = false;
        for signal in signals.forever() {
            if signal == SIGHUP && reloads {
                reload(&handle);
            } else {
                stop(&handle, std::mem::replace(&mut asked, true));
            }
        }
    };
    std::thread::Builder::new()
        .name("clws-signals".to_owned())
        .spawn(react)
        .map_err(|error| format!("cannot watch for signals: {error}"))?;
    Ok(())
}

/// Stops `handle` on Ctrl-C; a second one ends the process.
#[cfg(not(unix))]
pub(crate) fn watch(handle: ServerHandle, _: bool) -> Result<(), String> {
    use std::sync::atomic::{AtomicBool, Ordering};
    let asked = AtomicBool::new(false);
    ctrlc::set_handler(move || stop(&handle, asked.swap(true, Ordering::Relaxed)))
        .map_err(|error| format!("cannot watch for signals: {error}"))
}

#[cfg(unix)]
fn reload(handle: &ServerHandle) {
    // What came of it is in the log.
    let _ = handle.reload_tls();
}

fn stop(handle: &ServerHandle, asked_before: bool) {
    if asked_before {
        std::process::exit(FORCED);
    }
    tracing::info!(clients = handle.client_count(), "stopping");
    handle.shutdown();
}
