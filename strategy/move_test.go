package strategy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// A process that has slept through a move writes nothing where it was the primary: it
// finds out, and goes on at the other one. Neither does a switch that keeps the primary
// disturb it.
func TestWritersFollow(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	sleeper := m.open()
	sleeper.Close() // looks no more
	require.NoError(t, sleeper.insert(t.Context(), "0"))
	for i, to := range append(primaries, primaries...) {
		old := primaries[1-i%2]
		s := m.store.Move(t.Context(), strategy.Session, config(to), nil)
		require.NoError(t, s.Err())
		require.Equal(t, old, s.Previous.PrimaryStorage)
		before := m.stored(old)
		require.NoError(t, sleeper.insert(t.Context(), string(rune('1'+i))))
		require.Equal(t, before, m.stored(old))
		require.Len(t, m.stored(to), i+2)
	}
	c := config(strategy.PrimaryPostgres)
	c.CacheTTL = time.Minute
	require.NoError(t, m.store.Switch(t.Context(), strategy.Session, c).Err())
	epoch := sleeper.State(strategy.Session).Epoch
	require.NoError(t, sleeper.insert(t.Context(), "9"))
	require.Equal(t, epoch, sleeper.State(strategy.Session).Epoch, "it need not know")
}

// blocked is a mover whose comparison waits, and does something in between.
type blocked struct {
	mover

	meanwhile func()
}

func (b blocked) Compare(ctx context.Context, m strategy.Move) (int64, error) {
	differ, err := mover{}.Compare(ctx, m)
	b.meanwhile()
	return differ, err
}

// While a primary is moved, writers wait as long as they may, and reads go on.
func TestWritersWait(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	other := m.open()
	require.NoError(t, m.store.insert(t.Context(), "0"))
	for i, to := range primaries {
		patient := make(chan error, 1)
		m.store.Movers[strategy.Session] = blocked{meanwhile: func() {
			m.becomes(func() bool { return other.State(strategy.Session).Step == strategy.MoveVerifying })
			short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, other.insert(short, "never"), result.ReadOnly)
			require.Len(t, m.stored(primaries[1-i]), i+1)
			go func() { patient <- other.insert(t.Context(), string(rune('1'+i))) }()
			moves, err := other.Moves(t.Context())
			require.NoError(t, err)
			require.Len(t, moves, 1)
			require.Equal(t, strategy.MoveVerifying, moves[0].Step)
			require.ErrorIs(t, other.Move(t.Context(), strategy.Session, config(to), nil).Err(), result.ReadOnly, "one at a time")
		}}
		require.NoError(t, m.store.Move(t.Context(), strategy.Session, config(to), nil).Err())
		require.NoError(t, <-patient)
		require.Len(t, m.stored(to), i+2)
	}
}

// A copy that differs stops a move, or that nobody makes one; the old primary goes on at
// once.
func TestMovesThatStop(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	require.NoError(t, m.store.insert(t.Context(), "0"))
	n := 1
	for i, to := range primaries {
		for name, c := range map[string]struct {
			mover strategy.Mover
			code  result.Code
		}{
			"a difference": {differing{}, result.Internal},
			"no mover":     {nil, result.InvalidQuery},
		} {
			m.store.Movers[strategy.Session] = c.mover
			if c.mover == nil {
				delete(m.store.Movers, strategy.Session)
			}
			require.ErrorIs(t, m.store.Move(t.Context(), strategy.Session, config(to), nil).Err(), c.code, name)
			require.Equal(t, primaries[1-i], m.store.State(strategy.Session).PrimaryStorage)
			require.NoError(t, m.store.insert(t.Context(), string(rune('0'+n))), name)
			n++
			require.Len(t, m.stored(primaries[1-i]), n, name)
		}
		m.store.Movers[strategy.Session] = mover{}
		require.NoError(t, m.store.Move(t.Context(), strategy.Session, config(to), nil).Err())
		require.Len(t, m.stored(to), n)
	}
}

type differing struct{ mover }

func (differing) Compare(context.Context, strategy.Move) (int64, error) { return 1, nil }

// A switcher that wakes up after its move was given up copies nothing over what others
// have written since, and flips nothing.
func TestASwitcherThatSlept(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	require.NoError(t, m.store.insert(t.Context(), "0"))
	slow := m.open()
	slow.Lease(500*time.Millisecond, time.Hour)
	for i, to := range primaries {
		slow.Movers[strategy.Session] = late{meanwhile: func() {
			m.becomes(func() bool { return m.store.Move(t.Context(), strategy.Session, config(to), nil).Err() == nil })
			require.NoError(t, m.store.insert(t.Context(), string(rune('1'+i))))
		}}
		require.ErrorIs(t, slow.Move(t.Context(), strategy.Session, config(to), nil).Err(), result.TransactionConflict)
		require.Len(t, m.stored(to), i+2)
	}
}

// late copies after what happens meanwhile.
type late struct {
	mover

	meanwhile func()
}

func (l late) ToRedis(ctx context.Context, m strategy.Move) error {
	l.meanwhile()
	_, err := m.Redis.Write(context.WithoutCancel(ctx), strategy.Session, emptyRedis, []string{ids}, nil)
	return err
}

func (l late) ToPostgres(ctx context.Context, m strategy.Move) error {
	l.meanwhile()
	return m.Postgres.Write(context.WithoutCancel(ctx), func(ctx context.Context, tx db.DBTX) error {
		_, err := tx.Exec(ctx, "DELETE FROM sessions")
		return err
	})
}

// A move waits for a transaction that has written, and refuses one that has not yet:
// also one whose snapshot is older.
func TestMovesAndTransactions(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	begin := func(serializable bool) (*strategy.Tx, *strategy.Postgres) {
		tx, err := m.store.Primary.Begin(t.Context(), strategy.TxOptions{Serializable: serializable, Timeout: time.Minute})
		require.NoError(t, err)
		t.Cleanup(func() { tx.End("the test is over") })
		return tx, tx.Primary().For(strategy.Session)
	}
	wrote, inside := begin(false)
	require.NoError(t, inside.Write(t.Context(), add("0")))
	_, older := begin(true)
	_, err := inPostgres(t.Context(), older)
	require.NoError(t, err)
	moved := make(chan error, 1)
	go func() { moved <- m.store.Move(t.Context(), strategy.Session, config(strategy.PrimaryRedis), nil).Err() }()
	m.becomes(func() bool { return m.store.State(strategy.Session).Step == strategy.MovePausing })
	_, late := begin(false)
	require.Equal(t, result.ReadOnly, code(late.Write(t.Context(), add("1"))))
	require.Equal(t, result.TransactionConflict, code(older.Write(t.Context(), add("2"))))
	require.NoError(t, wrote.Commit(t.Context()))
	require.NoError(t, <-moved)
	require.Equal(t, []string{"0"}, m.stored(strategy.PrimaryRedis))
	_, err = inPostgres(t.Context(), late)
	require.ErrorIs(t, err, result.InvalidQuery, "a transaction covers PostgreSQL")
}

// A Redis that was restored gets its epoch from PostgreSQL; where it is PostgreSQL that
// was, nobody writes.
func TestARestoredRedis(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	require.NoError(t, m.store.Move(t.Context(), strategy.Session, config(strategy.PrimaryRedis), nil).Err())
	key := strategy.EpochKey(strategy.Session)
	for i, found := range []string{"", "0", "held somebody"} {
		require.NoError(t, m.direct.Do(t.Context(), m.direct.B().Del().Key(key).Build()).Error())
		if found != "" {
			require.NoError(t, m.direct.Do(t.Context(), m.direct.B().Set().Key(key).Value(found).Build()).Error())
		}
		require.NoError(t, m.store.insert(t.Context(), string(rune('0'+i))), found)
	}
	require.NoError(t, m.direct.Do(t.Context(), m.direct.B().Set().Key(key).Value("99").Build()).Error())
	require.ErrorIs(t, m.store.insert(t.Context(), "never"), result.ReadOnly)
	require.Len(t, m.stored(strategy.PrimaryRedis), 3)
}
