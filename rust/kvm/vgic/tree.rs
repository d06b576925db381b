// SPDX-License-Identifier: GPL-2.0

//! Ordered maps.

use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
};
use kvm_core::its::Map;

/// An ordered map. Adding may sleep.
pub(crate) struct Tree<K, V>(RBTree<K, V>);

impl<K, V> Tree<K, V> {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self(RBTree::new())
    }
}

impl<K: Copy + Ord, V> Map<K, V> for Tree<K, V> {
    fn get(&self, key: K) -> Option<&V> {
        self.0.get(&key)
    }

    fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.0.get_mut(&key)
    }

    fn insert(&mut self, key: K, value: V) -> Result<(), V> {
        match RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT) {
            Ok(node) => {
                self.0.insert(node.into_node(key, value));
                Ok(())
            }
            Err(_) => Err(value),
        }
    }

    fn remove(&mut self, key: K) -> Option<V> {
        self.0.remove(&key)
    }

    fn at_or_after(&self, key: K) -> Option<(K, &V)> {
        let found = *self.0.cursor_lower_bound(&key)?.current().0;
        Some((found, self.0.get(&found)?))
    }
}
