//! The resource at `/echo`: every message comes back.

use clws::{Client, Resource};

pub(crate) struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, message: &str) {
        client.send_text(message);
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        client.send_binary(message);
    }
}
