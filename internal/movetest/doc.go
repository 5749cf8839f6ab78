// Package movetest shows that a data type's primary moves while processes write, and that
// nothing acknowledged is lost or doubled, whoever dies or sleeps on the way.
//
// # Processes
//
// [Play] makes a test binary one of them. Three write: each tells its parent of a step
// before it calls the library, and of the answer after. One more moves the primary, stops
// at a step of the move, and is killed there. Its lease is ended in PostgreSQL, as time
// would. One writer is stopped (SIGSTOP) before the move is made again and goes on after
// it.
//
// # Books
//
// A record's state is a text that a read of the record makes, too. In the end each record
// is in the state that was acknowledged last, or, where an answer was lost, in the one that
// was tried. Of usage, whose records are sums, each figure is that of a number of records.
package movetest
