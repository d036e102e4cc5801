//! The resource at `/echo`: every message comes back.

use clws::{Client, Resource, Text};

pub(crate) struct Echo;

impl Resource for Echo {
    fn reads_text(&self) -> bool {
        false
    }

    fn unread_text(&self, client: &Client, message: Text<'_>) {
        client.send_unread(message);
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        client.send_binary(message);
    }
}
