package batch_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
)

type m = map[string]any

func affected(ns ...int) batch.Affected {
	ids := []string{}
	for _, n := range ns {
		ids = append(ids, id(n))
	}
	return batch.Affected{IDs: ids}
}

// A value of each kind goes in, is found by where, and is what PostgreSQL thinks.
func TestKinds(t *testing.T) {
	b := setup(t)
	at := time.Date(2025, 9, 16, 8, 0, 0, 123456000, time.UTC)
	values := m{
		"name": `a"b\c'd{},ü`, "small": -7, "big": int64(-1) << 60, "price": result.MustMoney("0.000000000001"), "at": at,
		"token": []byte{0xab, 0}, "enabled": true, "tags": []string{"", `{"x"}`, `\`, "NULL", " "}, "doc": m{"a": []any{1.5, nil}},
	}
	_, _, err := b.run(create(1, values), create(2, nil))
	require.NoError(t, err)
	var tags, doc string
	require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT array_to_json(tags)::text, doc::text FROM things WHERE id = $1", id(1)).Scan(&tags, &doc))
	require.JSONEq(t, `["","{\"x\"}","\\","NULL"," "]`, tags)
	require.JSONEq(t, `{"a":[1.5,null]}`, doc)
	wheres := []m{
		{"id": strings.ToUpper(id(1))}, {"name": values["name"]}, {"small": -7}, {"big": values["big"]}, {"price": 1e-12}, {"at": at}, {"enabled": true},
		{"token": "AB00"}, {"token": m{"in": []string{"ab00", "ff"}}}, {"name": m{"in": []string{"x", values["name"].(string)}}}, {"id": m{"ne": id(2)}},
		{"small": m{"lt": -6, "gte": -7, "in": []int{-7}}}, {"big": m{"lte": 0}}, {"price": m{"gt": 0}}, {"at": m{"ne": nil}},
		{"at": m{"gt": "2025-09-16T16:00:00.123455+08:00", "lt": "2025-09-16T08:00:00.1235Z"}}, {"enabled": m{"ne": nil}, "token": m{"eq": "ab00"}},
	}
	for _, where := range wheres {
		results, _, err := b.run(update(m{"small": -7}, where))
		require.NoError(t, err, "%v", where)
		require.Equal(t, []any{affected(1)}, results, "%v", where)
	}
	for _, where := range []m{{"at": nil}, {"token": m{"eq": nil}}, {"small": nil, "id": id(2)}, {"name": ""}, {"price": m{"ne": 1e-12}}} {
		results, _, err := b.run(update(m{"name": ""}, where))
		require.NoError(t, err, "%v", where)
		require.Equal(t, []any{affected(2)}, results, "%v", where)
	}
	for _, where := range []m{{"id": m{"in": []string{}}}, {"small": m{"gt": -7}}, {"at": at, "name": "x"}} {
		results, _, err := b.run(drop(where))
		require.NoError(t, err, "%v", where)
		require.Equal(t, []any{affected()}, results, "%v", where)
	}
	require.Equal(t, 2, b.count("true"))
}

// Operations of one shape that follow each other are one statement, and still do
// what they would do one by one.
func TestRunsAreMerged(t *testing.T) {
	b := setup(t)
	var ops []batch.Operation
	for n := range 30 {
		ops = append(ops, create(n, m{"big": n, "token": []byte{byte(n)}}))
	}
	for n := range 30 {
		ops = append(ops, update(m{"name": strconv.Itoa(n)}, m{"id": id(n), "big": m{"lt": 20}}))
	}
	for n := range 10 {
		ops = append(ops, drop(m{"token": fmt.Sprintf("%02x", n)}))
	}
	results, statements, err := b.run(ops...)
	require.NoError(t, err)
	require.Equal(t, 1+3, statements, "one locks the rows that are named")
	require.Equal(t, "made", results[29])
	require.Equal(t, affected(19), results[30+19])
	require.Equal(t, affected(), results[30+20])
	require.Equal(t, affected(9), results[69])
	require.Equal(t, []int{10, 20, 0}, []int{b.count("name = big::text"), b.count("true"), b.count("big < 10")})
	require.Len(t, *b.forgotten, 30+20+10)

	for _, c := range []struct {
		want int
		ops  []batch.Operation
	}{
		{1 + 2, []batch.Operation{update(m{"name": "a"}, m{"id": id(10)}), update(m{"name": "b"}, m{"id": id(10)})}},                                   // the same row
		{3, []batch.Operation{update(m{"name": "a"}, m{"name": "b"}), update(m{"name": "b"}, m{"name": "a"}), update(m{"name": "c"}, m{"name": "b"})}}, // nothing says that rows differ
		{2, []batch.Operation{update(m{"small": 1}, m{"id": m{"ne": id(10)}}), update(m{"small": 2}, m{"id": m{"ne": id(11)}})}},
		{1 + 4, []batch.Operation{ // other shapes
			update(m{"name": "c"}, m{"id": id(10)}), update(m{"big": 1}, m{"id": id(11)}),
			update(m{"big": 1}, m{"token": "0c"}), update(m{"big": 1}, m{"token": "0d", "big": nil}),
		}},
	} {
		_, statements, err := b.run(c.ops...)
		require.NoError(t, err)
		require.Equal(t, c.want, statements)
	}
	require.Equal(t, 1, b.count("name = 'c'"))
}

// The one to blame is found in a run, and the first one where there are several.
func TestFailureNamesItsOperation(t *testing.T) {
	b := setup(t)
	for _, bad := range [][]int{{0}, {1499}, {1234, 1400}, {7, 8, 9, 1499}} {
		var ops []batch.Operation
		for n := range 1500 {
			ops = append(ops, create(n, m{"big": 1}))
		}
		for _, n := range bad {
			ops[n].Data["big"] = 100
		}
		_, statements, err := b.run(ops...)
		requireRefused(t, err, result.ConstraintViolation, bad[0], "")
		require.Equal(t, "things_big", result.From(err).Constraint)
		require.Less(t, statements, 30)
		require.Zero(t, b.count("true"))
	}
	_, _, err := b.run(create(1, nil), create(2, nil), create(1, nil))
	requireRefused(t, err, result.DuplicateKey, 2, "")
	_, _, err = b.run(create(1, nil), create(2, nil))
	require.NoError(t, err)
	_, _, err = b.run(drop(m{"id": id(2)}), update(m{"big": 1}, m{"id": id(1)}), update(m{"big": 101}, m{"id": id(1)}), update(m{"big": 102}, m{"id": id(1)}))
	requireRefused(t, err, result.ConstraintViolation, 2, "")
	require.Equal(t, 2, b.count("big IS NULL"))
}

// A later operation sees what an earlier one did.
func TestOperationsFollowEachOther(t *testing.T) {
	b := setup(t)
	results, _, err := b.run(
		create(1, m{"name": "a"}), update(m{"name": "b"}, m{"name": "a"}), update(m{"name": "c"}, m{"name": "a"}), drop(m{"name": "b"}),
		create(1, m{"name": "again"}), update(m{"small": 1}, m{"id": id(1)}),
	)
	require.NoError(t, err)
	require.Equal(t, []any{"made", affected(1), affected(), affected(1), "made", affected(1)}, results)
	require.Equal(t, 1, b.count("name = 'again' AND small = 1"))
}

func TestRowsAreBounded(t *testing.T) {
	b := setup(t)
	_, err := b.pool.Exec(t.Context(), "INSERT INTO things (id, big) SELECT gen_random_uuid(), n / 10001 FROM generate_series(0, 20000) n")
	require.NoError(t, err)
	results, _, err := b.run(update(m{"small": 1}, m{"big": 1}))
	require.NoError(t, err)
	require.Len(t, results[0].(batch.Affected).IDs, 10_000)
	_, _, err = b.run(update(m{"small": 1}, m{"big": 1}), update(m{"small": 2}, m{"big": 0}))
	requireRefused(t, err, result.InvalidQuery, 1, "where")
	var ops []batch.Operation
	for range 6 {
		ops = append(ops, update(m{"small": 2}, m{"big": 1}))
	}
	_, _, err = b.run(ops...)
	requireRefused(t, err, result.InvalidQuery, 5, "where")
	require.Zero(t, b.count("small = 2"))
}

// Conflicts and lost connections are nobody's fault: no operation is named.
func TestOtherFailuresNameNoOperation(t *testing.T) {
	b := setup(t)
	prepared, err := batch.Prepare(b.domains(), []batch.Operation{create(1, nil), create(2, nil)})
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION refuse()`)
	require.NoError(t, err)
	before := b.statements.Load()
	_, err = prepared.Run(t.Context(), b.primary)
	require.ErrorIs(t, result.From(err), result.TransactionConflict)
	require.Empty(t, result.From(err).Details)
	require.EqualValues(t, 1, b.statements.Load()-before)
}
