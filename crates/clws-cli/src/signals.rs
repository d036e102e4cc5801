//! Signals: stop, stop at once, and read certificates again. Stopping itself is for whoever waits
//! for the word.

use clws::ServerHandle;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What a process that a signal ended by force exits with.
const FORCED: i32 = 130;

/// Says so on Ctrl-C and SIGTERM; a second one ends the process. SIGHUP reads certificates
/// again where there are files, as `reloads` says, and is as SIGTERM where there are none.
#[cfg(unix)]
pub(crate) fn watch(handle: ServerHandle, reloads: bool) -> Result<Receiver<()>, String> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| format!("cannot watch for signals: {error}"))?;
    let (stop, stopped) = channel();
    let react = move || {
        let mut asked = false;
        for signal in signals.forever() {
            if signal == SIGHUP && reloads {
                reload(&handle);
            } else {
                ask_to_stop(&stop, std::mem::replace(&mut asked, true));
            }
        }
    };
    std::thread::Builder::new()
        .name("clws-signals".to_owned())
        .spawn(react)
        .map_err(|error| format!("cannot watch for signals: {error}"))?;
    Ok(stopped)
}

/// Says so on Ctrl-C; a second one ends the process.
#[cfg(not(unix))]
pub(crate) fn watch(_: ServerHandle, _: bool) -> Result<Receiver<()>, String> {
    use std::sync::atomic::{AtomicBool, Ordering};
    let asked = AtomicBool::new(false);
    let (stop, stopped) = channel();
    ctrlc::set_handler(move || ask_to_stop(&stop, asked.swap(true, Ordering::Relaxed)))
        .map_err(|error| format!("cannot watch for signals: {error}"))?;
    Ok(stopped)
}

#[cfg(unix)]
fn reload(handle: &ServerHandle) {
    // What came of it is in the log.
    let _ = handle.reload_tls();
}

fn ask_to_stop(stop: &Sender<()>, asked_before: bool) {
    if asked_before {
        std::process::exit(FORCED);
    }
    // Whoever waited has ended already.
    let _ = stop.send(());
}
