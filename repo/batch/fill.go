package batch

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// A column and a Go or JSON name are the same when they are equal but for case and
// underscores: openai_account_id, OpenaiAccountID and openaiAccountId.
func squeezed(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// Fill sets a struct's members from data, by the columns' names. The type of a
// member decides what fits. dst points to the struct.
func Fill(dst any, data Data) error {
	v := reflect.ValueOf(dst).Elem()
	members := fieldsOf(v.Type())
	for _, column := range slices.Sorted(maps.Keys(data)) {
		at, known := members[squeezed(column)]
		if !known {
			return result.Invalid(column, "not a column for this")
		}
		err := json.Unmarshal(data[column], v.FieldByIndex(at).Addr().Interface())
		var own *result.Error
		switch {
		case errors.As(err, &own):
			return result.Invalid(column, "%s", own.Message)
		case err != nil:
			return result.Invalid(column, "does not have the right form")
		}
	}
	return nil
}

// RowOf gives the columns of a struct's members, such as a query's parameters.
func RowOf(params any, columns ...string) Row {
	v := reflect.ValueOf(params)
	members := fieldsOf(v.Type())
	row := make(Row, len(columns)+2)
	for _, name := range columns {
		row[name] = v.FieldByIndex(members[squeezed(name)]).Interface()
	}
	return row
}

var knownFields sync.Map // reflect.Type → map[string][]int

// fieldsOf gives a struct's exported members by squeezed name.
func fieldsOf(t reflect.Type) map[string][]int {
	if known, ok := knownFields.Load(t); ok {
		return known.(map[string][]int) //nolint:forcetypeassert // nothing else is stored
	}
	fields := make(map[string][]int)
	for _, f := range reflect.VisibleFields(t) {
		if f.IsExported() && !f.Anonymous {
			fields[squeezed(f.Name)] = f.Index
		}
	}
	knownFields.Store(t, fields)
	return fields
}

// data gives what a domain may take of an operation's data.
func (d *Domain) data(given map[string]any, use Use) (Data, error) {
	data := make(Data, len(given))
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, err := d.allowed("data", name, use); err != nil {
			return nil, err
		}
		doc, err := raw(name, given[name])
		if err != nil {
			return nil, err
		}
		data[name] = doc
	}
	return data, nil
}

// named gives an error's field the column's name, where the domain's repo knows it
// by another one.
func (d *Domain) named(err error) error {
	if err == nil {
		return nil
	}
	e := result.From(err)
	if d.Name != nil {
		e = result.From(d.Name(e))
	}
	field := e.Field()
	if field == "" || d.column(field) != nil {
		return e
	}
	i := slices.IndexFunc(d.Columns, func(c Column) bool { return squeezed(c.Name) == squeezed(field) })
	if i < 0 {
		return e
	}
	renamed := *e.With("field", d.Columns[i].Name)
	if rest, ok := strings.CutPrefix(e.Message, field+": "); ok {
		renamed.Message = d.Columns[i].Name + ": " + rest
	}
	return &renamed
}
