//! Two servers in one process, each with a port, resources and limits of its own: one for
//! everyone, and one for whoever runs it.
//!
//! ```sh
//! cargo run --example several_servers    # ws://127.0.0.1:12345/echo and ws://127.0.0.1:12346/admin
//! ```
//!
//! The second server answers `count` with the number of the first one's clients, and tells them
//! everything else it hears. Other addresses can be given as arguments.

use clws::{Client, Limits, Origin, Resource, Server, ServerHandle};

struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, message: &str) {
        client.send_text(message);
    }
}

/// Looks after another server, by its handle.
struct Admin(ServerHandle);

impl Resource for Admin {
    fn text(&self, client: &Client, message: &str) {
        if message == "count" {
            client.send_text(&self.0.client_count().to_string());
        } else {
            // Clients may be sent to from anywhere, also from a callback of another server.
            let report = clws::send_text_to(self.0.clients(), message);
            client.send_text(&format!("told {}", report.sent));
        }
    }
}

fn main() -> clws::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut address = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());

    let public = Server::builder()
        .resource("/echo", Origin::any(), Echo)
        .bind(address("127.0.0.1:12345"))?
        .start()?;

    let mut few = Limits::default();
    few.max_clients = Some(10);
    let admin = Server::builder()
        .limits(few)
        .workers(1)
        // Programs only: no web page gets here.
        .resource("/admin", Origin::none(), Admin(public.clone()))
        .bind(address("127.0.0.1:12346"))?
        .start()?;

    println!("public at ws://{}/echo", public.local_addresses()[0]);
    println!("admin at ws://{}/admin", admin.local_addresses()[0]);
    public.join();
    admin.join();
    Ok(())
}
