//! What a worker lends its connections: spare buffers for messages that do not arrive whole, and
//! the codecs of compressed ones.
//!
//! Large buffers are dear to map anew for each message (the kernel clears every page), so one that
//! was used is kept for the next. The pool belongs to a worker, not to a connection: an idle
//! connection owns no buffer.

use crate::deflate::Codecs;

/// The most memory of spare inflaters that is kept, in bytes.
const MAX_CODECS: usize = 1024 * 1024;
/// The most buffers kept.
const MAX_BUFFERS: usize = 64;

/// Buffers that wait for their next use, at most 64 of them and at most a given number of bytes.
#[derive(Debug)]
pub struct Pool {
    spare: Vec<Vec<u8>>,
    kept: usize,
    max_kept: usize,
    codecs: Option<Box<Codecs>>,
}

impl Pool {
    /// An empty pool that keeps at most `max_kept` bytes of capacity.
    pub fn new(max_kept: usize) -> Self {
        Self { spare: Vec::new(), kept: 0, max_kept, codecs: None }
    }

    /// An empty buffer, with the capacity of an earlier use where one is spare.
    pub fn take(&mut self) -> Vec<u8> {
        let buffer = self.spare.pop().unwrap_or_default();
        self.kept -= buffer.capacity();
        buffer
    }

    /// Takes a buffer back; it is freed where the pool is full.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let fits = self.spare.len() < MAX_BUFFERS && self.kept + capacity <= self.max_kept;
        if capacity > 0 && fits {
            buffer.clear();
            self.kept += capacity;
            self.spare.push(buffer);
        }
    }

    /// Frees the buffers that are spare.
    pub fn clear(&mut self) {
        self.spare.clear();
        self.kept = 0;
    }

    /// What compressed messages are inflated with; made when the first one comes.
    pub fn codecs(&mut self) -> &mut Codecs {
        // The level is for compressing, which connections do not do.
        self.codecs.get_or_insert_with(|| Box::new(Codecs::new(1, MAX_CODECS)))
    }

    /// The bytes of capacity it keeps now.
    pub fn kept(&self) -> usize {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_with_its_capacity() {
        let mut pool = Pool::new(1000);
        let mut buffer = pool.take();
        buffer.extend_from_slice(&[1; 600]);
        let capacity = buffer.capacity();
        pool.give(buffer);
        assert_eq!(pool.kept(), capacity);
        let again = pool.take();
        assert_eq!((again.len(), again.capacity(), pool.kept()), (0, capacity, 0));
    }

    #[test]
    fn what_is_spare_can_be_freed() {
        let mut pool = Pool::new(1000);
        pool.give(Vec::with_capacity(600));
        pool.clear();
        assert_eq!((pool.kept(), pool.take().capacity()), (0, 0));
        pool.give(Vec::with_capacity(900));
        assert_eq!(pool.kept(), 900);
    }

    #[test]
    fn keeps_no_more_than_its_bound() {
        let mut pool = Pool::new(1000);
        for _ in 0..10 {
            pool.give(Vec::with_capacity(300));
        }
        assert_eq!(pool.kept(), 900);
        let mut pool = Pool::new(usize::MAX);
        for _ in 0..100 {
            pool.give(Vec::with_capacity(1));
        }
        assert_eq!(pool.kept(), MAX_BUFFERS);
    }
}
