// Package storage is the contract's StorageStrategyInterface: how each data type is
// stored, switching that while gateways run, and how the storage does.
//
// A config is one row in PostgreSQL. Every process looks for changes twice a second,
// so that all follow a switch within a second, one by hand in psql included, as long as
// they reach PostgreSQL; one that does not goes on as before. Another primary is a move
// in steps, during which the data type's writers wait; docs/storage.md has them.
package storage
