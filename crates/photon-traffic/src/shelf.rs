//! Where tables are put out for the threads that answer from them.
//! Must not know what tables hold.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The tables that are in force. Who answers from them keeps a [`Reader`], and never waits for more
/// than the copy of a pointer.
#[derive(Debug)]
pub struct Shelf<T> {
    generation: AtomicU64,
    tables: Mutex<Arc<T>>,
}

/// The tables as one thread has them.
#[derive(Debug)]
pub struct Reader<T> {
    shelf: Arc<Shelf<T>>,
    generation: u64,
    tables: Arc<T>,
}

impl<T> Shelf<T> {
    /// Puts the first tables out.
    #[must_use]
    pub fn new(tables: T) -> Arc<Self> {
        let tables = Mutex::new(Arc::new(tables));
        Arc::new(Self { generation: AtomicU64::new(0), tables })
    }

    /// Puts other tables in their place.
    ///
    /// # Panics
    /// If a holder of the lock has panicked.
    pub fn put(&self, tables: Arc<T>) {
        let old = {
            let mut held = self.tables.lock().expect("no holder panics");
            self.generation.fetch_add(1, Ordering::Release);
            std::mem::replace(&mut *held, tables)
        };
        // What is large is let go of without the lock.
        drop(old);
    }

    /// Returns the tables that are in force.
    ///
    /// # Panics
    /// If a holder of the lock has panicked.
    #[must_use]
    pub fn tables(&self) -> Arc<T> {
        self.tables.lock().expect("no holder panics").clone()
    }

    /// Lets a thread read from here.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> Reader<T> {
        let generation = self.generation.load(Ordering::Acquire);
        Reader { shelf: self.clone(), generation, tables: self.tables() }
    }
}

impl<T> Reader<T> {
    /// Returns the tables that are in force.
    pub fn tables(&mut self) -> &T {
        let generation = self.shelf.generation.load(Ordering::Acquire);
        if generation != self.generation {
            (self.generation, self.tables) = (generation, self.shelf.tables());
        }
        &self.tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_what_was_put_last_and_holds_on_to_nothing_else() {
        let shelf = Shelf::new(1);
        let mut reader = shelf.reader();
        assert_eq!(*reader.tables(), 1);
        let second = Arc::new(2);
        shelf.put(second.clone());
        assert_eq!((*reader.tables(), Arc::strong_count(&second)), (2, 3));
        shelf.put(Arc::new(3));
        assert_eq!((*reader.tables(), Arc::strong_count(&second)), (3, 1));
    }
}
