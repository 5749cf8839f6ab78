package storage_test

import (
	"context"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// loaded is a data type whose records are written while it is moved: each counts the
// updates that it has had.
type loaded interface {
	create(ctx context.Context, id string) error
	update(ctx context.Context, id string, n int) error
	remove(ctx context.Context, id string) error
	// updates gives them by the ids of the records that there are.
	updates(ctx context.Context) (map[string]string, error)
}

type loadedKeys struct{ *repo.Client }

func (c loadedKeys) create(ctx context.Context, id string) error {
	return c.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{ID: id, Name: "k"}).Err()
}

func (c loadedKeys) update(ctx context.Context, id string, n int) error {
	return c.APIKeys.UpdateAPIKey(ctx, id, apikeys.Patch{Description: result.Set(strconv.Itoa(n))}).Err()
}

func (c loadedKeys) remove(ctx context.Context, id string) error {
	return c.APIKeys.DeleteAPIKey(ctx, id).Err()
}

func (c loadedKeys) updates(ctx context.Context) (map[string]string, error) {
	all := make(map[string]string)
	for {
		page, err := c.APIKeys.GetAllAPIKeys(ctx, apikeys.Filters{Limit: 1000, Offset: len(all)}).Get()
		for _, k := range page.Keys {
			all[k.ID] = k.Description
		}
		if err != nil || len(all) >= page.Total {
			return all, err
		}
	}
}

type loadedAccounts struct{ *repo.Client }

func (c loadedAccounts) create(ctx context.Context, id string) error {
	return c.Accounts.CreateAccount(ctx, accounts.AccountData{ID: id, Platform: accounts.CCR, Name: "a"}).Err()
}

func (c loadedAccounts) update(ctx context.Context, id string, n int) error {
	if err := c.Accounts.TouchAccount(ctx, id).Err(); err != nil {
		return err
	}
	return c.Accounts.SetCredentials(ctx, id, accounts.CredentialsPatch{APIKey: result.Set(strconv.Itoa(n))}).Err()
}

func (c loadedAccounts) remove(ctx context.Context, id string) error {
	return c.Accounts.DeleteAccount(ctx, id).Err()
}

func (c loadedAccounts) updates(ctx context.Context) (map[string]string, error) {
	all := make(map[string]string)
	for {
		page, err := c.Accounts.ListAccounts(ctx, accounts.ListFilters{Limit: 1000, Offset: len(all)}).Get()
		if err != nil {
			return nil, err
		}
		for _, a := range page.Accounts {
			credentials, err := c.Accounts.GetCredentials(ctx, a.ID).Get()
			if err != nil {
				return nil, err
			}
			all[a.ID] = credentials.APIKey
		}
		if len(all) >= page.Total {
			return all, nil
		}
	}
}

// load is what writers were told.
type load struct {
	mu    sync.Mutex
	acked map[string]string
	n     atomic.Int64
}

func (l *load) told(id, updates string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked[id] = updates; updates == "gone" {
		delete(l.acked, id)
	}
	l.n.Add(1)
}

// write makes a record, updates it twice, and deletes every third.
func (l *load) write(ctx context.Context, c loaded, i int) error {
	id := uuid.NewString()
	steps := []struct {
		do    func() error
		after string
	}{
		{func() error { return c.create(ctx, id) }, ""},
		{func() error { return c.update(ctx, id, 1) }, "1"},
		{func() error { return c.update(ctx, id, 2) }, "2"},
		{func() error { return c.remove(ctx, id) }, "gone"},
	}
	if i%3 > 0 {
		steps = steps[:3]
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return err
		}
		l.told(id, step.after)
	}
	return nil
}

// What was acknowledged while a primary was moved to and fro is there, once, and nothing
// else.
func TestMovesUnderLoad(t *testing.T) {
	t.Parallel()
	for dataType, open := range map[strategy.DataType]func(*repo.Client) loaded{
		strategy.APIKey:  func(c *repo.Client) loaded { return loadedKeys{c} },
		strategy.Account: func(c *repo.Client) loaded { return loadedAccounts{c} },
	} {
		t.Run(string(dataType), func(t *testing.T) {
			t.Parallel()
			cfg := testclient.Config(t)
			cfg.PrimaryRedisURL, cfg.LegacyEncryptionKey = testclient.LegacyRedis(t), "an encryption key of 32 letters!"
			var err error
			cfg.Keyset, err = seal.Generate()
			require.NoError(t, err)
			l := &load{acked: make(map[string]string)}
			var clients []*repo.Client
			var writers sync.WaitGroup
			running, stop := context.WithCancel(t.Context())
			failed := make([]error, 6)
			for w := range failed {
				if w < 3 {
					clients = append(clients, testclient.Open(t, cfg))
				}
				c := open(clients[w%3])
				writers.Go(func() {
					for i := 0; running.Err() == nil && failed[w] == nil; i++ {
						failed[w] = l.write(t.Context(), c, i)
					}
				})
			}
			more := func() {
				t.Helper()
				before := l.n.Load()
				eventually(t, func() bool { return l.n.Load() > before+60 })
			}
			for i := range 4 {
				more()
				to := strategy.DefaultOn(strategy.PrimaryRedis, dataType)
				if i%2 == 1 {
					to = strategy.Default(dataType, false)
				}
				require.NoError(t, clients[i%3].Storage.SwitchPrimary(t.Context(), dataType, to, nil).Err())
			}
			more()
			stop()
			writers.Wait()
			for _, err := range failed {
				require.NoError(t, err)
			}
			for _, c := range clients {
				eventually(t, func() bool { return state(t, c, dataType).PrimaryStorage == strategy.PrimaryPostgres })
				eventually(t, func() bool { // a cache may hear of it a moment later
					got, err := open(c).updates(t.Context())
					require.NoError(t, err)
					return maps.Equal(l.acked, got)
				})
			}
		})
	}
}
