package sessions

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/strategy"
)

func TestRecordsSurviveRedis(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := record{known: known{
			UserID: rapid.String().Draw(rt, "user"), UserType: rapid.SampledFrom([]UserType{Admin, User}).Draw(rt, "type"),
			ExpiresAt: time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(rt, "micros")).UTC(), Large: rapid.Bool().Draw(rt, "large"),
		}, data: []byte(rapid.String().Draw(rt, "data"))}
		doc, err := encode(&r)
		require.NoError(rt, err)
		back, err := decode(doc)
		require.NoError(rt, err)
		require.Equal(rt, r.known, back.known)
		require.Equal(rt, string(r.data), string(back.data))
	})
	for _, doc := range []string{"", "{}", "x\n{}", "[]\n{}"} {
		_, err := decode([]byte(doc))
		require.Error(t, err, doc)
	}
}

// A look-up that was under way when an update or a delete returned is not shared
// by later callers: it may have read the older session.
func TestLaterCallersDoNotShareAnOlderLookUp(t *testing.T) {
	t.Parallel()
	r := New(Config{Primary: &strategy.Postgres{Pool: testdb.Pool(t, testdb.URL(t)), OpTimeout: time.Minute}})
	hold, holding := make(chan struct{}), make(chan struct{}, 1)
	held := false // one look-up at a time reads it
	r.uncached = cache.NewRecords(nil, cache.Source[record]{Size: 1, Timeout: time.Minute, Load: func(ctx context.Context, key *cache.Key) (*record, error) {
		rec, err := r.load(ctx, key)
		if !held {
			held = true
			holding <- struct{}{}
			<-hold
		}
		return rec, err
	}})
	c, err := r.CreateSession(t.Context(), Data{UserID: "u", UserType: User, SessionData: json.RawMessage(`{"v":1}`)}).Get()
	require.NoError(t, err)
	first := make(chan string)
	go func() {
		v, _ := r.ValidateSession(t.Context(), c.SessionToken).Get()
		first <- string(v.SessionData)
	}()
	<-holding
	require.NoError(t, r.UpdateSession(t.Context(), c.SessionToken, Patch{SessionData: json.RawMessage(`{"v":2}`)}).Err())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // a shared look-up would hold it for ever
	defer cancel()
	v, err := r.ValidateSession(ctx, c.SessionToken).Get()
	close(hold)
	require.NoError(t, err)
	require.JSONEq(t, `{"v":2}`, string(v.SessionData))
	require.JSONEq(t, `{"v":1}`, <-first, "it had begun before")
}
