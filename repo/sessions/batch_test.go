package sessions_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// The list names the schema's columns, each with its type, and the hash for nothing.
func TestBatchColumns(t *testing.T) {
	b := setup(t)
	listed := map[string]string{}
	for _, c := range b.Batch().Columns {
		listed[c.Name] = string(c.Kind)
		require.Zero(t, c.Uses&(batch.InCreate|batch.InUpdate), c.Name)
		if c.Name == "token_hash" || c.Name == "session_data" {
			require.Zero(t, c.Uses, c.Name)
		}
	}
	rows, err := b.pool.Query(t.Context(), `SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute
		WHERE attrelid = 'sessions'::regclass AND attnum > 0 AND NOT attisdropped`)
	require.NoError(t, err)
	stored := map[string]string{}
	var name, kind string
	_, err = pgx.ForEachRow(rows, []any{&name, &kind}, func() error { stored[name] = kind; return nil })
	require.NoError(t, err)
	require.Equal(t, stored, listed)
}

// A batch ends sessions, as DeleteSession does, and does nothing else to them.
func TestBatchEndsSessions(t *testing.T) {
	b := setup(t)
	second := b.open(b.cfg)
	create := func(user string) string {
		s, err := b.CreateSession(t.Context(), sessions.Data{UserID: user, UserType: sessions.User, SessionData: json.RawMessage(`{}`)}).Get()
		require.NoError(t, err)
		return s.SessionToken
	}
	tokens := []string{create("a"), create("a"), create("b")}
	for _, p := range []*process{b.process, second} {
		for _, token := range tokens {
			require.Eventually(t, func() bool {
				before := p.reads.Load()
				require.NoError(t, p.ValidateSession(t.Context(), token).Err())
				return p.reads.Load() == before
			}, patience, time.Millisecond, "cached")
		}
	}
	_, err := b.pool.Exec(t.Context(), "ALTER TABLE sessions DISABLE TRIGGER USER") // the batch tells by itself
	require.NoError(t, err)
	do := func(op batch.Operation) ([]any, error) {
		op.Table = "sessions"
		return b.client.Transactions.BatchOperation(t.Context(), []batch.Operation{op}, repo.TxOptions{}).Get()
	}
	results, err := do(batch.Operation{Type: batch.Delete, Where: map[string]any{"user_id": "a"}})
	require.NoError(t, err)
	require.Len(t, results[0].(batch.Affected).IDs, 2)
	unknown := func(p *process, token string) bool {
		return result.From(p.ValidateSession(t.Context(), token).Err()) != nil
	}
	require.True(t, unknown(b.process, tokens[0]) && unknown(b.process, tokens[1]), "at once in this process")
	require.False(t, unknown(b.process, tokens[2]))
	require.Eventually(t, func() bool { return unknown(second, tokens[0]) && unknown(second, tokens[1]) }, patience, time.Millisecond)

	for field, op := range map[string]batch.Operation{
		"type":         {Type: batch.Create, Data: map[string]any{"user_id": "x"}},
		"token_hash":   {Type: batch.Delete, Where: map[string]any{"token_hash": "00"}},
		"session_data": {Type: batch.Delete, Where: map[string]any{"session_data": nil}},
		"where":        {Type: batch.Delete},
	} {
		_, err := do(op)
		require.ErrorIs(t, err, result.InvalidQuery)
		require.Equal(t, field, result.From(err).Field())
	}
	_, err = do(batch.Operation{Type: batch.Update, Data: map[string]any{"user_id": "x"}, Where: map[string]any{"user_id": "b"}})
	require.Equal(t, "type", result.From(err).Field())
	require.False(t, unknown(b.process, tokens[2]))
}
