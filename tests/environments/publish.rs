//! What is published: the directories that machines mount, the names they ask by, and what dnsmasq is given.

mod dnsmasq;
mod exportfs;
mod exports;
mod tftp;
