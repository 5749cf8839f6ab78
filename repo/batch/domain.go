package batch

import (
	"context"
	"encoding/json"

	"github.com/seed14a526e0/relaystore/strategy"
)

// Kind is a column's type, under PostgreSQL's own name for it.
type Kind string

// Kinds of columns.
const (
	UUID     Kind = "uuid"
	Text     Kind = "text"
	Bool     Kind = "boolean"
	SmallInt Kind = "smallint"
	BigInt   Kind = "bigint"
	Numeric  Kind = "numeric"
	Time     Kind = "timestamp with time zone"
	Bytes    Kind = "bytea" // hex digits in an operation
	Texts    Kind = "text[]"
	JSON     Kind = "jsonb"
	// Pseudo is no column: the domain makes columns of it.
	Pseudo Kind = ""
)

// Use is what operations may do with a column.
type Use uint8

// Uses of a column; a column without any is never named by an operation.
const (
	InCreate Use = 1 << iota
	InUpdate
	InWhere
	// Unique tells that no two rows share a value.
	Unique
)

// Column is a row of a domain's allow-list.
type Column struct {
	Name string
	Kind Kind
	Uses Use
}

// Data is what an operation gives a domain: JSON by column, of allowed columns only.
type Data map[string]json.RawMessage

// Row is what a domain gives back: values by column, of the Go types that pgx
// takes for it.
type Row map[string]any

// Domain is a table with the rules of its repo. Every name in it is the schema's.
type Domain struct {
	Table string
	// DataType is what the table holds; "" is fenced by no switch of its primary.
	DataType strategy.DataType
	// Key is the primary key's column, whose values the results show.
	Key string
	// Columns are all columns of the table, and pseudo-columns.
	Columns []Column
	// Hidden is the column that is set in a row that counts as deleted; "" is none.
	Hidden string
	// Touched is the column that notes when a row last changed; it only grows. ""
	// is none.
	Touched string
	// Refused is why the table takes no operation now; nil is that it does.
	Refused error
	// Create checks and completes a new row, and says what its result shows; nil
	// refuses creates.
	Create func(Data) (row Row, shown any, err error)
	// Update checks what an update sets. Touched must be part of what it gives; nil
	// refuses updates.
	Update func(Data) (Row, error)
	// Delete gives what a soft deletion sets; nil makes rows really go.
	Delete func() Row
	// CacheKeys are the bytea columns that caches know a row by, Forget is told
	// their values in created, changed and deleted rows. It runs in the
	// transaction, and may leave work for after its commit.
	CacheKeys []string
	Forget    func(ctx context.Context, p *strategy.Postgres, keys [][]byte)
	// Name gives an error of the database the field that it is about; it may be nil.
	Name func(error) error
}

func (d *Domain) primary(p *strategy.Postgres) *strategy.Postgres {
	if d.DataType == "" {
		return p
	}
	return p.For(d.DataType)
}

func (d *Domain) column(name string) *Column {
	for i := range d.Columns {
		if d.Columns[i].Name == name {
			return &d.Columns[i]
		}
	}
	return nil
}
