package docs

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// call is one of the interface's.
type call struct {
	name string
	do   func(context.Context) error
}

func (g *gateway) cached() []call {
	return []call{
		{"ValidateAPIKey", func(ctx context.Context) error { return g.APIKeys.ValidateAPIKey(ctx, g.hash).Err() }},
		{"GetCredentials", func(ctx context.Context) error { return g.Accounts.GetCredentials(ctx, g.account).Err() }},
		{"ValidateSession", func(ctx context.Context) error { return g.Sessions.ValidateSession(ctx, g.token).Err() }},
	}
}

func (g *gateway) uncached() []call {
	return []call{{"ValidateAPIKey of another key", func(ctx context.Context) error { return g.APIKeys.ValidateAPIKey(ctx, g.freshHash).Err() }}}
}

// validations are those of what knows no cache.
func (g *gateway) validations() []call { return append(g.cached(), g.uncached()...) }

func (g *gateway) reads() []call {
	return []call{
		{"GetAPIKey", func(ctx context.Context) error { return g.APIKeys.GetAPIKey(ctx, g.key).Err() }},
		{"GetClaudeAccount", func(ctx context.Context) error { return g.Accounts.GetClaudeAccount(ctx, g.account).Err() }},
	}
}

func (g *gateway) lists() []call {
	return []call{
		{"GetAllAPIKeys", func(ctx context.Context) error { return g.APIKeys.GetAllAPIKeys(ctx, apikeys.Filters{}).Err() }},
		{"GetAvailableAccounts", func(ctx context.Context) error {
			return g.Accounts.GetAvailableAccounts(ctx, accounts.AvailableFilters{}).Err()
		}},
		{"ListSessions", func(ctx context.Context) error { return g.Sessions.ListSessions(ctx, sessions.Filters{}).Err() }},
	}
}

func (g *gateway) record() []call {
	return []call{{"RecordUsage", func(ctx context.Context) error {
		return g.Usage.RecordUsage(ctx, usage.Record{APIKeyID: g.key, AccountType: "claude", Model: "m", RequestCount: 1}).Err()
	}}}
}

func (g *gateway) figures() []call {
	end := time.Now().Add(time.Hour)
	return []call{
		{"GetUsageStats", func(ctx context.Context) error {
			return g.Usage.GetUsageStats(ctx, usage.StatsQuery{StartDate: end.AddDate(0, 0, -2), EndDate: end, Granularity: usage.Day}).Err()
		}},
		{"GetCostAnalysis", func(ctx context.Context) error {
			return g.Usage.GetCostAnalysis(ctx, usage.CostQuery{StartDate: end.AddDate(0, 0, -2), EndDate: end, GroupBy: usage.ByModel}).Err()
		}},
	}
}

func (g *gateway) writes() []call {
	return []call{
		{"CreateAPIKey", func(ctx context.Context) error {
			return g.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "another"}).Err()
		}},
		{"UpdateAPIKey", func(ctx context.Context) error {
			return g.APIKeys.UpdateAPIKey(ctx, g.changing, apikeys.Patch{TokenLimit: result.Set[int64](1)}).Err()
		}},
		{"UpdateAccountStatus", func(ctx context.Context) error {
			return g.Accounts.UpdateAccountStatus(ctx, g.busy, accounts.Active, accounts.StatusMetadata{}).Err()
		}},
		{"CreateSession", func(ctx context.Context) error {
			return g.Sessions.CreateSession(ctx, sessions.Data{UserID: "v", UserType: sessions.User, SessionData: json.RawMessage("{}")}).Err()
		}},
	}
}

// transactions are of what is in PostgreSQL.
func (g *gateway) transactions() []call {
	if g.way == onRedis {
		return nil
	}
	return []call{
		{"InTransaction", func(ctx context.Context) error {
			return g.Transactions.InTransaction(ctx, repo.TxOptions{}, func(c *repo.Client) error { return c.APIKeys.GetAPIKey(ctx, g.key).Err() })
		}},
		{"BatchOperation", func(ctx context.Context) error {
			op := batch.Operation{Type: batch.Delete, Table: "api_keys", Where: map[string]any{"id": uuid.NewString()}}
			return g.Transactions.BatchOperation(ctx, []batch.Operation{op}, repo.TxOptions{}).Err()
		}},
	}
}

func (g *gateway) health() []call {
	return []call{{"GetStorageHealth", func(ctx context.Context) error {
		_, err := g.Storage.GetStorageHealth(ctx)
		return err
	}}}
}

// starts opens a client as another process of the gateway would.
func (g *gateway) starts() []call {
	cfg := g.config
	if g.Client == g.proxied {
		cfg = g.through
	}
	return []call{{"Open", func(ctx context.Context) error {
		c, err := repo.Open(ctx, cfg)
		if err != nil {
			return err
		}
		return c.Close(ctx)
	}}}
}
