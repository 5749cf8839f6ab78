// Package torture shows that usage counts exactly once whatever dies: gateways in
// processes of their own record while they are killed, PostgreSQL and Redis are
// killed and stopped, connections break around the acknowledgement of a commit, and
// what was recorded is recorded again by other processes. Then an audit compares
// what was acknowledged with what is stored, record by record and sum by sum.
//
// # Identities
//
// A record's input tokens are its caller's number and its output tokens its own
// among that caller's; all else about it is drawn from these two. So the audit
// knows of each row in the ledger who sent it and what it must say.
//
// # Bookkeeping
//
// A gateway tells its parent of a record before it calls the library, and of the
// answer after: through a pipe, which keeps what was written into it when its
// writer is killed. What the library acknowledged must be stored; what was never
// answered may be stored, but not twice; what failed for certain must not be there.
package torture
