package bench

import (
	"context"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func place(t *testing.T) Place {
	t.Helper()
	return Place{testdb.URL(t), testdb.RedisURL(t), testdb.Prefix(t)}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	values := []float64{5, 1, 4, 2, 3}
	require.InDelta(t, 3, median(values), 0)
	require.InDelta(t, 5, percentile(values, 0.99), 0)
	require.InDelta(t, 1, percentile(values, 0), 0)
	require.InDelta(t, 7, percentile([]float64{7}, 1), 0)
}

func TestDraw(t *testing.T) {
	t.Parallel()
	d := newDraw(1000, keyHash)
	require.Equal(t, d, newDraw(1000, keyHash), "the same each time")
	seen := map[string]int{}
	for _, hash := range d {
		seen[hash]++
	}
	require.Greater(t, seen[keyHash(0)], seen[keyHash(1)])
	require.Greater(t, seen[keyHash(1)], seen[keyHash(500)])

	_, err := d.parallel(1000, func(string) bool { return true })
	require.NoError(t, err)
	_, err = d.parallel(1000, func(hash string) bool { return hash != keyHash(0) })
	require.ErrorContains(t, err, "were not what they should measure")
}

func TestLastYes(t *testing.T) {
	t.Parallel()
	const since = 100
	noes := func(n int, from int64) (s []sample) {
		for i := range int64(n) {
			s = append(s, sample{begin: from + i, end: from + i + 1})
		}
		return s
	}
	for name, c := range map[string]struct {
		samples []sample
		want    reply
		done    bool
	}{
		"nothing yet":      {nil, reply{}, false},
		"too few":          {noes(settled-1, 101), reply{}, false},
		"noes from before": {noes(settled, 90), reply{}, false},
		"gone":             {append([]sample{{98, 99, true}}, noes(settled, 101)...), reply{}, true},
		"asked before":     {append([]sample{{99, 103, true}}, noes(settled, 104)...), reply{At: 103}, true},
		"asked after":      {append([]sample{{101, 102, true}, {103, 104, true}}, noes(settled, 105)...), reply{At: 104, Stale: 2}, true},
		"back again":       {append(noes(settled-1, 101), sample{150, 151, true}), reply{At: 151, Stale: 1}, false},
	} {
		got, done := lastYes(since)(c.samples)
		require.Equal(t, c.done, done, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestOptionsAreBounded(t *testing.T) {
	t.Parallel()
	for _, keys := range []int{-1, 0, MaxKeys + 1} {
		_, err := Validate(t.Context(), Place{}, ValidateOptions{Keys: keys})
		require.ErrorIs(t, err, result.InvalidQuery)
	}
	for _, o := range []RevokeOptions{{Processes: 1, Rounds: 1}, {Processes: MaxProcesses + 1, Rounds: 1}, {Processes: 2}, {Processes: 2, Rounds: MaxRounds + 1}} {
		_, err := Revoke(t.Context(), Place{}, o)
		require.ErrorIs(t, err, result.InvalidQuery)
	}
}

// A child obeys, says what went wrong, and ends with its commands.
func TestLoop(t *testing.T) {
	t.Parallel()
	commands, send := io.Pipe()
	receive, replies := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Loop(context.WithoutCancel(t.Context()), place(t), commands, replies) }()
	dec, enc := json.NewDecoder(receive), json.NewEncoder(send)
	ask := func(c command) (r reply) {
		require.NoError(t, enc.Encode(c))
		require.NoError(t, dec.Decode(&r))
		return r
	}
	var ready reply
	require.NoError(t, dec.Decode(&ready))

	hash := apikeys.HashPlaintext("looped")
	require.Equal(t, reply{}, ask(command{Do: watch, Hash: hash}))
	created := ask(command{Do: create, Hash: hash})
	require.Empty(t, created.Error)
	require.NotEmpty(t, created.ID)
	require.NotZero(t, ask(command{Do: resume}).At)
	removed := ask(command{Do: remove, ID: created.ID})
	require.Empty(t, removed.Error)
	require.Zero(t, removed.Stale)
	require.Zero(t, ask(command{Do: settle, Since: removed.At}).Stale)
	require.Contains(t, ask(command{Do: remove, ID: created.ID}).Error, "remove: DB_RECORD_NOT_FOUND")
	require.Equal(t, "dance: no such command", ask(command{Do: "dance"}).Error)

	require.NoError(t, enc.Encode(command{Do: resume}))
	require.NoError(t, send.Close())
	require.NoError(t, dec.Decode(&ready), "the end interrupts what it waits for")
	require.Contains(t, ready.Error, "resume: context canceled")
	require.NoError(t, <-ended)
}

func TestChildEnvironment(t *testing.T) {
	t.Setenv("RELAYSTORE_DIRECT_URL", "postgres://another")
	cmd, err := Place{"d", "r", "p:"}.child(t.Context(), LoopCommand)
	require.NoError(t, err)
	require.Equal(t, []string{"bench", LoopCommand}, cmd.Args[1:])
	require.NotContains(t, cmd.Env, "RELAYSTORE_DIRECT_URL=postgres://another")
	require.Subset(t, cmd.Env, []string{"DATABASE_URL=d", "REDIS_URL=r", "RELAYSTORE_KEY_PREFIX=p:"})
}
