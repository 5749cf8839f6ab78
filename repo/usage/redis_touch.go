package usage

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/strategy"
)

// touch is what a record changes in the legacy layout, for [recordScript]. Its keys are
// collected in the order in which the script goes through it.
type touch struct {
	Fields   []*fieldSet `json:"fields"`
	Hashes   [][2]int64  `json:"hashes"`   // a field set's place, a TTL in seconds
	Costs    []int64     `json:"costs"`    // TTLs
	Accounts [][3]any    `json:"accounts"` // a model, requests, a TTL
	Sets     [][2]any    `json:"sets"`     // a member, a TTL
	Week     *week       `json:"week,omitempty"`

	hashKeys, costKeys, accountKeys, setKeys []string
}

// fieldSet is a kind of counter: what is added to each of its fields.
type fieldSet struct {
	Names []string `json:"names"`
	By    []int64  `json:"by"`
}

// week is where a record stands in every week that a key may count by: the script knows
// the day and the hour at which the key's begins.
type week struct {
	ID string `json:"id"`
	// Day is 1 for Monday to 7, Dates that of the record and of the seven days before.
	Day   int      `json:"day"`
	Hour  int      `json:"hour"`
	Dates []string `json:"dates"`
	TTL   int64    `json:"ttl"`
}

func (f *fieldSet) add(name string, by int64) {
	f.Names, f.By = append(f.Names, name), append(f.By, by)
}

// set starts a field set.
func (t *touch) set(fill ...func(*fieldSet)) int64 {
	f := &fieldSet{}
	for _, add := range fill {
		add(f)
	}
	t.Fields = append(t.Fields, f)
	return int64(len(t.Fields) - 1)
}

func (t *touch) hash(set int64, n legacy.Name) {
	t.Hashes = append(t.Hashes, [2]int64{set, seconds(kept[n.Resolution])})
	t.hashKeys = append(t.hashKeys, n.Key())
}

func (t *touch) cost(n legacy.Name) {
	t.Costs = append(t.Costs, seconds(costsKept[n.Resolution]))
	t.costKeys = append(t.costKeys, n.Key())
}

func (t *touch) index(key, member string, ttl time.Duration) {
	t.Sets = append(t.Sets, [2]any{member, seconds(ttl)})
	t.setKeys = append(t.setKeys, key)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// spanned are the resolutions that have buckets.
var spanned = []legacy.Resolution{legacy.Day, legacy.Month, legacy.Hour}

// counted is a record in the layout's terms.
type counted struct {
	*entry

	id, account, model string
	long               bool
	parts              cacheParts
	longs              longUse
	micro              int64 // millionths of a dollar, rounded as the service does
	buckets            map[legacy.Resolution]string
	local              time.Time
}

// longContext is from how many tokens on a request to a [1m] model counts as long.
const longContext = 200_000

func newCounted(e *entry, zone *time.Location) counted {
	c := counted{entry: e, id: e.key.String(), account: text(e.account), model: countedModel(e.Model), local: e.Timestamp.In(zone)}
	c.long = strings.Contains(e.Model, "[1m]") && e.InputTokens+e.CacheCreationTokens+e.CacheReadTokens > longContext
	if c.long {
		c.longs = longUse{c.InputTokens, c.OutputTokens, c.RequestCount}
	}
	c.micro = e.Cost.Decimal().Shift(6).Add(decimal.New(5, -1)).Floor().IntPart()
	c.buckets = make(map[legacy.Resolution]string, len(spanned))
	for _, res := range spanned {
		c.buckets[res] = legacy.Bucket(res, e.Timestamp, zone)
	}
	return c
}

// call makes the script's call for an entry.
func redisCall(e *entry, zone *time.Location, window time.Duration, mustExist bool) strategy.Call {
	c := newCounted(e, zone)
	t := c.touch()
	todo, _ := json.Marshal(t) // of texts and numbers
	keys := slices.Concat([]string{requestKey(e), legacy.Name{Kind: legacy.APIKey, ID: c.id}.Key()}, t.hashKeys, t.costKeys, t.accountKeys, t.setKeys,
		[]string{legacy.Name{Kind: legacy.KeyRecords, ID: c.id}.Key(), eventsKey})
	if e.RequestID == "" {
		window = ownRepeats
	}
	must := "0"
	if mustExist {
		must = "1"
	}
	return strategy.Call{Keys: keys, Args: []string{
		e.id.String(), strconv.FormatInt(seconds(window), 10), must, string(todo), e.Cost.String(), string(c.listed()), string(c.event()),
	}}
}

func (c *counted) touch() *touch {
	t := &touch{Costs: []int64{}, Accounts: [][3]any{}}
	figures := t.set(c.figures)
	whole := t.set(c.tokens, c.figures)
	daily := whole
	if c.long {
		daily = t.set(c.tokens, c.figures, c.longFigures)
	}
	totals := t.set(c.totals)
	t.hash(totals, c.name(legacy.KeyUsage, legacy.Total))
	t.hash(figures, c.name(legacy.GlobalUsage, legacy.Total))
	t.hash(t.set(c.withoutAll, c.micros), c.name(legacy.KeyModelUsage, legacy.Total))
	priced := t.set(c.figures, c.micros)
	for _, res := range spanned {
		own := whole
		if res == legacy.Day {
			own = daily
		}
		t.hash(own, c.name(legacy.KeyUsage, res))
		t.hash(priced, c.name(legacy.KeyModelUsage, res))
		t.hash(figures, c.name(legacy.ModelUsage, res))
		if res != legacy.Hour {
			t.hash(figures, c.name(legacy.GlobalUsage, res))
		}
		c.keyIndexes(t, res)
	}
	t.index(monthsKey, c.buckets[legacy.Month], monthsKept)
	if c.account != "" {
		t.hash(totals, c.accountName(legacy.AccountUsage, legacy.Total))
		c.accountTouch(t, figures, daily, whole)
	}
	c.costs(t)
	return t
}

func (c *counted) name(kind legacy.Kind, res legacy.Resolution) legacy.Name {
	return legacy.Name{Kind: kind, ID: c.id, Model: c.model, Resolution: res, Bucket: c.buckets[res]}
}

func (c *counted) accountName(kind legacy.Kind, res legacy.Resolution) legacy.Name {
	n := c.name(kind, res)
	n.ID = c.account
	return n
}

func (c *counted) keyIndexes(t *touch, res legacy.Resolution) {
	bucket, ttl := c.buckets[res], kept[res]
	t.index(indexKey("usage:model:", res, bucket), c.model, ttl)
	if res == legacy.Month {
		return // the layout has no others of months
	}
	t.index(indexKey("usage:", res, bucket), c.id, ttl)
	t.index(indexKey("usage:keymodel:", res, bucket), c.id+":"+c.model, ttl)
}

func (c *counted) accountTouch(t *touch, figures, daily, whole int64) {
	for _, res := range spanned {
		own := map[legacy.Resolution]int64{legacy.Day: daily, legacy.Month: whole}[res]
		if res == legacy.Hour {
			own = t.set(c.tokens, c.figures, c.modelFigures)
		}
		t.hash(own, c.accountName(legacy.AccountUsage, res))
		t.hash(figures, c.accountName(legacy.AccountModelUsage, res))
		if res != legacy.Month {
			t.index(indexKey("account_usage:", res, c.buckets[res]), c.account, kept[res])
			t.index(indexKey("account_usage:model:", res, c.buckets[res]), c.account+":"+c.model, kept[res])
		}
	}
}

// costs adds what the cost goes to. A record that cost nothing leaves no trace there,
// as the service has it.
func (c *counted) costs(t *touch) {
	account := c.account
	if account == "" {
		account = noAccount
	}
	for _, res := range append(spanned, legacy.Total) {
		t.Accounts = append(t.Accounts, [3]any{c.model, c.RequestCount, seconds(kept[res])})
		t.accountKeys = append(t.accountKeys, accountCostKey(account, res, c.buckets[res]))
	}
	if c.Cost.IsZero() {
		return
	}
	for _, res := range append(spanned, legacy.Total) {
		t.cost(c.name(legacy.KeyCost, res))
		if res == legacy.Day || res == legacy.Total {
			t.cost(c.name(legacy.KeyRealCost, res))
		}
	}
	if c.ofWeek() {
		t.Week = c.week()
	}
}

// ofWeek tells whether the cost counts to the service's weekly limit of Claude models.
func (c *counted) ofWeek() bool {
	official := c.AccountType == "claude-official" || c.AccountType == "claude-console" || c.AccountType == "ccr"
	return official && strings.Contains(strings.ToLower(c.model), "claude")
}

func (c *counted) week() *week {
	w := &week{ID: c.id, Day: int(c.local.Weekday()), Hour: c.local.Hour(), TTL: seconds(weekCostsKept)}
	if w.Day == 0 {
		w.Day = 7
	}
	for back := range 8 {
		w.Dates = append(w.Dates, c.local.AddDate(0, 0, -back).Format(time.DateOnly))
	}
	return w
}
