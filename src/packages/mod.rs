//! What a distribution is: recognising it, its full upgrade, its package list and how two differ.
