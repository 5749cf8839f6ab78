package legacy

import "strings"

// Kind says what a key of the legacy Redis holds.
type Kind string

// Kinds. A key of no kind (Foreign) is another program's.
const (
	Foreign Kind = ""
	// Derived keys follow from others: index sets, look-ups, ranks.
	Derived Kind = "derived"
	// Passing keys are worth nothing to another system: locks, sessions, windows.
	Passing Kind = "passing"

	APIKey  Kind = "apikey"
	HashMap Kind = "hash_map" // apikey:hash_map
	OldHash Kind = "old_hash" // apikey_hash:HASH
	TagsAll Kind = "tags"     // apikey:tags:all

	KeyUsage      Kind = "usage"       // by Resolution
	KeyModelUsage Kind = "usage_model" // by Resolution and model
	KeyCost       Kind = "cost"        // rated, by Resolution
	KeyRealCost   Kind = "cost_real"
	KeyOpusCost   Kind = "cost_opus"
	KeyRecords    Kind = "usage_records"
	GlobalUsage   Kind = "usage_global"
	ModelUsage    Kind = "usage_global_model"

	AccountUsage      Kind = "account_usage"
	AccountModelUsage Kind = "account_usage_model"

	Account      Kind = "account"
	Group        Kind = "group"
	GroupMembers Kind = "group_members"
	User         Kind = "user"
	Card         Kind = "card"
	Redemption   Kind = "redemption"
	Config       Kind = "config"
	Admin        Kind = "admin"  // session:admin_credentials
	Events       Kind = "events" // billing:events
)

// Resolution is how long the span of a counter is.
type Resolution string

// Resolutions.
const (
	Hour  Resolution = "hour"
	Day   Resolution = "day"
	Month Resolution = "month"
	Week  Resolution = "week" // of Opus costs alone
	Total Resolution = "total"
)

// Name is a key's name in its parts; those that its kind has are set. Of Foreign,
// Derived, Passing and Config keys, ID is the whole name.
type Name struct {
	Kind       Kind
	Platform   string // of an Account
	ID         string // of the key, the account, the card...
	Model      string // may hold ':'
	Resolution Resolution
	// Bucket is the span as the service writes it, at its own offset: see [Start].
	Bucket string
	// Real tells that an Opus cost is what it cost, not what is charged.
	Real bool
}

// ParseName says what a key holds, by its name alone: whoever reads it looks at the
// type as well.
func ParseName(key string) Name {
	if n, ok := parseSide(key); ok {
		return n
	}
	for _, family := range []struct {
		prefix string
		parse  func(rest string) Name
	}{
		{"apikey:", parseAPIKey},
		{"usage:", parseUsage},
		{"account_usage:", parseAccountUsage},
	} {
		if rest, ok := strings.CutPrefix(key, family.prefix); ok {
			if n := family.parse(rest); n.Kind != Foreign {
				return n
			}
			return Name{Kind: Foreign, ID: key}
		}
	}
	return parseObject(key)
}

// exact are keys that there is one of.
var exact = map[string]Kind{
	"session:admin_credentials":  Admin,
	"billing:events":             Events,
	"apikey:hash_map":            HashMap,
	"apikey:tags:all":            TagsAll,
	"account_groups":             Derived,
	"usage:model:monthly:months": Derived,
	"claude_relay_config":        Config,
	"oem:settings":               Config,
	"webhook_config:default":     Config,
	"system:service_rates":       Config,
	"system:quota_card_limits":   Config,
	"system:migrated:version":    Config,
}

// families are keys whose beginning says it all, in the order in which they count.
var families = []struct {
	prefix string
	kind   Kind
}{
	{"account_balance_script:", Config}, {"account:test_config:", Config},
	{"apikey:idx:", Derived}, {"apikey:set:", Derived}, {"apikey:tag:", Derived}, {"apikey:tmp:", Passing}, {"apikey:index:", Derived},
	{"cost_rank", Derived}, {"account_groups_reverse:", Derived}, {"shared_", Derived}, {"username:", Derived},
	{"quota_card_code:", Derived}, {"quota_cards:", Derived}, {"redemptions:", Derived},
	{"concurrency:", Passing}, {"rate_limit:", Passing}, {"ratelimit:", Passing}, {"sticky_session:", Passing}, {"unified_", Passing},
	{"oauth:", Passing}, {"session:", Passing}, {"user_session:", Passing}, {"system:metrics:", Passing}, {"lock:", Passing}, {"init:", Passing},
	{"temp_unavailable:", Passing}, {"error_history:", Passing}, {"account_balance:", Passing}, {"token_refresh_lock:", Passing},
	{"gemini_session_account_mapping:", Passing}, {"openai_session_account_mapping:", Passing}, {"azure_openai_session_account_mapping:", Passing},
	{"original_session_binding:", Passing}, {"openai_account_sessions:", Passing}, {"gemini_account_sessions:", Passing},
	{"user_msg_queue_", Passing}, {"redeem_card:", Passing}, {"account:test_history:", Passing}, {"account:last_test:", Passing},
	{"account:overload:", Passing}, {"claude_code_headers:", Passing}, {"request_detail:", Passing},
}

// parseSide finds what is not a record or a counter.
func parseSide(key string) (Name, bool) {
	if kind, ok := exact[key]; ok {
		return Name{Kind: kind, ID: key}, true
	}
	if isIndex(key) {
		return Name{Kind: Derived, ID: key}, true
	}
	for _, f := range families {
		if strings.HasPrefix(key, f.prefix) {
			return Name{Kind: f.kind, ID: key}, true
		}
	}
	return Name{}, false
}

// isIndex tells the sets that the service keeps beside its data. A model may be named
// index: a counter's index is known by what follows it.
func isIndex(key string) bool {
	if strings.HasSuffix(key, ":index") || strings.HasSuffix(key, ":empty") {
		return true
	}
	for _, family := range []string{"usage:", "account_usage:"} {
		rest, ok := strings.CutPrefix(key, family)
		if !ok {
			continue
		}
		for _, tier := range []string{"daily", "hourly", "model:daily", "model:hourly", "model:monthly", "keymodel:daily", "keymodel:hourly"} {
			if strings.HasPrefix(rest, tier+":index:") {
				return true
			}
		}
	}
	return false
}

func parseAPIKey(id string) Name {
	if id == "" || strings.Contains(id, ":") {
		return Name{}
	}
	return Name{Kind: APIKey, ID: id}
}

// parseUsage reads what follows "usage:".
func parseUsage(rest string) Name {
	first, more, found := strings.Cut(rest, ":")
	switch {
	case first == "":
		return Name{}
	case !found:
		return Name{Kind: KeyUsage, ID: first, Resolution: Total}
	case first == "cost":
		return parseCost(more)
	case first == "opus":
		return parseOpus(more)
	case first == "global":
		return parseGlobal(more)
	case first == "model":
		n := parseModel(more)
		n.Kind = kindIf(n.Model != "", ModelUsage)
		return n
	case first == "records":
		return plain(KeyRecords, more)
	}
	if id, ok := strings.CutPrefix(more, "model:"); ok {
		n := parseModel(id)
		n.ID, n.Kind = first, kindIf(n.Model != "", KeyModelUsage)
		return n
	}
	return bucketed(KeyUsage, first, more)
}

func kindIf(yes bool, kind Kind) Kind {
	if yes {
		return kind
	}
	return Foreign
}

func plain(kind Kind, id string) Name {
	if id == "" || strings.Contains(id, ":") {
		return Name{}
	}
	return Name{Kind: kind, ID: id}
}

// bucketed reads ID:BUCKET of a resolution's word.
func bucketed(kind Kind, word, rest string) Name {
	res := resolutions[word]
	id, bucket, ok := cutBucket(rest, res)
	if !ok || id == "" || strings.Contains(id, ":") {
		return Name{}
	}
	return Name{Kind: kind, ID: id, Resolution: res, Bucket: bucket}
}

// parseCost reads what follows "usage:cost:".
func parseCost(rest string) Name {
	kind := KeyCost
	if real, ok := strings.CutPrefix(rest, "real:"); ok {
		kind, rest = KeyRealCost, real
	}
	word, more, _ := strings.Cut(rest, ":")
	if word != "total" {
		return bucketed(kind, word, more)
	}
	n := plain(kind, more)
	if n.Kind != Foreign {
		n.Resolution = Total
	}
	return n
}

// parseOpus reads what follows "usage:opus:".
func parseOpus(rest string) Name {
	rest, isReal := strings.CutPrefix(rest, "real:")
	word, more, _ := strings.Cut(rest, ":")
	id, bucket, found := strings.Cut(more, ":")
	switch {
	case id == "":
		return Name{}
	case word == "total" && !found:
		return Name{Kind: KeyOpusCost, ID: id, Resolution: Total, Real: isReal}
	case word == "weekly" && bucket != "" && !strings.Contains(bucket, ":"):
		return Name{Kind: KeyOpusCost, ID: id, Resolution: Week, Bucket: bucket, Real: isReal}
	}
	return Name{}
}

// parseGlobal reads what follows "usage:global:".
func parseGlobal(rest string) Name {
	word, bucket, found := strings.Cut(rest, ":")
	if word == "total" && !found {
		return Name{Kind: GlobalUsage, Resolution: Total}
	}
	if res := resolutions[word]; found && isBucket(bucket, res) {
		return Name{Kind: GlobalUsage, Resolution: res, Bucket: bucket}
	}
	return Name{}
}

// parseModel reads WORD:MODEL:BUCKET or alltime:MODEL.
func parseModel(rest string) Name {
	word, more, _ := strings.Cut(rest, ":")
	if word == "alltime" {
		return Name{Model: more, Resolution: Total}
	}
	res := resolutions[word]
	model, bucket, ok := cutBucket(more, res)
	if !ok {
		return Name{}
	}
	return Name{Model: model, Resolution: res, Bucket: bucket}
}

// parseAccountUsage reads what follows "account_usage:".
func parseAccountUsage(rest string) Name {
	first, more, found := strings.Cut(rest, ":")
	switch {
	case first == "":
		return Name{}
	case !found:
		return Name{Kind: AccountUsage, ID: first, Resolution: Total}
	case first != "model":
		return bucketed(AccountUsage, first, more)
	}
	word, more, _ := strings.Cut(more, ":")
	id, more, _ := strings.Cut(more, ":")
	n := parseModel(word + ":" + more)
	if id == "" || n.Model == "" || n.Resolution == Total {
		return Name{}
	}
	n.ID, n.Kind = id, AccountModelUsage
	return n
}

// records are families of one record an id.
var records = []struct {
	prefix string
	kind   Kind
}{
	{"account_group:", Group}, {"account_group_members:", GroupMembers}, {"user:", User},
	{"quota_card:", Card}, {"redemption:", Redemption}, {"apikey_hash:", OldHash},
}

func parseObject(key string) Name {
	for _, p := range platforms {
		if id, ok := strings.CutPrefix(key, p.prefix); ok && id != "" && !strings.Contains(id, ":") {
			return Name{Kind: Account, Platform: p.word, ID: id}
		}
	}
	for _, r := range records {
		if id, ok := strings.CutPrefix(key, r.prefix); ok && id != "" && !strings.Contains(id, ":") {
			return Name{Kind: r.kind, ID: id}
		}
	}
	return Name{Kind: Foreign, ID: key}
}

// Key gives the key's name: what ParseName reads.
func (n Name) Key() string {
	word := words[n.Resolution]
	switch n.Kind {
	case APIKey:
		return "apikey:" + n.ID
	case KeyUsage:
		return usageKey("usage:", n)
	case AccountUsage:
		return usageKey("account_usage:", n)
	case KeyModelUsage:
		if n.Resolution == Total {
			return "usage:" + n.ID + ":model:alltime:" + n.Model
		}
		return "usage:" + n.ID + ":model:" + word + ":" + n.Model + ":" + n.Bucket
	case AccountModelUsage:
		return "account_usage:model:" + word + ":" + n.ID + ":" + n.Model + ":" + n.Bucket
	case ModelUsage:
		if n.Resolution == Total {
			return "usage:model:alltime:" + n.Model
		}
		return "usage:model:" + word + ":" + n.Model + ":" + n.Bucket
	case KeyCost:
		return "usage:cost:" + costKey(n)
	case KeyRealCost:
		return "usage:cost:real:" + costKey(n)
	case KeyOpusCost:
		if n.Real {
			return "usage:opus:real:" + costKey(n)
		}
		return "usage:opus:" + costKey(n)
	case KeyRecords:
		return "usage:records:" + n.ID
	case GlobalUsage:
		return "usage:global:" + strings.TrimSuffix(word+":"+n.Bucket, ":")
	}
	return n.objectKey()
}

func (n Name) objectKey() string {
	if n.Kind == Account {
		p, _ := platformOf(n.Platform)
		return p.prefix + n.ID
	}
	for _, r := range records {
		if r.kind == n.Kind {
			return r.prefix + n.ID
		}
	}
	return n.ID
}

func usageKey(family string, n Name) string {
	if n.Resolution == Total {
		return family + n.ID
	}
	return family + costKey(n)
}

func costKey(n Name) string {
	if n.Resolution == Total {
		return "total:" + n.ID
	}
	return words[n.Resolution] + ":" + n.ID + ":" + n.Bucket
}
