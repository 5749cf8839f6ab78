package usage

import (
	"context"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/strategy"
)

// redisReads bounds the commands of one round trip.
const redisReads = 1000

// redisReader sums a plan's counters. What it reads is of one moment only where nobody
// writes meanwhile; each counter by itself is.
type redisReader struct {
	client rueidis.Client
	plan   *plan
	spans  []span
	// vague are slots where a cost comes from millionths or is not known, or a counter
	// is damaged.
	vague map[int32]bool
	// unattributed tells that accounts have records whose cost Redis does not tell.
	unattributed bool
}

// counter is one hash of figures.
type counter struct {
	span

	owner, model string // a key or an account; "" is everybody
}

func (c counter) key(kind legacy.Kind) string {
	return legacy.Name{Kind: kind, ID: c.owner, Model: c.model, Resolution: c.res, Bucket: c.bucket}.Key()
}

// owned is what the counters of one owner in one span share: a cost.
type owned struct {
	span

	owner string
}

func (r *redisReader) cells(ctx context.Context) ([]db.UsageStatsByKeyRow, error) {
	read := r.keyCells
	if r.plan.account != uuid.Nil || r.plan.GroupBy == ByAccount {
		read = r.accountCells
	}
	rows, err := read(ctx)
	if model := r.plan.Model; model != "" { // late: a cost is divided among all models
		rows = slices.DeleteFunc(rows, func(row db.UsageStatsByKeyRow) bool { return row.Model != countedModel(model) })
	}
	return rows, err
}

// keyCells sums keys' counters by model, with their costs.
func (r *redisReader) keyCells(ctx context.Context) ([]db.UsageStatsByKeyRow, error) {
	counters, found, err := r.figures(ctx, legacy.KeyModelUsage, text(r.plan.key))
	if err != nil || len(counters) > maxCells {
		return make([]db.UsageStatsByKeyRow, len(counters)), err
	}
	owners, of := byOwner(counters)
	costs, err := r.strings(ctx, owners, func(o owned) string {
		return legacy.Name{Kind: legacy.KeyCost, ID: o.owner, Resolution: o.res, Bucket: o.bucket}.Key()
	})
	if err != nil {
		return nil, err
	}
	rows := make([]db.UsageStatsByKeyRow, len(counters))
	for i, o := range owners {
		shares := r.divide(o.slot, costs[i], of[o], found)
		for n, at := range of[o] {
			rows[at] = row(counters[at], found[at], shares[n])
			if r.plan.GroupBy == ByAPIKey {
				rows[at].GroupID = parsed(o.owner)
			}
		}
	}
	return rows, nil
}

func byOwner(counters []counter) (owners []owned, of map[owned][]int) {
	of = make(map[owned][]int)
	for i, c := range counters {
		o := owned{c.span, c.owner}
		if of[o] == nil {
			owners = append(owners, o)
		}
		of[o] = append(of[o], i)
	}
	return owners, of
}

// divide gives each of an owner's models its part of what the owner was charged: the
// millionths say in which proportion. Where the amount has expired, they are all there is.
func (r *redisReader) divide(slot int32, amount string, at []int, found []legacy.Counter) []decimal.Decimal {
	parts := make([]int64, len(at))
	largest, tokens := 0, 0
	var all int64
	for n, i := range at {
		parts[n] = max(found[i].RatedMicro, 0)
		all += parts[n]
		if parts[n] > parts[largest] {
			largest = n
		}
		if found[i].Total > found[at[tokens]].Total {
			tokens = n
		}
	}
	total, known := legacy.ParseAmount(amount)
	if !known {
		total = decimal.New(all, -6)
		if all > 0 || amount != "" {
			r.vague[slot] = true
		}
	}
	if all == 0 {
		largest = tokens
	}
	shares, rest := make([]decimal.Decimal, len(at)), total
	for n, part := range parts {
		if all > 0 {
			shares[n] = total.Mul(decimal.NewFromInt(part)).DivRound(decimal.NewFromInt(all), legacy.Decimals)
		}
		rest = rest.Sub(shares[n])
	}
	shares[largest] = shares[largest].Add(rest)
	return shares
}

// accountCells sums accounts' counters by model, and those of no account where the plan
// is by account: what everybody's have more.
func (r *redisReader) accountCells(ctx context.Context) ([]db.UsageStatsByKeyRow, error) {
	counters, found, err := r.figures(ctx, legacy.AccountModelUsage, text(r.plan.account))
	if err != nil || len(counters) > maxCells {
		return make([]db.UsageStatsByKeyRow, len(counters)), err
	}
	if r.plan.account == uuid.Nil {
		without, figures, err := r.withoutAccount(ctx, counters, found)
		if err != nil {
			return nil, err
		}
		counters, found = append(counters, without...), append(found, figures...)
		if len(counters) > maxCells {
			return make([]db.UsageStatsByKeyRow, len(counters)), nil
		}
	}
	owners, of := byOwner(counters)
	costs, err := r.maps(ctx, owners, func(o owned) string {
		account := o.owner
		if account == "" {
			account = noAccount
		}
		return accountCostKey(account, o.res, o.bucket)
	})
	if err != nil {
		return nil, err
	}
	rows := make([]db.UsageStatsByKeyRow, len(counters))
	for i, o := range owners {
		for _, at := range of[o] {
			rows[at] = row(counters[at], found[at], r.attributed(counters[at], found[at], costs[i]))
			if r.plan.GroupBy == ByAccount {
				rows[at].GroupID = parsed(o.owner)
			}
		}
	}
	return rows, nil
}

// withoutAccount gives what is left of everybody's counters.
func (r *redisReader) withoutAccount(ctx context.Context, counters []counter, found []legacy.Counter) ([]counter, []legacy.Counter, error) {
	without, figures, err := r.figures(ctx, legacy.ModelUsage, "")
	if err != nil || len(without) > maxCells {
		return without, nil, err
	}
	at := make(map[counter]int, len(without))
	for i, c := range without {
		at[c] = i
	}
	for i, c := range counters {
		if n, known := at[counter{span: c.span, model: c.model}]; known {
			figures[n] = less(figures[n], found[i])
		}
	}
	var rest []counter
	var left []legacy.Counter
	for i, c := range without {
		if figures[i].Requests != 0 || figures[i].Total != 0 {
			rest, left = append(rest, c), append(left, figures[i])
		}
	}
	return rest, left, nil
}

func less(a, b legacy.Counter) legacy.Counter {
	a.Requests -= b.Requests
	a.Input -= b.Input
	a.Output -= b.Output
	a.CacheCreation -= b.CacheCreation
	a.CacheRead -= b.CacheRead
	a.Total -= b.Total
	return a
}

// attributed gives an account's cost by a model, from what relaystore's own records have
// left; the service's leave none.
func (r *redisReader) attributed(c counter, found legacy.Counter, costs map[string]string) decimal.Decimal {
	requests, _ := strconv.ParseInt(costs["requests:"+c.model], 10, 64)
	if requests != found.Requests {
		r.vague[c.slot], r.unattributed = true, true
	}
	amount, _ := legacy.ParseAmount(costs["cost:"+c.model])
	return amount
}

func row(c counter, f legacy.Counter, cost decimal.Decimal) db.UsageStatsByKeyRow {
	return db.UsageStatsByKeyRow{
		Slot: c.slot, Model: c.model, Requests: f.Requests, InputTokens: f.Input, OutputTokens: f.Output,
		CacheCreationTokens: f.CacheCreation, CacheReadTokens: f.CacheRead, TotalTokens: f.Total, Cost: dbtype.Decimal{Decimal: cost},
	}
}

// parsed is for grouping: ids that relaystore did not make need not be UUIDs.
func parsed(id string) uuid.UUID {
	u, _ := uuid.Parse(id)
	return u
}

// figures finds and reads counters. Where they are more than maxCells, it only finds them.
func (r *redisReader) figures(ctx context.Context, kind legacy.Kind, owner string) ([]counter, []legacy.Counter, error) {
	asked, err := r.members(ctx, kind, owner)
	if err != nil || len(asked) > maxCells {
		return asked, nil, err
	}
	return r.hashes(ctx, asked, kind)
}

// hashes reads the counters that are there. A damaged figure counts as nothing and makes
// its slot vague.
func (r *redisReader) hashes(ctx context.Context, asked []counter, kind legacy.Kind) (counters []counter, found []legacy.Counter, err error) {
	raw, err := each(ctx, r, asked, func(c counter) rueidis.Completed {
		return r.client.B().Hgetall().Key(c.key(kind)).Build()
	}, (*rueidis.RedisMessage).AsStrMap)
	for i, fields := range raw {
		if len(fields) == 0 {
			continue
		}
		f, faults := legacy.ParseCounter(fields)
		if all, err := strconv.ParseInt(fields["allTokens"], 10, 64); err == nil && all >= 0 {
			f.Total = all // what the record said, also if its parts are more
		}
		if len(faults) > 0 {
			r.vague[asked[i].slot] = true
		}
		counters, found = append(counters, asked[i]), append(found, f)
	}
	return counters, found, err
}

func (r *redisReader) strings(ctx context.Context, owners []owned, key func(owned) string) ([]string, error) {
	return each(ctx, r, owners, func(o owned) rueidis.Completed {
		return r.client.B().Get().Key(key(o)).Build()
	}, (*rueidis.RedisMessage).ToString)
}

func (r *redisReader) maps(ctx context.Context, owners []owned, key func(owned) string) ([]map[string]string, error) {
	return each(ctx, r, owners, func(o owned) rueidis.Completed {
		return r.client.B().Hgetall().Key(key(o)).Build()
	}, (*rueidis.RedisMessage).AsStrMap)
}

// each reads one thing of each, the zero value where there is none, in round trips of
// redisReads commands.
func each[K, V any](ctx context.Context, r *redisReader, of []K, command func(K) rueidis.Completed, read func(*rueidis.RedisMessage) (V, error)) ([]V, error) {
	out := make([]V, 0, len(of))
	for chunk := range slices.Chunk(of, redisReads) {
		cmds := make(rueidis.Commands, len(chunk))
		for i, k := range chunk {
			cmds[i] = command(k)
		}
		for _, reply := range r.client.DoMulti(ctx, cmds...) {
			message, err := reply.ToMessage()
			var v V
			if err == nil {
				v, err = read(&message)
			}
			if err != nil && !rueidis.IsRedisNil(err) && !strategy.WrongType(err) {
				return nil, err
			}
			out = append(out, v)
		}
	}
	return out, nil
}
