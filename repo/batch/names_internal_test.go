package batch

import (
	"encoding/json"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// tiny is a domain without rules.
func tiny() []Domain {
	keep := func(data Data) (Row, error) {
		r := Row{}
		for name, value := range data {
			r[name] = string(value)
		}
		return r, nil
	}
	return []Domain{{
		Table: "tiny", Key: "id", Hidden: "gone_at", Touched: "changed_at", CacheKeys: []string{"hash"},
		Columns: []Column{
			{"id", UUID, InCreate | InWhere | Unique}, {"name", Text, InCreate | InUpdate | InWhere}, {"size", BigInt, InCreate | InUpdate | InWhere},
			{"changed_at", Time, InWhere}, {"gone_at", Time, 0}, {"hash", Bytes, 0}, {"secret", Pseudo, InCreate},
		},
		Create: func(data Data) (Row, any, error) {
			delete(data, "secret")
			r, err := keep(data)
			return r, nil, err
		},
		Update: keep,
	}}
}

var (
	quotedName = regexp.MustCompile(`"([^"]*)"`)
	ownWords   = regexp.MustCompile(`^[A-Za-z0-9_ ,.*()$:<>=\[\]]*$`)
)

// FuzzStatements looks at the SQL that operations become: it has the domain's names
// and the package's own words, and nothing of what was given.
func FuzzStatements(f *testing.F) {
	for _, doc := range []string{
		`[{"type":"create","table":"tiny","data":{"name":"'; DROP TABLE tiny; --","size":1,"secret":null}}]`,
		`[{"type":"update","table":"tiny","data":{"name\" = '', \"hash":"x"},"where":{"id":"11111111-1111-4111-8111-111111111111"}}]`,
		`[{"type":"update","table":"tiny","data":{"name":"x"},"where":{"size":{"lt":3,"gte; --":1},"name":{"in":["$1","a"]}}}]`,
		`[{"type":"delete","table":"tiny\" AS t; --","where":{"1=1 OR name":"x"}}]`,
		`[{"type":"delete","table":"tiny","where":{"changed_at":{"lt":"2025-01-01T00:00:00Z"},"name":null,"size":{"ne":1}}}]`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var ops []Operation
		if json.Unmarshal(doc, &ops) != nil {
			return
		}
		domains := tiny()
		b, err := Prepare(domains, ops)
		if err != nil {
			require.ErrorIs(t, err, result.InvalidQuery)
			return
		}
		for _, s := range b.steps {
			for _, name := range quotedName.FindAllStringSubmatch(s.sql, -1) {
				c := domains[0].column(name[1])
				require.True(t, name[1] == "tiny" || c != nil && c.Kind != Pseudo, "%q in %s", name[1], s.sql)
			}
			rest := quotedName.ReplaceAllString(s.sql, "")
			rest = regexp.MustCompile(`'1 microsecond'`).ReplaceAllString(rest, "")
			require.Regexp(t, ownWords, rest)
			require.Len(t, arguments([]step{s}), 2+len(s.cells))
		}
	})
}

// One shape is one text, in whatever order its names are given.
func TestShapes(t *testing.T) {
	t.Parallel()
	op := func(doc string) (o Operation) {
		require.NoError(t, json.Unmarshal([]byte(doc), &o))
		return o
	}
	b, err := Prepare(tiny(), []Operation{
		op(`{"type":"update","table":"tiny","data":{"name":"a","size":1},"where":{"size":{"lt":1,"gt":0},"name":"x"}}`),
		op(`{"type":"update","table":"tiny","data":{"size":2,"name":"b"},"where":{"name":"y","size":{"gt":0,"lt":1}}}`),
		op(`{"type":"update","table":"tiny","data":{"size":2,"name":"b"},"where":{"name":null,"size":{"gt":0,"lt":1}}}`),
		op(`{"type":"update","table":"tiny","data":{"size":2,"name":"b"},"where":{"name":"y","size":{"gt":0,"lte":1}}}`),
	})
	require.NoError(t, err)
	require.Same(t, b.steps[0].statement, b.steps[1].statement)
	texts := []string{b.steps[0].sql, b.steps[2].sql, b.steps[3].sql}
	require.Len(t, slices.Compact(texts), 3)
}

func TestValuesAreBounded(t *testing.T) {
	t.Parallel()
	ops := make([]Operation, 10)
	for i := range ops {
		ops[i] = Operation{Type: Create, Table: "tiny", Data: map[string]any{"name": "0123456789"}} // 12 bytes as JSON
	}
	_, err := prepare(tiny(), ops, 119)
	require.ErrorContains(t, err, "operations: larger than 119 bytes")
	_, err = prepare(tiny(), ops, 120)
	require.NoError(t, err)
}
