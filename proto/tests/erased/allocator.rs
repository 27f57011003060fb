//! An allocator that knows its blocks, and searches them for secrets.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::{null_mut, read_volatile};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::secrets::{Erased, Piece, Secrets};

/// Largest number of findings that are kept.
const MAX_FOUND: usize = 64;
/// Largest number of pieces that are searched.
const MAX_PIECES: usize = 512;

/// Stands directly before each block, and links all blocks that are in use.
struct Header {
    before: *mut Self,
    after: *mut Self,
    len: usize,
}

/// A piece of a secret in a block.
#[derive(Clone, Copy)]
struct Found {
    name: &'static str,
    len: usize,
    place: usize,
}

struct Inner {
    first: *mut Header,
    is_watching: bool,
    pieces: [Piece; MAX_PIECES],
    piece_count: usize,
    /// One bit for the first two bytes of each piece.
    starts: [u64; 1024],
    found: [Found; MAX_FOUND],
    found_count: usize,
}

struct Searching {
    is_locked: AtomicBool,
    inner: UnsafeCell<Inner>,
}

// SAFETY: `inner` is used only while `is_locked` is held.
unsafe impl Sync for Searching {}

#[global_allocator]
static ALLOCATOR: Searching = Searching {
    is_locked: AtomicBool::new(false),
    inner: UnsafeCell::new(Inner {
        first: null_mut(),
        is_watching: false,
        pieces: [Piece::NONE; MAX_PIECES],
        piece_count: 0,
        starts: [0; 1024],
        found: [Found {
            name: "",
            len: 0,
            place: 0,
        }; MAX_FOUND],
        found_count: 0,
    }),
};

impl Searching {
    /// Calls `action` alone. It must not allocate.
    fn locked<R>(&self, action: impl FnOnce(&mut Inner) -> R) -> R {
        while self.is_locked.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        // SAFETY: the lock is held.
        let result = action(unsafe { &mut *self.inner.get() });
        self.is_locked.store(false, Ordering::Release);
        result
    }
}

impl Inner {
    fn add(&mut self, header: *mut Header, len: usize) {
        // SAFETY: `header` is room for a header, and all linked headers belong to blocks in use.
        unsafe {
            header.write(Header {
                before: null_mut(),
                after: self.first,
                len,
            });
            if let Some(first) = self.first.as_mut() {
                first.before = header;
            }
        }
        self.first = header;
    }

    fn remove(&mut self, header: *mut Header) {
        // SAFETY: `header` and all linked headers belong to blocks in use.
        unsafe {
            let (before, after) = ((*header).before, (*header).after);
            match before.as_mut() {
                Some(before) => before.after = after,
                None => self.first = after,
            }
            if let Some(after) = after.as_mut() {
                after.before = before;
            }
        }
    }

    /// Searches a block of `len` bytes. It has been initialised, because all blocks are allocated with zeros.
    fn search(&mut self, block: *const u8, len: usize, wanted: &dyn Fn(Erased) -> bool) {
        // SAFETY: `at` is below the length of the block.
        let byte = |at: usize| unsafe { read_volatile(block.add(at)) };
        for place in 0..len.saturating_sub(1) {
            let start = usize::from(u16::from_le_bytes([byte(place), byte(place + 1)]));
            if self.starts[start / 64] & (1 << (start % 64)) == 0 {
                continue;
            }
            for piece in &self.pieces[..self.piece_count] {
                let is_here =
                    piece.len <= len - place && (0..piece.len).all(|n| byte(place + n) == piece.byte(n));
                if is_here && wanted(piece.erased) && self.found_count < MAX_FOUND {
                    self.found[self.found_count] = Found {
                        name: piece.name,
                        len,
                        place,
                    };
                    self.found_count += 1;
                }
            }
        }
    }
}

/// Distance from the start of the allocation to the block.
fn header_room(layout: Layout) -> usize {
    size_of::<Header>().next_multiple_of(layout.align())
}

fn whole(layout: Layout) -> Option<Layout> {
    let align = layout.align().max(align_of::<Header>());
    let len = layout.size().checked_add(header_room(layout))?;
    Layout::from_size_align(len, align).ok()
}

// SAFETY: the system allocator gives each block, with room for a header in front. The block keeps its alignment, because that room
// is a multiple of it.
unsafe impl GlobalAlloc for Searching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(whole) = whole(layout) else {
            return null_mut();
        };
        // SAFETY: the header has a size, so the layout is not empty.
        let start = unsafe { System.alloc_zeroed(whole) };
        if start.is_null() {
            return start;
        }
        // SAFETY: `whole` has that much room.
        let block = unsafe { start.add(header_room(layout)) };
        let header = block.cast::<Header>().wrapping_sub(1);
        self.locked(|inner| inner.add(header, layout.size()));
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.locked(|inner| {
            inner.remove(block.cast::<Header>().wrapping_sub(1));
            if inner.is_watching {
                inner.search(block, layout.size(), &|_| true);
            }
        });
        if let Some(whole) = whole(layout) {
            // SAFETY: `alloc` has made it with this layout.
            unsafe { System.dealloc(block.sub(header_room(layout)), whole) };
        }
    }
}

/// A search for secrets in all blocks that are freed, until it is dropped.
pub(crate) struct Watch(());

impl Watch {
    pub(crate) fn start(secrets: &Secrets) -> Self {
        ALLOCATOR.locked(|inner| {
            (inner.is_watching, inner.piece_count, inner.found_count) = (true, 0, 0);
            inner.starts = [0; 1024];
            for piece in secrets.pieces() {
                let start = usize::from(u16::from_le_bytes([piece.byte(0), piece.byte(1)]));
                inner.starts[start / 64] |= 1 << (start % 64);
                inner.pieces[inner.piece_count] = piece;
                inner.piece_count += 1;
            }
        });
        Self(())
    }

    /// The secrets in blocks that were freed. They are reported once.
    pub(crate) fn freed(&self) -> Vec<String> {
        let (found, count) = ALLOCATOR.locked(|inner| {
            let count = std::mem::take(&mut inner.found_count);
            (inner.found, count)
        });
        found[..count].iter().map(Found::text).collect()
    }

    /// The secrets in blocks that are in use.
    pub(crate) fn in_use(&self, wanted: impl Fn(Erased) -> bool) -> Vec<String> {
        let (found, count) = ALLOCATOR.locked(|inner| {
            let earlier = (inner.found, std::mem::take(&mut inner.found_count));
            let mut header = inner.first;
            // SAFETY: all linked headers belong to blocks in use.
            while let Some(Header { after, len, .. }) = unsafe { header.as_ref() } {
                inner.search(header.wrapping_add(1).cast(), *len, &wanted);
                header = *after;
            }
            let found = (inner.found, inner.found_count);
            (inner.found, inner.found_count) = earlier;
            found
        });
        found[..count].iter().map(Found::text).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        ALLOCATOR.locked(|inner| inner.is_watching = false);
    }
}

impl Found {
    fn text(&self) -> String {
        let Self { name, len, place } = self;
        format!("{name} in a block of {len} bytes at {place}")
    }
}
