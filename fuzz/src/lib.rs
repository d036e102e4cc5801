//! What the fuzz targets share: frames that are nearly legal, cuts, limits, and the helpers of the
//! protocol's tests.

#[path = "../../crates/clws-proto/tests/common/mod.rs"]
pub mod common;
pub mod cuts;
pub mod frames;
#[path = "../../crates/clws-proto/tests/common/reference.rs"]
pub mod reference;

use clws_proto::handshake::HandshakeLimits;

/// These limits of a handshake, as its fields are ordered, or the default ones.
pub fn limits(chosen: Option<(u16, u8, u8)>) -> HandshakeLimits {
    let Some((size, headers, line)) = chosen else { return HandshakeLimits::default() };
    HandshakeLimits {
        max_header_size: size.into(),
        max_headers: headers.into(),
        max_request_line: line.into(),
    }
}
