package legacy

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]Name{
		"apikey:hash_map":                           {Kind: HashMap, ID: "apikey:hash_map"},
		"apikey:idx:all":                            {Kind: Derived, ID: "apikey:idx:all"},
		"apikey:k1":                                 {Kind: APIKey, ID: "k1"},
		"apikey:k1:more":                            {Kind: Foreign, ID: "apikey:k1:more"},
		"usage:k1":                                  {Kind: KeyUsage, ID: "k1", Resolution: Total},
		"usage:hourly:k1:2026-11-22:03":             {Kind: KeyUsage, ID: "k1", Resolution: Hour, Bucket: "2026-11-22:03"},
		"usage:hourly:index:2026-11-22:03":          {Kind: Derived, ID: "usage:hourly:index:2026-11-22:03"},
		"usage:daily:k1:2026-11-22":                 {Kind: KeyUsage, ID: "k1", Resolution: Day, Bucket: "2026-11-22"},
		"usage:daily:k1:2026-11":                    {Kind: Foreign, ID: "usage:daily:k1:2026-11"},
		"usage:cost:real:total:k1":                  {Kind: KeyRealCost, ID: "k1", Resolution: Total},
		"usage:cost:monthly:k1:2026-11":             {Kind: KeyCost, ID: "k1", Resolution: Month, Bucket: "2026-11"},
		"usage:opus:weekly:k1:2026-11-16T00":        {Kind: KeyOpusCost, ID: "k1", Resolution: Week, Bucket: "2026-11-16T00"},
		"usage:opus:real:total:k1":                  {Kind: KeyOpusCost, ID: "k1", Resolution: Total, Real: true},
		"usage:global:total":                        {Kind: GlobalUsage, Resolution: Total},
		"usage:model:daily:a:b:2026-11-22":          {Kind: ModelUsage, Model: "a:b", Resolution: Day, Bucket: "2026-11-22"},
		"usage:k1:model:alltime:a:free":             {Kind: KeyModelUsage, ID: "k1", Model: "a:free", Resolution: Total},
		"usage:k1:model:hourly:a:free:2026-11-22:3": {Kind: Foreign, ID: "usage:k1:model:hourly:a:free:2026-11-22:3"},
		"account_usage:model:hourly:a1:gemini-2.0-flash-exp:free:2026-11-22:03": {
			Kind: AccountModelUsage, ID: "a1", Model: "gemini-2.0-flash-exp:free", Resolution: Hour, Bucket: "2026-11-22:03",
		},
		"account_usage:a1":             {Kind: AccountUsage, ID: "a1", Resolution: Total},
		"claude:account:index":         {Kind: Derived, ID: "claude:account:index"},
		"claude:account:a1":            {Kind: Account, Platform: Claude, ID: "a1"},
		"claude_account:a1":            {Kind: Account, Platform: Claude, ID: "a1"},
		"azure_openai:account:a1":      {Kind: Account, Platform: AzureOpenAI, ID: "a1"},
		"session:admin_credentials":    {Kind: Admin, ID: "session:admin_credentials"},
		"session:0011":                 {Kind: Passing, ID: "session:0011"},
		"account_balance:claude:a1":    {Kind: Passing, ID: "account_balance:claude:a1"},
		"account_balance_script:ccr:1": {Kind: Config, ID: "account_balance_script:ccr:1"},
		"quota_card:c1":                {Kind: Card, ID: "c1"},
		"quota_card_code:CC_1":         {Kind: Derived, ID: "quota_card_code:CC_1"},
		"celery-task-meta-1":           {Kind: Foreign, ID: "celery-task-meta-1"},
		"":                             {Kind: Foreign},
	} {
		require.Equal(t, want, ParseName(key), key)
	}
}

// What is written under a name is found there again, whatever the model's name holds.
func TestNamesAreRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}`).Draw(t, "id")
		model := rapid.StringMatching(`[a-z0-9.]{1,6}(:[a-z0-9-]{1,10}){0,2}`).Draw(t, "model")
		res := rapid.SampledFrom([]Resolution{Hour, Day, Month, Total}).Draw(t, "resolution")
		bucket := map[Resolution]string{Hour: "2026-02-28:23", Day: "2026-02-28", Month: "2026-02"}[res]
		names := []Name{
			{Kind: APIKey, ID: id}, {Kind: KeyRecords, ID: id}, {Kind: Group, ID: id}, {Kind: User, ID: id},
			{Kind: KeyUsage, ID: id, Resolution: res, Bucket: bucket}, {Kind: AccountUsage, ID: id, Resolution: res, Bucket: bucket},
			{Kind: KeyCost, ID: id, Resolution: res, Bucket: bucket}, {Kind: KeyRealCost, ID: id, Resolution: res, Bucket: bucket},
			{Kind: KeyModelUsage, ID: id, Model: model, Resolution: res, Bucket: bucket},
			{Kind: ModelUsage, Model: model, Resolution: res, Bucket: bucket},
			{Kind: KeyOpusCost, ID: id, Resolution: Week, Bucket: "2026-W09", Real: true},
		}
		if res != Total {
			names = append(names, Name{Kind: AccountModelUsage, ID: id, Model: model, Resolution: res, Bucket: bucket},
				Name{Kind: GlobalUsage, Resolution: res, Bucket: bucket})
		}
		for _, p := range platforms[:10] {
			names = append(names, Name{Kind: Account, Platform: p.word, ID: id})
		}
		for _, n := range names {
			require.Equal(t, n, ParseName(n.Key()), n.Key())
		}
	})
}

func FuzzParseName(f *testing.F) {
	f.Add("usage:k1:model:hourly:a:free:2026-11-22:03")
	f.Add("account_usage:model:")
	f.Fuzz(func(t *testing.T, key string) {
		n := ParseName(key)
		require.NotPanics(t, func() { _ = n.Key() })
	})
}
