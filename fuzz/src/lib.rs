//! What the fuzz targets share: frames that are nearly legal, cuts, and the helpers of the
//! protocol's tests.

#[path = "../../crates/clws-proto/tests/common/mod.rs"]
pub mod common;
pub mod cuts;
pub mod frames;
#[path = "../../crates/clws-proto/tests/common/reference.rs"]
pub mod reference;
