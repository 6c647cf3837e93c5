//! Flows in user space, as the kernel's tables hold them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use ravelin_datapath::wire::{FLOW_WORDS, FlowKey, FlowRecord};
use ravelin_datapath::{FlowCell, Flows};

/// A flow table without bound.
#[derive(Debug, Default)]
pub struct Remembered {
    flows: RefCell<HashMap<FlowKey, Rc<Words>>>,
    datagrams: RefCell<HashMap<FlowKey, Rc<Words>>>,
}

#[derive(Debug)]
struct Words([Cell<u64>; FLOW_WORDS]);

struct Found(Rc<Words>);

impl Flows for Remembered {
    fn find(&self, key: &FlowKey) -> Option<impl FlowCell> {
        self.flows.borrow().get(key).cloned().map(Found)
    }

    fn open(&self, key: &FlowKey, record: &FlowRecord) {
        let words = Words(record.map(Cell::new));
        self.flows.borrow_mut().insert(*key, Rc::new(words));
    }

    fn settle(&self, _: &FlowKey, _: &FlowRecord) {}

    fn remove(&self, key: &FlowKey) {
        self.flows.borrow_mut().remove(key);
    }

    fn datagram(&self, key: &FlowKey) -> Option<impl FlowCell> {
        self.datagrams.borrow().get(key).cloned().map(Found)
    }

    fn begin(&self, key: &FlowKey, record: &FlowRecord) {
        let words = Words(record.map(Cell::new));
        self.datagrams.borrow_mut().insert(*key, Rc::new(words));
    }
}

impl FlowCell for Found {
    fn load(&self) -> FlowRecord {
        let Words(words) = &*self.0;
        words.each_ref().map(Cell::get)
    }

    fn store(&self, index: usize, word: u64) {
        let Words(words) = &*self.0;
        words[index].set(word);
    }
}
