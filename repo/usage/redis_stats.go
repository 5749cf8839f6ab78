package usage

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// redisFigures are cells of a Redis primary.
type redisFigures struct {
	cells        []db.UsageStatsByKeyRow
	approximate  []int // buckets
	unattributed bool
}

// redisCells reads a plan's cells.
func (r *Repo) redisCells(ctx context.Context, redis *strategy.Redis, p *plan) (f redisFigures, err error) {
	if err := p.checkOnRedis(); err != nil {
		return f, err
	}
	spans, approximate, err := keeping{now: r.now(), zone: redis.Zone}.cover(p)
	if err != nil {
		return f, err
	}
	err = redis.Read(ctx, func(ctx context.Context, client rueidis.Client) (err error) {
		reader := redisReader{client: client, plan: p, spans: spans, vague: make(map[int32]bool)}
		f.cells, err = reader.cells(ctx)
		f.approximate, f.unattributed = slices.Clone(approximate), reader.unattributed
		for slot := range reader.vague {
			f.approximate = append(f.approximate, p.label[slot-1])
		}
		return err
	})
	return f, err
}

// checkOnRedis refuses what the layout does not count.
func (p *plan) checkOnRedis() error {
	const why = "a Redis primary has no figures of a key and an account"
	switch {
	case p.key != uuid.Nil && p.account != uuid.Nil:
		return result.Invalid("accountId", why)
	case p.key != uuid.Nil && p.GroupBy == ByAccount, p.account != uuid.Nil && p.GroupBy == ByAPIKey:
		return result.Invalid("groupBy", why)
	}
	return nil
}

func (r *Repo) redisStats(ctx context.Context, redis *strategy.Redis, p *plan) (Stats, error) {
	f, err := r.redisCells(ctx, redis, p)
	switch {
	case err != nil:
		return Stats{}, err
	case len(f.cells) > maxCells:
		return Stats{}, result.Invalid("granularity", "the answer has more than %d cells", maxCells)
	}
	names, err := r.namesAnywhere(ctx, p.GroupBy, f.cells)
	if err != nil {
		return Stats{}, err
	}
	s := assemble(*p, f.cells, spans{}, names)
	for _, i := range f.approximate {
		s.Stats[i].Approximate = true
	}
	return s, nil
}

// redisCosts is an analysis of a Redis primary. By account, it is refused where accounts
// have records whose cost Redis does not tell.
func (r *Repo) redisCosts(ctx context.Context, redis *strategy.Redis, q CostQuery, days *plan) (CostAnalysis, error) {
	f, err := r.redisCells(ctx, redis, days)
	if err != nil {
		return CostAnalysis{}, err
	}
	var accounts redisFigures
	if q.GroupBy == ByAccount {
		whole := days.whole(ByAccount)
		if accounts, err = r.redisCells(ctx, redis, &whole); err != nil {
			return CostAnalysis{}, err
		}
	}
	switch {
	case max(len(f.cells), len(accounts.cells)) > maxCells:
		return CostAnalysis{}, result.Invalid("endDate", "the range has more than %d cells", maxCells)
	case accounts.unattributed:
		return CostAnalysis{}, result.Invalid("groupBy", "the legacy layout has no costs by account, and some records of the range are not relaystore's")
	}
	names, err := r.namesAnywhere(ctx, q.GroupBy, accounts.cells)
	if err != nil {
		return CostAnalysis{}, err
	}
	return days.analyse(q.GroupBy, f.cells, accounts.cells, names, f.approximate), nil
}

// namesAnywhere is names of a Redis primary, whose keys and accounts may be in Redis or
// in PostgreSQL.
func (r *Repo) namesAnywhere(ctx context.Context, by GroupBy, cells []db.UsageStatsByKeyRow) (names map[uuid.UUID]string, err error) {
	place, named := map[GroupBy]*strategy.Place{ByAPIKey: r.Keys, ByAccount: r.Accounts}[by]
	redis := place.Redis()
	switch {
	case !named: // PostgreSQL, which may be down, is not asked for nothing
		return nil, nil
	case redis == nil:
		err = r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
			names, err = r.names(ctx, c, by, cells)
			return err
		})
		return names, err
	}
	names = make(map[uuid.UUID]string)
	for _, cell := range cells {
		names[cell.GroupID] = ""
	}
	delete(names, uuid.Nil)
	ids := slices.Collect(maps.Keys(names))
	err = redis.Read(ctx, func(ctx context.Context, client rueidis.Client) error {
		return redisNames(ctx, &redisReader{client: client}, by, ids, names)
	})
	return names, err
}

// accountPlatforms are those whose records are hashes; Bedrock's are JSON.
var accountPlatforms = []string{
	legacy.Claude, legacy.ClaudeConsole, legacy.CCR, legacy.Gemini, legacy.GeminiAPI, legacy.OpenAI, legacy.OpenAIResponses,
	legacy.AzureOpenAI, legacy.Droid,
}

// redisNames fills in the names of keys, or of accounts, which may be of any platform.
func redisNames(ctx context.Context, r *redisReader, by GroupBy, ids []uuid.UUID, into map[uuid.UUID]string) error {
	kinds := []legacy.Name{{Kind: legacy.APIKey}}
	if by == ByAccount {
		kinds = nil
		for _, p := range accountPlatforms {
			kinds = append(kinds, legacy.Name{Kind: legacy.Account, Platform: p})
		}
	}
	for _, kind := range kinds {
		found, err := each(ctx, r, ids, func(id uuid.UUID) rueidis.Completed {
			kind.ID = id.String()
			return r.client.B().Hget().Key(kind.Key()).Field("name").Build()
		}, (*rueidis.RedisMessage).ToString)
		if err != nil {
			return err
		}
		for i, name := range found {
			into[ids[i]] += name
		}
	}
	if by != ByAccount {
		return nil
	}
	found, err := each(ctx, r, ids, func(id uuid.UUID) rueidis.Completed {
		return r.client.B().Get().Key(legacy.Name{Kind: legacy.Account, Platform: legacy.Bedrock, ID: id.String()}.Key()).Build()
	}, (*rueidis.RedisMessage).AsBytes)
	for i, data := range found {
		var account struct{ Name string }
		if json.Unmarshal(data, &account) == nil {
			into[ids[i]] += account.Name
		}
	}
	return err
}

// redisTotals are accounts' sums of all time. Their costs are those of relaystore's own
// records: the layout has none by account.
func redisTotals(ctx context.Context, redis *strategy.Redis, ids []uuid.UUID) (map[uuid.UUID]Totals, error) {
	totals := make(map[uuid.UUID]Totals, len(ids))
	err := redis.Read(ctx, func(ctx context.Context, client rueidis.Client) error {
		r := &redisReader{client: client}
		owners := make([]owned, len(ids))
		for i, id := range ids {
			owners[i] = owned{span{res: legacy.Total}, id.String()}
		}
		figures, err := r.maps(ctx, owners, func(o owned) string {
			return legacy.Name{Kind: legacy.AccountUsage, ID: o.owner, Resolution: legacy.Total}.Key()
		})
		if err != nil {
			return err
		}
		costs, err := r.maps(ctx, owners, func(o owned) string { return accountCostKey(o.owner, legacy.Total, "") })
		for i, fields := range figures {
			if f, _ := legacy.ParseCounter(fields); err == nil && len(fields) > 0 {
				totals[ids[i]] = Totals{Requests: f.Requests, Tokens: f.Total, Cost: result.NewMoney(sumOfCosts(costs[i]))}
			}
		}
		return err
	})
	return totals, err
}

func sumOfCosts(fields map[string]string) decimal.Decimal {
	var sum decimal.Decimal
	for name, text := range fields {
		if len(name) > len("cost:") && name[:len("cost:")] == "cost:" {
			amount, _ := legacy.ParseAmount(text)
			sum = sum.Add(amount)
		}
	}
	return sum
}
