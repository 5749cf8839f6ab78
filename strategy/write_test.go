package strategy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f, runs := insert("a")
	require.NoError(t, b.Write(t.Context(), f))
	require.Equal(t, 1, *runs)
	require.Equal(t, 1, b.rows("a"))
	own := errors.New("own")
	require.ErrorIs(t, b.Write(t.Context(), func(ctx context.Context, tx db.DBTX) error { return errors.Join(f(ctx, tx), own) }), own)
	require.Equal(t, 1, b.rows("a"))
}

// Whether the commit came through or not, the client cannot know it and must
// neither repeat the write nor call it failed.
func TestWriteIsNotRepeatedAfterAnUnknownCommit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		direction faultproxy.Direction
		pattern   string
		action    faultproxy.Action
		rows      int
	}{
		{"never arrives", faultproxy.ToServer, faultproxy.Commit, faultproxy.CutBefore, 0},
		{"arrives", faultproxy.ToServer, faultproxy.Commit, faultproxy.CutAfter, 1},
		{"answer is lost", faultproxy.ToClient, faultproxy.CommitDone, faultproxy.CutBefore, 1},
		{"answer is cut off", faultproxy.ToClient, faultproxy.CommitDone, faultproxy.CutAfter, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			f, runs := insert("a")
			cut := b.proxy.On(test.direction, test.pattern, test.action)
			err := b.Write(t.Context(), f)
			<-cut
			require.Equal(t, result.ConnectionFailed, code(err))
			require.True(t, unknown(err))
			require.Equal(t, 1, *runs)
			b.becomes("a", test.rows)
		})
	}
}

func TestWriteIsRepeatedWhereNothingChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f, runs := insert("a")
	err := b.Write(t.Context(), func(ctx context.Context, tx db.DBTX) error {
		err := f(ctx, tx)
		if *runs == 1 { // before the commit
			b.proxy.CutOnce()
			return one(ctx, tx)
		}
		return err
	})
	require.NoError(t, err)
	require.Equal(t, 2, *runs)
	require.Equal(t, 1, b.rows("a"))
}

func TestWriteSurvivesADeadIdleConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f, runs := insert("a")
	require.NoError(t, b.Write(t.Context(), f))
	b.proxy.CutOnce()
	require.NoError(t, b.Write(t.Context(), f))
	require.Equal(t, 2, *runs)
	require.Equal(t, 2, b.rows("a"))
}

// The server refuses the commit itself, and another try succeeds.
func TestWriteIsRepeatedAfterARefusedCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.direct.Exec(t.Context(), `
		CREATE SEQUENCE tries;
		CREATE FUNCTION slow_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('tries') = 1 THEN RAISE EXCEPTION USING ERRCODE = 'lock_not_available'; END IF;
			RETURN NULL;
		END $$;
		CREATE CONSTRAINT TRIGGER late AFTER INSERT ON written DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow_once();`)
	require.NoError(t, err)
	f, runs := insert("a")
	require.NoError(t, b.Write(t.Context(), f))
	require.Equal(t, 2, *runs)
	require.Equal(t, 1, b.rows("a"))
}

// A pooler reports a lost server as an error of the server's kind.
func TestWriteTakesALostServerForUnknown(t *testing.T) {
	t.Parallel()
	for state, isUnknown := range map[string]bool{"08P01": true, "08006": true, "40003": true, "57P01": true, "23514": false, "40001": false} {
		b := setup(t)
		_, err := b.direct.Exec(t.Context(), `
			CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '`+state+`'; END $$;
			CREATE CONSTRAINT TRIGGER late AFTER INSERT ON written DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lose();`)
		require.NoError(t, err)
		f, runs := insert("a")
		err = b.Write(t.Context(), f)
		var pg *pgconn.PgError
		require.Equal(t, !isUnknown, errors.As(err, &pg), state)
		require.Equal(t, isUnknown, unknown(err), state)
		require.Equal(t, 1, *runs, state)
	}
}

// The first try's commit is refused, the second try does not come that far.
func TestWriteForgetsAnEarlierCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.direct.Exec(t.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'lock_not_available'; END $$;
		CREATE CONSTRAINT TRIGGER late AFTER INSERT ON written DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();`)
	require.NoError(t, err)
	f, runs := insert("a")
	b.Retry.MaxRetries = 1
	var cut <-chan struct{}
	err = b.Write(t.Context(), func(ctx context.Context, tx db.DBTX) error {
		cut = b.proxy.On(faultproxy.ToServer, "begin\x00", faultproxy.CutBefore)
		return f(ctx, tx)
	})
	<-cut
	require.Equal(t, result.ConnectionFailed, code(err))
	require.False(t, unknown(err))
	require.Equal(t, 1, *runs)
}

func TestCancelledWriteSaysWhatIsUnknown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f, _ := insert("a")
	ctx, cancel := context.WithCancel(t.Context())
	stalled := b.proxy.On(faultproxy.ToClient, faultproxy.CommitDone, faultproxy.StallBefore)
	done := make(chan error, 1)
	go func() { done <- b.Write(ctx, f) }()
	<-stalled
	cancel()
	err := <-done
	require.Equal(t, result.Cancelled, code(err))
	require.True(t, unknown(err))
	require.Equal(t, 1, b.rows("a"))

	err = b.Write(ctx, f)
	require.Equal(t, result.Cancelled, code(err))
	require.False(t, unknown(err))
}
