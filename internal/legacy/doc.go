// Package legacy knows the Redis layout of claude-relay-service (v1.1.314): the names
// of its keys, its cipher, its hashes of API keys, and what its records and counters
// mean.
//
// It reads and writes texts alone and holds no connection, so that an import, the
// Redis side of a repo and a test say the same thing about one place. Everything in
// that Redis is text; what does not have the service's form is told as an error or a
// fault, never guessed.
package legacy
