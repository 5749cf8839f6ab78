// Package touches takes the small writes that come with each request and that a data
// type's write_behind delays: when a key was last used, that a session goes on, the status
// of an account. They are acknowledged once a journal in Redis has them, a
// [cache.Journal] beside that of usage, and any process of the deployment stores them, in
// batches and each at least once.
//
// An entry may come late, twice, or before an older one. Its [Kind] therefore makes it
// harmless by what the entry itself says: the moment it is of, or what it has seen. What
// was deleted, ended or set anew since is never brought back: such entries are dropped and
// counted.
//
// Whatever the journal does not take, its caller writes through.
package touches
