package batch

import (
	"encoding/json"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// comparisons are where's words and what they are in SQL; %s is the column and the
// value.
var comparisons = map[string]string{
	"eq":  " = ",
	"ne":  " IS DISTINCT FROM ",
	"lt":  " < ",
	"lte": " <= ",
	"gt":  " > ",
	"gte": " >= ",
}

// ordered are the kinds that have a less and a more that all databases agree on:
// the order of texts is the collation's.
var ordered = []Kind{SmallInt, BigInt, Numeric, Time}

// condition is one comparison of where.
type condition struct {
	column *Column
	word   string // of comparisons, or "in", "null" or "not null"
	cell   *string
}

// conditions reads a where. Their order is that of the names, whatever the order
// they were given in.
func (d *Domain) conditions(where map[string]any) ([]condition, error) {
	if len(where) == 0 {
		return nil, result.Invalid("where", "required: say which rows")
	}
	var all []condition
	for _, name := range slices.Sorted(maps.Keys(where)) {
		c, err := d.allowed("where", name, InWhere)
		if err != nil {
			return nil, err
		}
		doc, err := raw(name, where[name])
		if err != nil {
			return nil, err
		}
		if all, err = appendConditions(all, c, doc); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func appendConditions(all []condition, c *Column, doc json.RawMessage) ([]condition, error) {
	if doc[0] != '{' {
		one, err := newCondition(c, "eq", doc)
		return append(all, one), err
	}
	words, err := result.Decode(doc, &struct{}{})
	if err != nil {
		return nil, result.Invalid(c.Name, "%s", result.From(err).Message)
	}
	if len(words) == 0 {
		return nil, result.Invalid(c.Name, "holds no comparison")
	}
	for _, word := range slices.Sorted(maps.Keys(words)) {
		one, err := newCondition(c, word, words[word])
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func newCondition(c *Column, word string, doc json.RawMessage) (condition, error) {
	one := condition{column: c, word: word}
	_, known := comparisons[word]
	null := string(doc) == "null"
	switch {
	case word == "in":
		text, err := c.list(doc)
		one.cell = &text
		return one, err
	case !known:
		return one, result.Invalid(c.Name, "compares with eq, ne, lt, lte, gt, gte or in")
	case null && word == "eq":
		one.word = "null"
		return one, nil
	case null && word == "ne":
		one.word = "not null"
		return one, nil
	case null:
		return one, result.Invalid(c.Name, "null is neither less nor more")
	case word != "eq" && word != "ne" && !slices.Contains(ordered, c.Kind):
		return one, result.Invalid(c.Name, "a %s has eq, ne and in only", c.Kind)
	}
	text, err := c.Kind.parse(c.Name, doc)
	one.cell = &text
	return one, err
}

// list reads the values of an in.
func (c *Column) list(doc json.RawMessage) (string, error) {
	var values []json.RawMessage
	if err := json.Unmarshal(doc, &values); err != nil || values == nil {
		return "", result.Invalid(c.Name, "in takes an array")
	}
	if len(values) > maxIn {
		return "", result.Invalid(c.Name, "in takes at most %d values", maxIn)
	}
	texts := make([]string, len(values))
	for i, v := range values {
		if string(v) == "null" {
			return "", result.Invalid(c.Name, "in takes no null")
		}
		var err error
		if texts[i], err = c.Kind.parse(c.Name, v); err != nil {
			return "", err
		}
	}
	return array(texts), nil
}

// sql gives the condition on table t; value is the parameter that holds its cell.
func (c condition) sql(value string) string {
	column := "t." + quote(c.column.Name)
	switch c.word {
	case "null":
		return column + " IS NULL"
	case "not null":
		return column + " IS NOT NULL"
	case "in":
		return column + " = ANY (" + value + ")"
	}
	return column + comparisons[c.word] + value
}

// kind is the type of the condition's cell.
func (c condition) kind() Kind {
	if c.word == "in" {
		return c.column.Kind + "[]"
	}
	return c.column.Kind
}

// allowed gives the column that an operation names.
func (d *Domain) allowed(member, name string, use Use) (*Column, error) {
	c := d.column(name)
	if c == nil {
		if name == "" || !utf8.ValidString(name) || len(name) > maxName {
			return nil, result.Invalid(member, "names a column that does not exist")
		}
		return nil, result.Invalid(name, "no column that %s may name", member)
	}
	if c.Uses&use == 0 {
		return nil, result.Invalid(name, "no column that %s may name here", member)
	}
	return c, nil
}

// maxName is PostgreSQL's bound of a name: longer ones are not repeated in errors.
const maxName = 63
