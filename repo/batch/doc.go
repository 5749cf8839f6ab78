// Package batch does many creates, updates and deletes on allow-listed tables: the
// contract's batchOperation.
//
// # Safety
//
// The names in a statement come from a [Domain], which is written in Go; every
// value, those of where included, is a parameter. What an operation names must
// stand in the domain's list, or it is result.InvalidQuery and nothing is written.
//
// # Rules
//
// A domain gives the rules of its repo's own methods: defaults, checks, hashes,
// soft deletion, and what caches must forget.
//
// # Speed
//
// Operations that follow each other, and have the same type, table, columns and
// form of where, become one statement over arrays. A statement that fails is
// halved until the operation that did it is found.
//
// # Locks
//
// Rows that are named by a unique column are locked before the first statement, in the
// order of their keys; those that a where finds in another way, by their statement.
package batch
