package usage

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// ToPostgres adds what Redis has counted and PostgreSQL has not, as imported spans: what a
// counter has more than PostgreSQL tells of its bucket, and than finer counters have. All
// of it, where PostgreSQL has nothing. A copy that begins anew finds less to add.
func (m mover) ToPostgres(ctx context.Context, move strategy.Move) error {
	if err := m.compacted(ctx); err != nil {
		return err
	}
	of, err := parts(ctx, move.Redis)
	if err != nil {
		return err
	}
	var done int64
	for _, scope := range scopes {
		for part := range of {
			inRedis, err := m.counters(ctx, move.Redis, scope, part, of)
			if err != nil {
				return err
			}
			for ids := range slices.Chunk(slices.SortedFunc(maps.Keys(inRedis), compareIDs), movedOwners) {
				if err := m.addTo(ctx, move, scope, ids, inRedis); err != nil {
					return err
				}
				done += int64(len(ids))
				move.Progress(done, 0)
			}
		}
	}
	return m.requestsToPostgres(ctx, move)
}

// addTo imports the differences of some owners.
func (m mover) addTo(ctx context.Context, move strategy.Move, scope Scope, ids []uuid.UUID, inRedis map[uuid.UUID]*holding) error {
	cfg := m.Config
	cfg.Primary = move.Postgres // past the fence
	inMove := &Repo{Config: cfg, queries: m.queries, now: m.now}
	keep := m.keeping(move)
	var read []*holding
	for _, id := range ids {
		read = append(read, inRedis[id])
	}
	page, err := m.holdings(ctx, move.Postgres, keep, keep.since(read...), scope, ids)
	if err != nil {
		return err
	}
	here := make(map[uuid.UUID]*holding, len(page))
	for _, h := range page {
		here[h.id] = h
	}
	var spans []ImportedSpan
	for _, id := range ids {
		if here[id] == nil {
			here[id] = newHolding(scope, id)
		}
		d := differ{keeping: keep, had: here[id], has: inRedis[id], carried: newHolding(scope, id)}
		d.build()
		if len(d.pieces) == 0 {
			continue
		}
		before, err := inMove.imported(ctx, scope, []string{id.String()})
		if err != nil {
			return err
		}
		spans = append(spans, d.spans(before)...)
	}
	for part := range slices.Chunk(spans, MaxSpans) {
		if err := inMove.Import(ctx, part).Err(); err != nil {
			return err
		}
	}
	return nil
}

// differ finds what a primary has more of an owner than the other one had.
type differ struct {
	keeping

	had, has *holding
	carried  *holding // what the pieces add to each bucket
	pieces   []*piece
}

// piece is what is new in a bucket of a model.
type piece struct {
	tally

	spot spot
	// micro is what the model's millionths of a dollar have grown by.
	micro int64
}

const unknownModel = "unknown"

func (d *differ) build() {
	for _, res := range finest {
		for _, name := range d.buckets(res) {
			d.bucket(bucket{res, name})
		}
	}
	d.bucket(bucket{legacy.Total, ""})
}

func (d *differ) buckets(res legacy.Resolution) []string {
	names := make(map[string]struct{})
	for c := range d.has.cells {
		if _, err := legacy.Start(res, c.name, d.zone); c.res == res && err == nil {
			names[c.name] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// bucket makes the pieces of one. What it has beyond its models, from versions that did
// not count them, is the unknown model's. One that has less than is told of it was begun
// anew after it had expired: how much of it is new, wider ones tell.
func (d *differ) bucket(b bucket) {
	rest, over := d.more(spot{b, ""})
	var made []*piece
	for _, model := range d.models(b) {
		p, less := d.more(spot{b, model})
		over = over || less
		rest.Counter, less = rest.Minus(&p.Counter)
		over = over || less
		rest.cost = decimal.Max(decimal.Zero, rest.cost.Sub(p.cost))
		made = append(made, p)
	}
	switch {
	case over && b.res != legacy.Total:
		return
	case over: // the models of all time know less than months do
		made = nil
		rest, _ = d.more(spot{b, ""})
	}
	if d.has.scope == ScopeKey {
		rest.cost = decimal.Zero // charge divides it
	}
	made = withRest(made, rest)
	made = slices.DeleteFunc(made, func(p *piece) bool { return blank(p.Counter) && d.isNoise(b, p.cost) })
	if d.has.scope == ScopeKey {
		made = d.charge(b, made)
	}
	for _, p := range made {
		d.carry(p)
	}
	d.pieces = append(d.pieces, made...)
}

// withRest makes what is of no known model a piece, or a part of one.
func withRest(made []*piece, rest *piece) []*piece {
	rest.spot.model = unknownModel
	for _, p := range made {
		if p.spot.model == unknownModel {
			p.add(&rest.tally)
			return made
		}
	}
	return append(made, rest)
}

// models are those of a bucket on either side, but for the unknown one: that has what is
// left.
func (d *differ) models(b bucket) []string {
	models := make(map[string]struct{})
	for _, h := range []*holding{d.has, d.had} {
		for c := range h.cells {
			if c.bucket == b && c.model != "" && c.model != unknownModel {
				models[c.model] = struct{}{}
			}
		}
	}
	return slices.Sorted(maps.Keys(models))
}

// more gives what a counter has that is not told yet; less is that it has less of something.
func (d *differ) more(at spot) (p *piece, less bool) {
	p = &piece{spot: at}
	has := d.has.cells[at]
	if has == nil {
		has = &tally{}
	}
	p.Counter, p.cost, p.micro = has.Counter, has.cost, max(0, has.RatedMicro)
	for _, told := range []*tally{d.had.cells[at], d.carried.cells[at]} {
		if told != nil {
			rest, over := p.Minus(&told.Counter)
			p.Counter, less = rest, less || over
			p.cost, p.micro = p.cost.Sub(told.cost), p.micro-microOf(told.cost)
		}
	}
	p.micro = max(0, p.micro)
	if d.has.scope == ScopeKey && at.model != "" || !has.charged {
		p.cost = decimal.Zero // the layout has none
	}
	if p.cost.IsNegative() {
		less = less || !sameAmount(p.cost, decimal.Zero)
		p.cost = decimal.Zero
	}
	return p, less
}

func blank(c legacy.Counter) bool {
	return c.Requests|c.Input|c.Output|c.CacheCreation|c.CacheRead|c.Total == 0
}

// charge divides what a key's bucket cost more among the models, as the millionths have
// grown, or the tokens; the rest of rounding is the dearest one's.
func (d *differ) charge(b bucket, made []*piece) []*piece {
	whole, _ := d.more(spot{b, ""})
	if !whole.cost.IsPositive() {
		return made
	}
	if len(made) == 0 {
		if d.isNoise(b, whole.cost) {
			return nil
		}
		made = []*piece{{spot: spot{b, unknownModel}}}
	}
	weight := func(p *piece) int64 { return p.micro }
	if !slices.ContainsFunc(made, func(p *piece) bool { return p.micro > 0 }) {
		weight = func(p *piece) int64 { return p.Total }
	}
	var all int64
	dearest := made[0]
	for _, p := range made {
		if all += weight(p); weight(p) > weight(dearest) {
			dearest = p
		}
	}
	rest := whole.cost
	for _, p := range made {
		if all > 0 {
			p.cost = whole.cost.Mul(decimal.NewFromInt(weight(p))).Div(decimal.NewFromInt(all)).RoundFloor(legacy.Decimals)
			rest = rest.Sub(p.cost)
		}
	}
	dearest.cost = dearest.cost.Add(rest)
	return made
}

// isNoise tells that Redis' floats may have left an amount, in a bucket that is one sum of
// some thousand.
func (d *differ) isNoise(b bucket, amount decimal.Decimal) bool {
	whole := d.has.cells[spot{b, ""}]
	return amount.IsZero() || whole != nil && amount.Cmp(whole.cost.Shift(-13)) <= 0
}

// carry makes the wider buckets know of a piece.
func (d *differ) carry(p *piece) {
	d.carried.at(legacy.Total, "", p.spot.model).add(&p.tally)
	d.carried.at(legacy.Total, "", "").add(&p.tally)
	if p.spot.res == legacy.Total {
		return
	}
	start, _ := legacy.Start(p.spot.res, p.spot.name, d.zone) // buckets has checked it
	for _, res := range finest[slices.Index(finest, p.spot.res)+1:] {
		name := legacy.Bucket(res, start, d.zone)
		d.carried.at(res, name, p.spot.model).add(&p.tally)
		d.carried.at(res, name, "").add(&p.tally)
	}
}

var spanResolutions = map[legacy.Resolution]Resolution{
	legacy.Hour: SpanHour, legacy.Day: SpanDay, legacy.Month: SpanMonth, legacy.Total: SpanOpening,
}

// spans adds the pieces to the spans that there are.
func (d *differ) spans(before []ImportedSpan) []ImportedSpan {
	spans := make([]ImportedSpan, 0, len(d.pieces))
	for _, p := range d.pieces {
		s := ImportedSpan{Scope: d.has.scope, ID: d.has.id.String(), Model: p.spot.model, Resolution: spanResolutions[p.spot.res]}
		s.Start, s.End = d.bounds(p.spot.bucket)
		at := slices.IndexFunc(before, func(o ImportedSpan) bool {
			return o.Resolution == s.Resolution && o.Model == s.Model && (o.Resolution == SpanOpening || o.Start.Equal(s.Start))
		})
		if at >= 0 {
			s = before[at]
		}
		s.Requests, s.InputTokens, s.OutputTokens = s.Requests+p.Requests, s.InputTokens+p.Input, s.OutputTokens+p.Output
		s.CacheCreationTokens, s.CacheReadTokens = s.CacheCreationTokens+p.CacheCreation, s.CacheReadTokens+p.CacheRead
		s.TotalTokens = max(s.TotalTokens+p.Total, s.InputTokens+s.OutputTokens)
		s.Cost = s.Cost.Add(result.NewMoney(p.cost))
		spans = append(spans, s)
	}
	return spans
}

// bounds of an opening balance are those of what the layout has no buckets of any more.
func (d *differ) bounds(b bucket) (start, end time.Time) {
	if b.res == legacy.Total {
		oldest, _ := d.around(legacy.Month, d.now.Add(-monthsKept))
		return firstTime, oldest.UTC()
	}
	at, _ := legacy.Start(b.res, b.name, d.zone)
	start, end = d.around(b.res, at)
	return start.UTC(), end.UTC()
}

// requestsToPostgres registers the requestIds that Redis remembers, for as long.
func (m mover) requestsToPostgres(ctx context.Context, move strategy.Move) error {
	return scanNames(ctx, move.Redis, requestPrefix+"*", func(names []string) error {
		var lives []int64
		err := move.Redis.Read(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
			lives, err = each(ctx, &redisReader{client: c}, names, func(key string) rueidis.Completed { return c.B().Ttl().Key(key).Build() }, (*rueidis.RedisMessage).AsInt64)
			return err
		})
		if err != nil {
			return err
		}
		var p db.UsageMoveRegisterParams
		for i, key := range names {
			hash, err := uuid.Parse(strings.TrimPrefix(key, requestPrefix))
			if err == nil && lives[i] > 0 {
				recorded := m.now().UTC().Add(time.Duration(lives[i])*time.Second - m.RequestIDWindow)
				p.Hashes, p.RecordedOn = append(p.Hashes, hash), append(p.RecordedOn, recorded)
			}
		}
		return move.Postgres.Write(ctx, func(ctx context.Context, c db.DBTX) error { return m.queries.UsageMoveRegister(ctx, c, p) })
	})
}
