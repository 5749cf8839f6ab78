package batch

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// statement is the SQL of one shape of operations. Its text is made of the
// domain's names and constants only; its parameters are arrays, $1 of the
// operations' ordinals and then one for each cell.
type statement struct {
	domain  *Domain
	sql     string
	returns bool // a row for each one changed: ordinal, key, cache keys
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// input is the operations' cells as a table u, with the columns' types.
func input(kinds []Kind) string {
	var types, params, names strings.Builder
	for i, k := range kinds {
		fmt.Fprintf(&types, ", u.c%d::%s AS c%d", i, k, i)
		fmt.Fprintf(&params, ", $%d::text[]", i+2)
		fmt.Fprintf(&names, ", c%d", i)
	}
	return "SELECT u.ord" + types.String() + " FROM unnest($1::int[]" + params.String() + ") AS u(ord" + names.String() + ")"
}

// insert makes rows of these columns.
func (d *Domain) insert(columns []string) *statement {
	kinds := make([]Kind, len(columns))
	names, values := make([]string, len(columns)), make([]string, len(columns))
	for i, name := range columns {
		kinds[i], names[i], values[i] = d.column(name).Kind, quote(name), fmt.Sprintf("u.c%d", i)
	}
	return &statement{domain: d, sql: "INSERT INTO " + quote(d.Table) + " (" + strings.Join(names, ", ") + ") SELECT " +
		strings.Join(values, ", ") + " FROM (" + input(kinds) + ") AS u"}
}

// change sets columns of the rows that match, or removes the rows where columns
// is nil. It locks them in the order of their keys first, so that two batches do
// not wait for each other crosswise.
func (d *Domain) change(conditions []condition, columns []string) *statement {
	var kinds []Kind
	match := make([]string, 0, len(conditions)+1)
	for _, c := range conditions {
		match = append(match, c.sql(fmt.Sprintf("u.c%d", len(kinds))))
		if c.cell != nil {
			kinds = append(kinds, c.kind())
		}
	}
	if d.Hidden != "" {
		match = append(match, "t."+quote(d.Hidden)+" IS NULL")
	}
	sets := make([]string, len(columns))
	for i, name := range columns {
		sets[i] = quote(name) + " = " + d.assigned(name, fmt.Sprintf("h.c%d", len(kinds)))
		kinds = append(kinds, d.column(name).Kind)
	}
	table, key := quote(d.Table), "t."+quote(d.Key)
	action := "UPDATE " + table + " AS t SET " + strings.Join(sets, ", ") + " FROM hit AS h"
	if columns == nil {
		action = "DELETE FROM " + table + " AS t USING hit AS h"
	}
	returning := []string{"h.ord", key + "::text"}
	for _, name := range d.CacheKeys {
		returning = append(returning, "t."+quote(name))
	}
	return &statement{domain: d, returns: true, sql: "WITH u AS MATERIALIZED (" + input(kinds) + "), hit AS MATERIALIZED (" +
		"SELECT u.*, " + key + " AS hit FROM u JOIN " + table + " AS t ON " + strings.Join(match, " AND ") +
		fmt.Sprintf(" ORDER BY %s LIMIT %d FOR UPDATE OF t) ", key, maxRows+1) +
		action + " WHERE " + key + " = h.hit RETURNING " + strings.Join(returning, ", ")}
}

// assigned is what a column is set to. The time of a change is always after the
// last one's: clocks of processes differ.
func (d *Domain) assigned(name, value string) string {
	if name == d.Touched {
		return "greatest(" + value + ", t." + quote(name) + " + interval '1 microsecond')"
	}
	return value
}

// columnsOf gives a row's columns in order.
func columnsOf(r Row) []string { return slices.Sorted(maps.Keys(r)) }
