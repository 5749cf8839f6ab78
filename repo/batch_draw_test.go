package repo_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/batch"
)

// hostile are texts that are something else to SQL, JSON or PostgreSQL's arrays.
var hostile = []string{
	"'; DROP TABLE api_keys; --", `"; DROP TABLE api_keys; --`, `name" = 'x', "is_active`, "1 OR 1=1", "$1", "$1::text", `\`, `\x41`, "{}", `{"a","b"}`, "NULL",
	"null", "", "%s", "'", `"`, "--", "/*", "name", "api_keys", "ü🔑", "E'\\''", "');DELETE FROM api_keys;SELECT ('", "api_keys AS t", "public.api_keys", "pg_class", "usage_records",
}

func hostileText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom(hostile), rapid.StringMatching(`[a-c]?`), rapid.StringN(0, 8, 32).Filter(func(s string) bool { return !strings.Contains(s, "\x00") }))
}

// ids are few, so that operations meet.
func someID() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return uuid.NewSHA1(uuid.Nil, []byte{rapid.ByteRange(0, 11).Draw(t, "id")}).String()
	})
}

func someTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.Date(2030, 1, rapid.IntRange(1, 4).Draw(t, "day"), 0, 0, 0, 0, time.UTC)
	})
}

// values gives a good value of each column that a batch may set, as the model
// keeps it.
var values = map[string]func(*rapid.T) any{
	"description": func(t *rapid.T) any { return hostileText().Draw(t, "text") },
	"user_id":     func(t *rapid.T) any { return hostileText().Draw(t, "text") },
	"token_limit": func(t *rapid.T) any { return int64(rapid.IntRange(0, 3).Draw(t, "limit")) },
	"expires_at":  func(t *rapid.T) any { return someTime().Draw(t, "time") },
	"tags": func(t *rapid.T) any {
		return rapid.SliceOfN(hostileText().Filter(func(s string) bool { return s != "" }), 0, 3).Draw(t, "tags")
	},
}

// cleared is what null makes of a column.
var cleared = map[string]any{"description": "", "user_id": "", "token_limit": int64(0), "expires_at": nil, "tags": []string{}}

// draw makes an operation, a bad one at times.
func draw(t *rapid.T) modelled {
	op := modelled{Operation: batch.Operation{Table: "api_keys", Data: map[string]any{}, Where: map[string]any{}}, set: row{}}
	op.Type = rapid.SampledFrom([]string{batch.Create, batch.Update, batch.Update, batch.Delete}).Draw(t, "type")
	if op.Type != batch.Delete {
		op.drawData(t)
	}
	if op.Type == batch.Create {
		op.Where = nil
	} else {
		op.drawWhere(t)
	}
	if rapid.IntRange(0, 19).Draw(t, "spoil") == 0 {
		op.spoil(t)
	}
	return op
}

func (op *modelled) drawData(t *rapid.T) {
	for _, column := range rapid.SliceOfDistinct(rapid.SampledFrom(slices.Sorted(maps.Keys(values))), rapid.ID[string]).Draw(t, "columns") {
		if rapid.Bool().Draw(t, "null") {
			op.Data[column], op.set[column] = nil, cleared[column]
			continue
		}
		op.Data[column] = values[column](t)
		op.set[column] = op.Data[column]
	}
	if op.Type == batch.Update {
		if on := rapid.Bool().Draw(t, "active"); on || len(op.Data) == 0 {
			op.Data["is_active"], op.set["is_active"] = on, on
		}
		return
	}
	for column, value := range cleared {
		if _, given := op.set[column]; !given {
			op.set[column] = value
		}
	}
	name := rapid.SampledFrom(hostile[:8]).Draw(t, "name")
	id := someID().Draw(t, "id")
	op.Data["name"], op.set["name"], op.Data["id"], op.set["id"], op.set["is_active"] = name, name, id, id, true
}

// drawWhere takes one to three comparisons, all of which must hold.
func (op *modelled) drawWhere(t *rapid.T) {
	var all []func(row) bool
	for _, column := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"id", "id", "user_id", "is_active", "token_limit", "expires_at"}), 1, 3, rapid.ID[string]).Draw(t, "where") {
		value, holds := comparison(t, column)
		op.Where[column] = value
		all = append(all, holds)
	}
	op.matches = func(r row) bool {
		return !slices.ContainsFunc(all, func(holds func(row) bool) bool { return !holds(r) })
	}
}

func comparison(t *rapid.T, column string) (value any, holds func(row) bool) {
	draw := map[string]func() any{
		"id": func() any { return someID().Draw(t, "id") }, "is_active": func() any { return rapid.Bool().Draw(t, "active") },
	}[column]
	if draw == nil {
		draw = func() any { return values[column](t) }
	}
	v := draw()
	words := []string{"", "eq", "ne", "in"}
	if column == "token_limit" || column == "expires_at" {
		words = append(words, "lt", "lte", "gt", "gte")
	}
	if column == "expires_at" {
		words = append(words, "null", "not null")
	}
	switch word := rapid.SampledFrom(words).Draw(t, "word"); word {
	case "":
		return v, func(r row) bool { return r[column] == v }
	case "null":
		return nil, func(r row) bool { return r[column] == nil }
	case "not null":
		return map[string]any{"ne": nil}, func(r row) bool { return r[column] != nil }
	case "in":
		list := []any{v, draw()}
		return map[string]any{"in": list}, func(r row) bool { return slices.Contains(list, r[column]) }
	default:
		return map[string]any{word: v}, func(r row) bool { return compares(r[column], word, v) }
	}
}

func compares(stored any, word string, v any) bool {
	switch word {
	case "eq":
		return stored == v
	case "ne":
		return stored != v
	}
	if stored == nil {
		return false
	}
	var order int
	switch v := v.(type) {
	case int64:
		order = int(stored.(int64) - v)
	case time.Time:
		order = stored.(time.Time).Compare(v)
	}
	return map[string]bool{"lt": order < 0, "lte": order <= 0, "gt": order > 0, "gte": order >= 0}[word]
}

// spoil puts a hostile text where a name belongs. A refusal repeats it, unless it
// is none.
func (op *modelled) spoil(t *rapid.T) {
	text := rapid.SampledFrom(hostile).Filter(func(s string) bool { return s != "name" && s != "api_keys" }).Draw(t, "spoil with")
	switch rapid.IntRange(0, 4).Draw(t, "what") {
	case 0:
		op.Table, op.bad = text, "table"
	case 1:
		op.Type, op.bad = text, "type"
	case 2:
		if op.Type == batch.Delete {
			op.Data = map[string]any{text: 1}
			op.bad = "data"
			return
		}
		op.Data, op.bad = map[string]any{text: 1}, cmp.Or(text, "data")
	case 3:
		if op.Type == batch.Create {
			op.Where, op.bad = map[string]any{text: 1}, "where"
			return
		}
		op.Where, op.bad = map[string]any{text: 1}, cmp.Or(text, "where")
	case 4:
		if op.Type == batch.Create {
			op.Table, op.bad = text, "table"
			return
		}
		op.Where, op.bad = map[string]any{"token_limit": map[string]any{text: 1}}, "token_limit"
	}
}
