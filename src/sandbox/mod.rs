//! Where an environment's own programs run.
