package repo_test

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const clients = 16

func enoughFor16(c *repo.Config) { c.MaxConns, c.MaxTransactions = 20, clients }

// together runs f for every client at a time. The first tries meet between what
// they read and what they write, so that the anomaly is sure to come where nothing
// guards against it.
func together(t *testing.T, f func(i int, meet func()) error) (failed int) {
	t.Helper()
	var met, calls sync.WaitGroup
	var failures atomic.Int64
	met.Add(clients)
	for i := range clients {
		calls.Go(func() {
			var first sync.Once
			if err := f(i, func() { first.Do(func() { met.Done(); met.Wait() }) }); err != nil {
				require.ErrorIs(t, err, result.TransactionConflict)
				failures.Add(1)
			}
		})
	}
	calls.Wait()
	return int(failures.Load())
}

// Each of 16 keys may be disabled while another one is still active. Each client
// sees 16 active keys and disables its own.
func TestWriteSkew(t *testing.T) {
	for _, level := range []repo.IsolationLevel{repo.ReadCommitted, repo.Serializable} {
		t.Run(string(level), func(t *testing.T) {
			b := setup(t, enoughFor16)
			keys := make([]apikeys.Created, clients)
			for i := range keys {
				keys[i] = b.key(b.Client, apikeys.KeyData{})
			}
			errLast := errors.New("the last one stays")
			on := true
			together(t, func(i int, meet func()) error {
				err := b.Transactions.InTransaction(t.Context(), repo.TxOptions{IsolationLevel: level}, func(c *repo.Client) error {
					page, err := c.APIKeys.GetAllAPIKeys(t.Context(), apikeys.Filters{IsActive: &on}).Get()
					if err != nil {
						return err
					}
					meet()
					if page.Total < 2 {
						return errLast
					}
					return c.APIKeys.UpdateAPIKey(t.Context(), keys[i].ID, apikeys.Patch{IsActive: result.Set(false)}).Err()
				})
				if errors.Is(err, errLast) {
					return nil
				}
				return err
			})
			left := b.count("SELECT count(*) FROM api_keys WHERE is_active")
			if level == repo.ReadCommitted {
				require.Zero(t, left, "this level does not guard against it")
				return
			}
			require.Positive(t, left)
		})
	}
}

// 16 clients read a number, add one and write it back.
func TestLostUpdate(t *testing.T) {
	for _, level := range []repo.IsolationLevel{repo.ReadCommitted, repo.Serializable} {
		t.Run(string(level), func(t *testing.T) {
			b := setup(t, enoughFor16)
			k := b.key(b.Client, apikeys.KeyData{Description: "0"})
			failed := together(t, func(_ int, meet func()) error {
				return b.Transactions.InTransaction(t.Context(), repo.TxOptions{IsolationLevel: level}, func(c *repo.Client) error {
					stored, err := c.APIKeys.GetAPIKey(t.Context(), k.ID).Get()
					if err != nil {
						return err
					}
					meet()
					n, err := strconv.Atoi(stored.Description)
					require.NoError(t, err)
					return c.APIKeys.UpdateAPIKey(t.Context(), k.ID, apikeys.Patch{Description: result.Set(strconv.Itoa(n + 1))}).Err()
				})
			})
			stored, err := b.APIKeys.GetAPIKey(t.Context(), k.ID).Get()
			require.NoError(t, err)
			if level == repo.ReadCommitted {
				require.Equal(t, "1", stored.Description, "this level does not guard against it")
				return
			}
			require.Equal(t, strconv.Itoa(clients-failed), stored.Description)
			require.Less(t, failed, clients)
		})
	}
}

func TestReadOnly(t *testing.T) {
	for _, level := range []repo.IsolationLevel{repo.ReadCommitted, repo.Serializable} {
		t.Run(string(level), func(t *testing.T) {
			b := setup(t, enoughFor16)
			k := b.key(b.Client, apikeys.KeyData{})
			opts := repo.TxOptions{IsolationLevel: level, ReadOnly: true}
			together(t, func(int, func()) error {
				return b.Transactions.InTransaction(t.Context(), opts, func(c *repo.Client) error {
					for _, err := range []error{
						c.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Err(),
						c.APIKeys.UpdateAPIKey(t.Context(), k.ID, apikeys.Patch{Name: result.Set("x")}).Err(),
						c.APIKeys.DeleteAPIKey(t.Context(), k.ID).Err(),
						c.Usage.RecordUsage(t.Context(), record(k.ID)).Err(),
					} {
						require.ErrorIs(t, err, result.ReadOnly)
					}
					return c.APIKeys.GetAPIKey(t.Context(), k.ID).Err() // a refused write leaves it open
				})
			})
			require.Equal(t, 1, b.count("SELECT count(*) FROM api_keys WHERE name = 'test' AND deleted_at IS NULL"))
			require.Equal(t, 1, b.count("SELECT count(*) FROM api_keys"))
		})
	}
}

// A conflict runs f again, a bounded number of times, and only the outermost does.
func TestConflictsAreRepeated(t *testing.T) {
	b := setup(t)
	k := b.key(b.Client, apikeys.KeyData{})
	outer, inner := 0, 0
	change := func(c *repo.Client, name string) error {
		return c.APIKeys.UpdateAPIKey(t.Context(), k.ID, apikeys.Patch{Name: result.Set(name)}).Err()
	}
	// Somebody changes the key behind each try's first look.
	try := func(times int, hide bool) error {
		outer, inner = 0, 0
		return b.Transactions.InTransaction(t.Context(), repo.TxOptions{IsolationLevel: repo.Serializable}, func(c *repo.Client) error {
			outer++
			if err := c.APIKeys.GetAPIKey(t.Context(), k.ID).Err(); err != nil {
				return err
			}
			if outer <= times {
				require.NoError(t, change(b.Client, "theirs"))
			}
			err := c.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
				inner++
				return change(c, "ours")
			})
			if hide {
				err = nil
			}
			return err
		})
	}
	require.NoError(t, try(2, false))
	require.Equal(t, []int{3, 3}, []int{outer, inner})
	require.ErrorIs(t, try(1000, false), result.TransactionConflict)
	require.Equal(t, []int{16, 16}, []int{outer, inner})
	// What f hides is its own business: the part that failed is undone.
	require.NoError(t, try(1, true))
	require.Equal(t, 1, outer)
	require.Equal(t, 1, b.count("SELECT count(*) FROM api_keys WHERE name = 'theirs'"))
}

// A read finds out that the transaction cannot be serialized, and f does not look
// at its error: it runs again all the same, since its commit could not succeed.
func TestHiddenConflictIsRepeated(t *testing.T) {
	b := setup(t)
	serializable := repo.TxOptions{IsolationLevel: repo.Serializable}
	ours, theirs := b.key(b.Client, apikeys.KeyData{}), b.key(b.Client, apikeys.KeyData{})
	look := func(c *repo.Client) {
		require.NoError(t, c.APIKeys.GetAllAPIKeys(t.Context(), apikeys.Filters{}).Err())
	}
	tries := 0
	require.NoError(t, b.Transactions.InTransaction(t.Context(), serializable, func(c *repo.Client) error {
		tries++
		look(c)
		if tries > 1 {
			return nil
		}
		other := b.begin(serializable)
		look(other.Client)
		b.disable(other.Client, theirs.ID)
		b.disable(c, ours.ID)
		b.commit(other)
		require.ErrorIs(t, c.APIKeys.GetAPIKey(t.Context(), ours.ID).Err(), result.TransactionConflict)
		require.ErrorIs(t, c.APIKeys.GetAPIKey(t.Context(), ours.ID).Err(), result.TransactionClosed)
		return nil
	}))
	require.Equal(t, 2, tries)
}

// Two transactions that wait for each other crosswise: the server ends one, which
// runs again.
func TestDeadlocksAreRepeated(t *testing.T) {
	b := setup(t)
	keys := []apikeys.Created{b.key(b.Client, apikeys.KeyData{}), b.key(b.Client, apikeys.KeyData{})}
	var tries atomic.Int64
	var met, calls sync.WaitGroup
	met.Add(2)
	for i := range 2 {
		calls.Go(func() {
			var first sync.Once
			require.NoError(t, b.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
				tries.Add(1)
				for n := range 2 {
					patch := apikeys.Patch{Description: result.Set(strconv.Itoa(i))}
					if err := c.APIKeys.UpdateAPIKey(t.Context(), keys[(i+n)%2].ID, patch).Err(); err != nil {
						return err
					}
					first.Do(func() { met.Done(); met.Wait() })
				}
				return nil
			}))
		})
	}
	calls.Wait()
	require.EqualValues(t, 3, tries.Load())
	require.Equal(t, 1, b.count("SELECT count(DISTINCT description) FROM api_keys"))
}
