package usage

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// layoutScript runs commands of a key and its values each: SADD adds to what is there, the
// others replace it. Lua passes on at most some 8,000 values: a hash of more is written in
// pieces, which nobody sees between.
var layoutScript = strategy.NewScript(`
local i = 1
while i <= #ARGV do
	local command, key, ttl, n = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
	if command ~= 'SADD' then redis.call('DEL', key) end
	for first = i + 4, i + 3 + n, 2000 do
		redis.call(command, key, unpack(ARGV, first, math.min(first + 1999, i + 3 + n)))
	end
	if ttl > 0 then redis.call('EXPIRE', key, ttl) end
	i = i + 4 + n
end
return 1
`)

// layoutArgs bounds the arguments of one script, setMembers those of one SADD.
const (
	layoutArgs = 20_000
	setMembers = 1_000
)

// layoutWriter writes holdings as counters.
type layoutWriter struct {
	redis     *strategy.Redis
	keep      keeping
	everybody *holding
	args      []string
	sets      map[string]*memberSet
	err       error // of the first figure that the layout cannot hold
}

type memberSet struct {
	ttl     time.Duration
	members map[string]struct{}
}

func (w *layoutWriter) put(command, key string, ttl time.Duration, values []string) {
	w.args = append(w.args, command, key, strconv.FormatInt(seconds(ttl), 10), strconv.Itoa(len(values)))
	w.args = append(w.args, values...)
}

func (w *layoutWriter) flush(ctx context.Context) error {
	if w.err != nil || len(w.args) == 0 {
		return w.err
	}
	_, err := w.redis.Write(ctx, strategy.Usage, layoutScript, nil, w.args)
	w.args = w.args[:0]
	return err
}

// full flushes what has come together.
func (w *layoutWriter) full(ctx context.Context) error {
	if len(w.args) < layoutArgs {
		return w.err
	}
	return w.flush(ctx)
}

// left is how long a counter that was kept for a while has still to live: it was last
// counted in before its bucket ended.
func (k keeping) left(b bucket, kept time.Duration) time.Duration {
	if b.res == legacy.Total {
		return 0
	}
	start, err := legacy.Start(b.res, b.name, k.zone)
	if err != nil {
		return -1
	}
	_, end := k.around(b.res, start)
	if left := kept - max(0, k.now.Sub(end)); left >= time.Second {
		return left
	}
	return -1
}

// hash writes a counter: figures, and what an import has kept of it otherwise.
func (w *layoutWriter) hash(n legacy.Name, others map[string]string, fill ...func(*fieldSet)) {
	left := w.keep.left(bucket{n.Resolution, n.Bucket}, kept[n.Resolution])
	if left < 0 {
		return
	}
	var f fieldSet
	for _, add := range fill {
		add(&f)
	}
	values := make([]string, 0, 2*len(f.Names))
	for i, name := range f.Names {
		if f.By[i] > maxExact {
			w.err = result.New(result.ConstraintViolation, "a figure is more than a counter in Redis can hold").With("key", n.Key())
		}
		values = append(values, name, strconv.FormatInt(f.By[i], 10))
	}
	for name, text := range others {
		values = append(values, name, text)
	}
	w.put("HSET", n.Key(), left, values)
}

// maxExact is what a counter can count: a whole number of JavaScript's.
const maxExact = 1<<53 - 1

func (w *layoutWriter) cost(n legacy.Name, amount decimal.Decimal) {
	if left := w.keep.left(bucket{n.Resolution, n.Bucket}, costsKept[n.Resolution]); left >= 0 && !amount.IsZero() {
		w.put("SET", n.Key(), left, []string{result.NewMoney(amount).String()})
	}
}

func (w *layoutWriter) index(key, member string, b bucket) {
	left := w.keep.left(b, kept[b.res])
	if left < 0 {
		return
	}
	if w.sets == nil {
		w.sets = make(map[string]*memberSet)
	}
	s := w.sets[key]
	if s == nil {
		s = &memberSet{left, make(map[string]struct{})}
		w.sets[key] = s
	}
	s.members[member] = struct{}{}
}

// owner writes all that the layout has of a key or an account.
func (w *layoutWriter) owner(ctx context.Context, h *holding) error {
	for c, t := range h.cells {
		n := counted{entry: &entry{Record: t.record()}, id: h.id.String(), account: h.id.String(), model: c.model, micro: microOf(t.cost)}
		n.parts, n.longs = cacheParts{t.Ephemeral5m, t.Ephemeral1h}, t.longs
		n.buckets = map[legacy.Resolution]string{c.res: c.name}
		switch {
		case h.scope == ScopeKey && c.model == "":
			w.wholeKey(&n, c.bucket, t)
		case h.scope == ScopeKey:
			w.keyModel(&n, c.bucket, t)
		case h.id == uuid.Nil:
		case c.model == "":
			w.wholeAccount(&n, h, c.bucket, t)
		case c.res != legacy.Total:
			w.accountModel(&n, c.bucket, t)
		}
		if err := w.full(ctx); err != nil {
			return err
		}
	}
	if h.scope == ScopeAccount {
		w.accountCosts(h)
	}
	return w.indexes(ctx)
}

func (t *tally) record() Record {
	return Record{
		RequestCount: t.Requests, InputTokens: t.Input, OutputTokens: t.Output, CacheCreationTokens: t.CacheCreation,
		CacheReadTokens: t.CacheRead, TotalTokens: t.Total, Cost: result.NewMoney(t.cost),
	}
}

func microOf(cost decimal.Decimal) int64 { return cost.Shift(6).Round(0).IntPart() }

func (w *layoutWriter) wholeKey(n *counted, b bucket, t *tally) {
	if b.res == legacy.Total {
		w.hash(n.name(legacy.KeyUsage, b.res), t.others, n.totals)
	} else {
		w.hash(n.name(legacy.KeyUsage, b.res), t.others, n.tokens, n.figures, n.longFigures)
	}
	w.cost(n.name(legacy.KeyCost, b.res), t.cost)
	if b.res == legacy.Day || b.res == legacy.Total {
		w.cost(n.name(legacy.KeyRealCost, b.res), t.cost)
	}
	if b.res != legacy.Month && b.res != legacy.Total {
		w.index(indexKey("usage:", b.res, b.name), n.id, b)
	}
	w.everybody.at(b.res, b.name, "").add(t)
}

func (w *layoutWriter) keyModel(n *counted, b bucket, t *tally) {
	if b.res == legacy.Total {
		w.hash(n.name(legacy.KeyModelUsage, b.res), t.others, n.withoutAll, n.micros)
		return
	}
	w.hash(n.name(legacy.KeyModelUsage, b.res), t.others, n.figures, n.micros)
	w.index(indexKey(modelIndex, b.res, b.name), n.model, b)
	if b.res == legacy.Month {
		w.index(monthsKey, b.name, bucket{legacy.Month, legacy.Bucket(legacy.Month, w.keep.now, w.keep.zone)})
	} else {
		w.index(indexKey("usage:keymodel:", b.res, b.name), n.id+":"+n.model, b)
	}
	w.everybody.at(b.res, b.name, n.model).add(t)
}

// wholeAccount's hours have their models in themselves.
func (w *layoutWriter) wholeAccount(n *counted, h *holding, b bucket, whole *tally) {
	fill := []func(*fieldSet){n.tokens, n.figures, n.longFigures}
	switch b.res {
	case legacy.Total:
		fill = []func(*fieldSet){n.totals}
	case legacy.Hour:
		for c, t := range h.cells {
			if c.bucket == b && c.model != "" {
				fill = append(fill, (&counted{entry: &entry{Record: t.record()}, model: c.model, parts: cacheParts{t.Ephemeral5m, t.Ephemeral1h}}).modelFigures)
			}
		}
	}
	w.hash(n.accountName(legacy.AccountUsage, b.res), whole.others, fill...)
	if b.res == legacy.Hour || b.res == legacy.Day {
		w.index(indexKey("account_usage:", b.res, b.name), n.account, b)
	}
}

func (w *layoutWriter) accountModel(n *counted, b bucket, t *tally) {
	w.hash(n.accountName(legacy.AccountModelUsage, b.res), t.others, n.figures)
	if b.res != legacy.Month {
		w.index(indexKey("account_usage:model:", b.res, b.name), n.account+":"+n.model, b)
	}
}

// accountCosts writes relaystore's own counters, of the requests whose cost is known.
func (w *layoutWriter) accountCosts(h *holding) {
	account := h.id.String()
	if h.id == uuid.Nil {
		account = noAccount
	}
	fields := make(map[bucket][]string)
	for c, t := range h.cells {
		if c.model != "" && t.priced > 0 {
			fields[c.bucket] = append(fields[c.bucket], "cost:"+c.model, result.NewMoney(t.cost).String(), "requests:"+c.model, strconv.FormatInt(t.priced, 10))
		}
	}
	for b, values := range fields {
		if left := w.keep.left(b, kept[b.res]); left >= 0 {
			w.put("HSET", accountCostKey(account, b.res, b.name), left, values)
		}
	}
}

// indexes writes the index sets of what was written since the last time.
func (w *layoutWriter) indexes(ctx context.Context) error {
	for key, s := range w.sets {
		for part := range slices.Chunk(slices.Sorted(maps.Keys(s.members)), setMembers) {
			w.put("SADD", key, s.ttl, part)
		}
		if err := w.full(ctx); err != nil {
			return err
		}
	}
	clear(w.sets)
	return w.full(ctx)
}

// finish writes the counters of everybody.
func (w *layoutWriter) finish(ctx context.Context) error {
	for c, t := range w.everybody.cells {
		n := counted{entry: &entry{Record: t.record()}, model: c.model, parts: cacheParts{t.Ephemeral5m, t.Ephemeral1h}}
		n.buckets = map[legacy.Resolution]string{c.res: c.name}
		switch {
		case c.model != "":
			w.hash(n.name(legacy.ModelUsage, c.res), nil, n.figures)
		case c.res != legacy.Hour:
			w.hash(n.name(legacy.GlobalUsage, c.res), nil, n.figures)
		}
		if err := w.full(ctx); err != nil {
			return err
		}
	}
	return w.flush(ctx)
}
