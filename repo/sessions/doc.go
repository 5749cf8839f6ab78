// Package sessions keeps the sessions of a gateway's users: the contract's
// SessionInterface.
//
// # Tokens
//
// A session's token is 256 random bits as 64 hex digits. [Repo.CreateSession]
// shows it this once; PostgreSQL and Redis hold its SHA-256 alone, so neither can
// give a session away. For operators a session has an id, which opens nothing.
//
// # Validation
//
// [Repo.ValidateSession] judges by the clock of the call: a session that has ended
// but is still stored is a success whose IsValid is false, an unknown or deleted
// one is result.RecordNotFound. Answers come from the cache; after an update or a
// delete has returned, this process never gives an older one, and others stop when
// Redis has pushed it.
//
// # Session data
//
// Session data is any JSON object. It comes out as it went in, byte by byte, up to
// [Config.MaxSessionData]. Refused are an object with a name given twice (readers
// differ in which value they take), more than 64 levels, NUL characters, broken
// Unicode and numbers of thousands of digits.
//
// # The end of a session
//
// A session that has ended cannot be extended or changed: [Repo.UpdateSession]
// answers result.RecordNotFound, as it does once [Repo.CleanupExpiredSessions] has
// deleted it, so that no caller sees whether the cleanup has run. The cleanup tells
// no cache: an ended session is valid in none, and the primary is asked whether it
// is still stored.
package sessions
