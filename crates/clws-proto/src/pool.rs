//! What a worker lends its connections: spare buffers for messages that do not arrive whole, the
//! codecs of compressed ones, and an allowance of how much may be inflated.
//!
//! Large buffers are dear to map anew for each message (the kernel clears every page), so one that
//! was used is kept for the next. The pool belongs to a worker, not to a connection: an idle
//! connection owns no buffer.

use crate::deflate::Codecs;

/// The most memory of spare inflaters that is kept, in bytes.
const MAX_CODECS: usize = 1024 * 1024;
/// The most buffers kept.
const MAX_BUFFERS: usize = 64;
/// The largest buffer that is lent while memory is to be spared, in bytes. A message that goes
/// beyond it gets the largest there is.
const SMALL: usize = 64 * 1024;

/// Buffers that wait for their next use, at most 64 of them and at most a given number of bytes.
#[derive(Debug)]
pub struct Pool {
    /// The smallest last, and taken first: what turns out long grows, and most do not.
    spare: Vec<Vec<u8>>,
    /// How many of them were not lent since [`Self::retire`].
    idle: usize,
    kept: usize,
    max_kept: usize,
    codecs: Option<Box<Codecs>>,
    /// How many bytes may still be inflated.
    allowance: u64,
    /// Large buffers are not lent.
    frugal: bool,
}

impl Pool {
    /// An empty pool that keeps at most `max_kept` bytes of capacity.
    pub fn new(max_kept: usize) -> Self {
        Self {
            spare: Vec::new(),
            idle: 0,
            kept: 0,
            max_kept,
            codecs: None,
            allowance: u64::MAX,
            frugal: false,
        }
    }

    /// An empty buffer, with the capacity of an earlier use where one is spare.
    pub fn take(&mut self) -> Vec<u8> {
        let most = if self.frugal { SMALL } else { usize::MAX };
        let buffer = self.spare.pop_if(|spare| spare.capacity() <= most).unwrap_or_default();
        self.lent(&buffer);
        buffer
    }

    /// The largest buffer, for a message of which `needed` bytes do not fit into its `capacity`
    /// any more: if that is a long one, and the buffer has at least twice the room. Were it to
    /// grow by itself, each would leave one more large buffer here, and to the allocator the holes
    /// that it grew out of.
    pub(crate) fn take_larger(&mut self, capacity: usize, needed: usize) -> Option<Vec<u8>> {
        let is_larger = |spare: &Vec<u8>| spare.capacity() >= capacity.saturating_mul(2);
        let outgrown = needed > capacity && needed > SMALL;
        if !outgrown || !self.spare.first().is_some_and(is_larger) {
            return None;
        }
        let buffer = self.spare.remove(0);
        self.lent(&buffer);
        Some(buffer)
    }

    fn lent(&mut self, buffer: &Vec<u8>) {
        self.kept -= buffer.capacity();
        self.idle = self.idle.min(self.spare.len());
    }

    /// Takes a buffer back; it is freed where the pool is full.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let fits = self.spare.len() < MAX_BUFFERS && self.kept + capacity <= self.max_kept;
        if capacity > 0 && fits {
            buffer.clear();
            self.kept += capacity;
            let larger = self.spare.partition_point(|spare| spare.capacity() > capacity);
            self.spare.insert(larger, buffer);
        }
    }

    /// Frees the buffers that are spare.
    pub fn clear(&mut self) {
        self.spare.clear();
        (self.kept, self.idle) = (0, 0);
    }

    /// Frees as many buffers and codecs as were spare all the time since this was called last, the
    /// largest first: for a crowd that is gone.
    pub fn retire(&mut self) {
        let idle = self.idle.min(self.spare.len());
        self.kept -= self.spare.drain(..idle).map(|spare| spare.capacity()).sum::<usize>();
        self.idle = self.spare.len();
        if let Some(codecs) = &mut self.codecs {
            codecs.retire();
        }
    }

    /// Whether [`Self::retire`] may have something to free, now or when it is called again.
    #[inline]
    pub fn has_spares(&self) -> bool {
        !self.spare.is_empty() || self.codecs.as_ref().is_some_and(|codecs| codecs.kept() > 0)
    }

    /// Lets connections inflate so many bytes of compressed messages from now on, and then no more
    /// until this is called again: a KiB on the wire can be a MiB of work. Without a call there is
    /// no such bound.
    ///
    /// It may be exceeded by what is inflated at once and by what an inflater holds of bytes that
    /// it took, 32 KiB in all.
    #[inline]
    pub fn allow_inflating(&mut self, bytes: u64) {
        self.allowance = bytes;
    }

    /// Lends no buffer of more than 64 KiB, or all again: for when many messages are unfinished
    /// that may go on for long, so that each holds what it needs and no more.
    #[inline]
    pub fn be_frugal(&mut self, frugal: bool) {
        self.frugal = frugal;
    }

    /// How many bytes may still be inflated: see [`Self::allow_inflating`].
    pub fn allowance(&self) -> u64 {
        self.allowance
    }

    /// What compressed messages are inflated with, made when the first one comes, and the
    /// allowance to take what came out off.
    pub(crate) fn inflating(&mut self) -> (&mut Codecs, &mut u64) {
        // The level is for compressing, which connections do not do.
        let codecs = self.codecs.get_or_insert_with(|| Box::new(Codecs::new(1, MAX_CODECS)));
        (codecs, &mut self.allowance)
    }

    /// The codecs alone.
    pub fn codecs(&mut self) -> &mut Codecs {
        self.inflating().0
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
    fn a_frugal_pool_lends_small_buffers_alone_and_the_smallest_first() {
        let mut pool = Pool::new(1000 * 1024);
        for capacity in [1024, 500 * 1024, SMALL] {
            pool.give(Vec::with_capacity(capacity));
        }
        pool.be_frugal(true);
        let lent: Vec<_> = (0..3).map(|_| pool.take().capacity()).collect();
        assert_eq!((lent, pool.kept()), (vec![1024, SMALL, 0], 500 * 1024));
        pool.be_frugal(false);
        assert_eq!((pool.take().capacity(), pool.kept()), (500 * 1024, 0));
    }

    #[test]
    fn a_long_message_gets_the_largest_if_that_is_much_larger() {
        let mut pool = Pool::new(usize::MAX);
        for capacity in [500 * 1024, 1000 * 1024, SMALL] {
            pool.give(Vec::with_capacity(capacity));
        }
        pool.be_frugal(true);
        let kept = pool.kept();
        assert_eq!(pool.take_larger(1024, SMALL), None);
        assert_eq!(pool.take_larger(500 * 1024, 500 * 1024), None);
        assert_eq!(pool.take_larger(501 * 1024, 600 * 1024), None);
        let larger = pool.take_larger(1024, SMALL + 1).map(|buffer| buffer.capacity());
        assert_eq!((larger, pool.kept()), (Some(1000 * 1024), kept - 1000 * 1024));
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
    fn what_nobody_needed_for_a_while_is_freed() {
        let mut pool = Pool::new(usize::MAX);
        for capacity in [100, 200, 300, 400] {
            pool.give(Vec::with_capacity(capacity));
        }
        pool.retire();
        assert_eq!(pool.kept(), 1000, "nobody had the time to need them");
        // Two are needed at a time, again and again.
        for _ in 0..3 {
            let (one, two) = (pool.take(), pool.take());
            pool.give(one);
            pool.give(two);
        }
        pool.retire();
        assert_eq!((pool.kept(), pool.has_spares()), (300, true));
        pool.retire();
        assert_eq!((pool.kept(), pool.has_spares()), (0, false));
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
