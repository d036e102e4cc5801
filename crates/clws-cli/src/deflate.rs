//! Flags about compressed messages (permessage-deflate, RFC 7692), and what they mean.
//!
//! What a client is agreed with also depends on its offer; that is the library's.

use crate::args::size;
use clap::ValueEnum;
use clws::DeflateConfig;

/// Whether, how hard and with how much memory to compress.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_field_names, reason = "the flags are named after them")]
pub(crate) struct Deflate {
    /// How to compress messages (permessage-deflate): `off`, or a level from 0 to 9
    #[arg(long, value_name = "LEVEL", default_value = "1", value_parser = level)]
    deflate: Level,

    /// Compress messages from this size on, in bytes; k and m stand for KiB and MiB
    #[arg(long, value_name = "BYTES", default_value = "1k", value_parser = least)]
    deflate_min_size: usize,

    /// Whose messages may build on earlier ones (context takeover), where the client agrees: they
    /// become smaller, and more so the shorter and the more alike they are. The memory is kept for
    /// each client from its first such message on; of one that is idle, as much as the window says
    #[arg(long, value_name = "SIDE", value_enum, default_value = "none")]
    deflate_takeover: Takeover,

    /// How far back in a message, or in earlier ones, compressed data may refer: at most 2 to the
    /// power of this, in bytes, 9 to 15
    #[arg(long, value_name = "BITS", default_value = "15",
        value_parser = clap::value_parser!(u8).range(9..=15))]
    deflate_window_bits: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Takeover {
    /// Nobody's; every message stands alone
    None,
    /// The server's, for 96 KiB at level 1, at most 370 KiB at others
    Server,
    /// The client's, for 64 KiB
    Client,
    /// Those of both
    Both,
}

/// A level of compression, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level(Option<u8>);

fn level(text: &str) -> Result<Level, String> {
    if text == "off" {
        return Ok(Level(None));
    }
    match text.parse() {
        Ok(level @ 0..=9) => Ok(Level(Some(level))),
        _ => Err("give a level from 0 to 9, or off".into()),
    }
}

/// A size that may be zero, for all messages.
fn least(text: &str) -> Result<usize, String> {
    if text == "0" { Ok(0) } else { size(text) }
}

impl Deflate {
    pub(crate) fn config(&self) -> DeflateConfig {
        let mut config = DeflateConfig::default();
        config.enabled = self.deflate.0.is_some();
        config.level = self.deflate.0.unwrap_or(config.level);
        config.min_size = self.deflate_min_size;
        let keeps = |side| [Takeover::Both, side].contains(&self.deflate_takeover);
        config.server_no_context_takeover = !keeps(Takeover::Server);
        config.client_no_context_takeover = !keeps(Takeover::Client);
        config.server_max_window_bits = self.deflate_window_bits;
        config.client_max_window_bits = self.deflate_window_bits;
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        deflate: Deflate,
    }

    fn config(line: &str) -> Result<DeflateConfig, clap::Error> {
        let words = ["clws"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.deflate.config())
    }

    #[test]
    fn without_flags_it_is_the_librarys_default() {
        assert_eq!(config("").unwrap(), DeflateConfig::default());
    }

    #[test]
    fn each_side_may_keep_its_history() {
        for (side, kept) in [
            ("none", (false, false)),
            ("server", (true, false)),
            ("client", (false, true)),
            ("both", (true, true)),
        ] {
            let config = config(&format!("--deflate-takeover {side}")).unwrap();
            let forgets = (config.server_no_context_takeover, config.client_no_context_takeover);
            assert_eq!(forgets, (!kept.0, !kept.1), "{side}");
        }
    }

    #[test]
    fn levels_sizes_and_windows() {
        assert!(!config("--deflate off").unwrap().enabled);
        let all = "--deflate 9 --deflate-min-size 2k --deflate-window-bits 9";
        let config_of_all = config(all).unwrap();
        assert_eq!((config_of_all.level, config_of_all.min_size), (9, 2048));
        assert_eq!(config_of_all.server_max_window_bits, 9);
        assert_eq!(config_of_all.client_max_window_bits, 9);
        assert_eq!(config("--deflate-min-size 0").unwrap().min_size, 0);
        for bad in [
            "--deflate 10",
            "--deflate -1",
            "--deflate on",
            "--deflate-window-bits 8",
            "--deflate-window-bits 16",
            "--deflate-takeover all",
            "--deflate-min-size none",
        ] {
            assert!(config(bad).is_err(), "{bad}");
        }
    }
}
