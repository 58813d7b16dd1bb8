//! Whatever a client, an operator or a disk does wrong: a clear error, and the region lives on.
//! Must not pass because nothing happened: after each, a task is taken to its end.
