// Package dbtype holds the Go types of database columns that pgx has no good
// type for. sqlc's overrides name them, so the generated accessors are typed
// with them and nothing else needs to convert.
package dbtype
