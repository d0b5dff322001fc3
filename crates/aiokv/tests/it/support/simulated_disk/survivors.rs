//! What a loss of power may leave of all files and directories.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::random::Random;

use super::inode::{Body, Inode, Number};
use super::tree::{ROOT, Tree};

impl Tree {
    /// What may be left of everything after a loss of power, by chance.
    pub(super) fn survivor(&self, random: &mut Random) -> Self {
        let survivor = |&number: &Number| (number, self.inode(number).survivor(random));
        let inodes: BTreeMap<_, _> = self.kept().iter().map(survivor).collect();
        let links = links(|number| &inodes[&number]);
        let linked = |(number, links)| (number, inodes[&number].with_links(links));
        let inodes = links.into_iter().map(linked).collect();
        Self { inodes, handles: BTreeMap::new(), ..*self }
    }

    /// The inodes that a loss of power may leave.
    pub(super) fn kept(&self) -> BTreeSet<Number> {
        let mut numbers = BTreeSet::from([ROOT]);
        for inode in self.inodes.values() {
            if let Body::Directory(entries) = &inode.body {
                numbers.extend(entries.ever_named());
            }
        }
        numbers
    }

    /// The trees that a loss of power may leave, each once: all of them if there are at most
    /// `limit` combinations of what may be left of each inode, otherwise as many random ones.
    pub(super) fn survivors(&self, limit: usize, random: &mut Random) -> Vec<Self> {
        let numbers = self.kept();
        let choices = numbers.iter().map(|&number| (number, self.inode(number).survivors(random)));
        let choices: BTreeMap<_, _> = choices.collect();
        let product = |product: usize, of: &Vec<Inode>| product.checked_mul(of.len());
        let count = choices.values().try_fold(1, product).filter(|count| *count <= limit);
        let mut seen = BTreeSet::new();
        let mut survivors = Vec::new();
        for index in 0..count.unwrap_or(limit) {
            // All of them: the digits of the index choose. Too many: chance does.
            let mut rest = index;
            let choose = |(&number, of): (&Number, &Vec<Inode>)| {
                let mut drawn = || random.below(of.len() as u64) as usize;
                let digit = if count.is_some() { rest % of.len() } else { drawn() };
                rest /= of.len();
                (number, digit)
            };
            let chosen: BTreeMap<_, _> = choices.iter().map(choose).collect();
            let inode = |number: Number| &choices[&number][chosen[&number]];
            let links = links(inode);
            let named: Vec<_> = links.keys().map(|number| (*number, chosen[number])).collect();
            if seen.insert(named) {
                let survivor = |(number, links)| (number, inode(number).with_links(links));
                let inodes = links.into_iter().map(survivor).collect();
                survivors.push(Self { inodes, handles: BTreeMap::new(), ..*self });
            }
        }
        survivors
    }
}

/// The inodes that have a name, with the number of their names.
fn links<'inode>(inode: impl Fn(Number) -> &'inode Inode) -> BTreeMap<Number, u64> {
    let mut links = BTreeMap::from([(ROOT, 1)]);
    let mut unvisited = vec![ROOT];
    while let Some(number) = unvisited.pop() {
        if let Body::Directory(entries) = &inode(number).body {
            for &named in entries.now().values() {
                *links.entry(named).or_default() += 1;
                unvisited.push(named);
            }
        }
    }
    links
}
