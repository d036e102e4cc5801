//! The resource at `/chat`: what one client says, all hear.

use clws::{Client, Closed, Reject, Resource};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(crate) struct Chat {
    clients: Mutex<BTreeMap<u64, Client>>,
}

impl Chat {
    fn clients(&self) -> MutexGuard<'_, BTreeMap<u64, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_all(&self, line: &str) {
        clws::send_text_to(self.clients().values(), line);
    }
}

impl Resource for Chat {
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        let mut clients = self.clients();
        clients.insert(client.id(), client.clone());
        let here = clients.len();
        drop(clients);
        self.tell_all(&format!("* {} joined ({here} here)", client.id()));
        Ok(())
    }

    fn text(&self, client: &Client, message: &str) {
        self.tell_all(&format!("{}: {message}", client.id()));
    }

    fn binary(&self, _: &Client, message: &[u8]) {
        clws::send_binary_to(self.clients().values(), message);
    }

    fn disconnected(&self, client: &Client, _: &Closed) {
        let mut clients = self.clients();
        clients.remove(&client.id());
        let here = clients.len();
        drop(clients);
        self.tell_all(&format!("* {} left ({here} here)", client.id()));
    }
}
