package dbtype_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

func registered() *pgtype.Map {
	m := pgtype.NewMap()
	dbtype.Register(m)
	return m
}

// TestDecimalOnTheWire compares with pgx's own encoding of the same numbers, by
// what a reader makes of it.
func TestDecimalOnTheWire(t *testing.T) {
	t.Parallel()
	ours, theirs := registered(), pgtype.NewMap()
	rapid.Check(t, func(rt *rapid.T) {
		d := dbtype.Decimal{Decimal: decimal.New(
			rapid.Int64().Draw(rt, "digits")/rapid.SampledFrom([]int64{1, 1e3, 1e6, 1e12, 1e18}).Draw(rt, "shorter"),
			rapid.Int32Range(-70, 20).Draw(rt, "exponent"))}
		wire, err := ours.Encode(pgtype.NumericOID, pgtype.BinaryFormatCode, d, nil)
		require.NoError(rt, err)
		var got dbtype.Decimal
		require.NoError(rt, theirs.Scan(pgtype.NumericOID, pgtype.BinaryFormatCode, wire, &got))
		require.True(rt, d.Equal(got.Decimal), "%s became %s", d, got)
	})
}

// TestArraysOnTheWire compares with pgx's own encoding, by what a reader makes of it.
func TestArraysOnTheWire(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		requireSame(rt, pgtype.UUIDArrayOID, rapid.Custom(func(rt *rapid.T) uuid.UUID {
			return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "id"))
		}))
		requireSame(rt, pgtype.Int8ArrayOID, rapid.Int64())
		requireSame(rt, pgtype.TextArrayOID, rapid.String())
		requireSame(rt, pgtype.TimestamptzArrayOID, rapid.Custom(func(rt *rapid.T) time.Time {
			return time.Unix(rapid.Int64Range(-1e10, 1e10).Draw(rt, "s"), rapid.Int64Range(0, 999_999_999).Draw(rt, "ns"))
		}))
	})
}

func requireSame[T any](rt *rapid.T, oid uint32, values *rapid.Generator[T]) {
	array := rapid.SliceOfN(values, 0, 5).Draw(rt, "array")
	var ours, theirs []T
	for m, into := range map[*pgtype.Map]*[]T{registered(): &ours, pgtype.NewMap(): &theirs} {
		wire, err := m.Encode(oid, pgtype.BinaryFormatCode, array, nil)
		require.NoError(rt, err)
		require.NoError(rt, pgtype.NewMap().Scan(oid, pgtype.BinaryFormatCode, wire, into))
	}
	require.Equal(rt, theirs, ours)
	require.Len(rt, ours, len(array))
}

// TestServerReadsThem sends arrays to PostgreSQL and takes them back, and its text.
func TestServerReadsThem(t *testing.T) {
	t.Parallel()
	conn, err := testdb.Pool(t, testdb.URL(t)).Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	dbtype.Register(conn.Conn().TypeMap())
	dbtype.Register(conn.Conn().TypeMap()) // changes nothing
	ids := []uuid.UUID{uuid.New(), uuid.Nil}
	numerals := []string{"0", "0.000000000001", "-1.5", "999999999999.999999999999", "123456789012.3", "10000", "0.0001", "1e15", "-99999999"}
	var numbers []dbtype.Decimal
	for _, text := range numerals {
		numbers = append(numbers, dbtype.Decimal{Decimal: decimal.RequireFromString(text)})
	}
	var gotIDs []uuid.UUID
	var gotNumbers []dbtype.Decimal
	var idTexts, numberTexts []string
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT $1::uuid[], $1::uuid[]::text[], $2::numeric[], $2::numeric[]::text[]", ids, numbers).
		Scan(&gotIDs, &idTexts, &gotNumbers, &numberTexts))
	require.Equal(t, ids, gotIDs)
	for i, id := range ids {
		require.Equal(t, id.String(), idTexts[i])
	}
	for i, text := range numerals {
		want := decimal.RequireFromString(text)
		require.True(t, want.Equal(gotNumbers[i].Decimal), text)
		require.True(t, want.Equal(decimal.RequireFromString(numberTexts[i])), text)
	}
	texts, counts := []string{"", "a", "ü"}, []int64{-1, 0, 1 << 62}
	times := []time.Time{time.Unix(0, 0).UTC(), time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)}
	var gotTexts, noTexts []string
	var gotCounts []int64
	var gotTimes []time.Time
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT $1::text[], $2::bigint[], $3::timestamptz[], $4::text[]", texts, counts, times, []string{}).
		Scan(&gotTexts, &gotCounts, &gotTimes, &noTexts))
	require.Equal(t, texts, gotTexts)
	require.Equal(t, counts, gotCounts)
	require.Equal(t, []string{}, noTexts)
	for i, at := range times {
		require.True(t, at.Equal(gotTimes[i]), at)
	}
	var one uuid.UUID
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT $1::uuid", ids[0]).Scan(&one))
	require.Equal(t, ids[0], one)
	var none *uuid.UUID
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT $1::uuid", none).Scan(&none))
	require.Nil(t, none)
}
