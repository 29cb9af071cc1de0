//! Published files: exports, TFTP names, and the configuration of dnsmasq.

mod dnsmasq;
mod exportfs;
mod exports;
mod tftp;
