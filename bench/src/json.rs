//! Documents as programs send them: JSON with names, numbers, times and words, made from a seed.

/// What the texts are made of.
const WORDS: [&str; 40] = [
    "order",
    "delivered",
    "the",
    "to",
    "customer",
    "and",
    "payment",
    "pending",
    "warehouse",
    "second",
    "attempt",
    "failed",
    "because",
    "address",
    "unknown",
    "returned",
    "by",
    "carrier",
    "please",
    "call",
    "before",
    "noon",
    "fragile",
    "invoice",
    "sent",
    "again",
    "with",
    "discount",
    "of",
    "for",
    "late",
    "shipment",
    "since",
    "Tuesday",
    "signature",
    "required",
    "at",
    "door",
    "left",
    "neighbour",
];
const CITIES: [&str; 8] =
    ["Zürich", "Łódź", "Lisboa", "New York", "東京", "São Paulo", "Nairobi", "Umeå"];
const STATES: [&str; 5] = ["created", "paid", "shipped", "delivered", "cancelled"];

/// A document of exactly `len` bytes, of 100 at least; each seed gives another one.
pub(crate) fn document(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03);
    let mut text = format!("{{\"page\":{seed},\"orders\":[");
    // The end, with an empty note, takes as much.
    let end = "],\"note\":\"\"}".len();
    let mut separator = "";
    loop {
        let order = order(&mut random);
        if text.len() + separator.len() + order.len() + end > len {
            break;
        }
        text.push_str(separator);
        text.push_str(&order);
        separator = ",";
    }
    text.push_str("],\"note\":\"");
    let mut left = len.saturating_sub(text.len() + 2);
    while left > 0 {
        let word = random.pick(&WORDS);
        let word = &word[..word.len().min(left)];
        text.push_str(word);
        left -= word.len();
        if left > 0 {
            text.push(' ');
            left -= 1;
        }
    }
    text.push_str("\"}");
    text.into_bytes()
}

fn order(random: &mut Random) -> String {
    let words: Vec<&str> = (0..3 + random.below(6)).map(|_| random.pick(&WORDS)).collect();
    let items = (0..=random.below(3)).map(|_| {
        let (sku, count, cents) = (random.below(90_000), 1 + random.below(9), random.below(99_999));
        format!(
            "{{\"sku\":\"K-{sku:05}\",\"count\":{count},\"price\":{}.{:02}}}",
            cents / 100,
            cents % 100
        )
    });
    let items: Vec<String> = items.collect();
    format!(
        "{{\"id\":\"{:08x}-{:04x}\",\"created\":\"2026-0{}-{:02}T{:02}:{:02}:{:02}.{:03}Z\",\
         \"state\":\"{}\",\"customer\":{{\"id\":{},\"city\":\"{}\",\"vip\":{}}},\
         \"items\":[{}],\"comment\":\"{}\"}}",
        random.next() as u32,
        random.below(0x1_0000),
        1 + random.below(9),
        1 + random.below(28),
        random.below(24),
        random.below(60),
        random.below(60),
        random.below(1000),
        random.pick(&STATES),
        100_000 + random.below(900_000),
        random.pick(&CITIES),
        random.below(8) == 0,
        items.join(","),
        words.join(" "),
    )
}

/// `SplitMix64`: documents need variety, not secrecy, and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    #[test]
    fn documents_are_json_of_the_wanted_length() {
        for (seed, len) in [(0, 200), (1, 1024), (2, 65_536), (3, 1000), (4, 777)] {
            let document = document(seed, len);
            assert_eq!(document.len(), len);
            let parsed: serde_json::Value = serde_json::from_slice(&document).expect("JSON");
            assert!(parsed["orders"].is_array());
        }
        assert_ne!(document(1, 1024), document(2, 1024));
    }

    #[test]
    fn documents_compress_as_real_ones_do() {
        let document = document(7, 64 * 1024);
        let mut packed = Vec::with_capacity(document.len());
        let mut compress = Compress::new(Compression::new(6), false);
        compress.compress_vec(&document, &mut packed, FlushCompress::Finish).expect("room");
        let factor = document.len() as f64 / packed.len() as f64;
        assert!((3.0..6.0).contains(&factor), "{factor}");
    }
}
