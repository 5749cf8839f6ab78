package strategy_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/strategy"
)

// childVar makes the test binary an owner of a transaction on this database.
const childVar = "RELAYSTORE_TEST_TX_CHILD"

func TestMain(m *testing.M) {
	if url := os.Getenv(childVar); url != "" {
		fmt.Println(playOwner(url))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// playOwner locks one row and then waits for another one.
func playOwner(url string) error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	p := strategy.Postgres{Pool: pool, OpTimeout: 10 * time.Minute}
	tx, err := p.Begin(ctx, strategy.TxOptions{Timeout: 10 * time.Minute})
	if err != nil {
		return err
	}
	for _, row := range []string{"own", "other"} {
		if err := tx.Primary().Write(ctx, lock(row)); err != nil {
			return err
		}
		fmt.Println(row)
	}
	return nil
}

func lock(row string) func(context.Context, db.DBTX) error {
	return func(ctx context.Context, c db.DBTX) error {
		_, err := c.Exec(ctx, "UPDATE written SET value = value WHERE value = $1", row)
		return err
	}
}

// A process is killed while its transaction waits for a lock: what it has locked is
// free soon, although that lock is never given.
func TestTxOwnerIsKilledWhileItWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.write(b.Postgres, "own"))
	require.NoError(t, b.write(b.Postgres, "other"))
	blocker := b.begin(func(o *strategy.TxOptions) { o.Timeout = 10 * time.Minute })
	require.NoError(t, blocker.Primary().Write(t.Context(), lock("other")))

	self, err := os.Executable()
	require.NoError(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), childVar+"="+b.direct.Config().ConnString())
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "own\n", line)
	require.Eventually(t, func() bool {
		var waiting int
		require.NoError(t, b.direct.QueryRow(t.Context(),
			"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting))
		return waiting == 1
	}, time.Minute, time.Millisecond)
	require.NoError(t, child.Process.Kill())

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, b.Write(ctx, lock("own")), "the dead one's lock")
}
