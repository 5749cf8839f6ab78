package importer

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// keyInfo is what memory holds of a key.
type keyInfo struct {
	created time.Time
	legacy  string // its hash, as 32 bytes
	native  string
	deleted bool
	read    bool
	mapped  bool // found in the hash map
}

// keyRecord is a key on its way.
type keyRecord struct {
	entry  Entry
	key    apikeys.Imported
	faults []string
}

// importKeys writes a batch of keys. What the table cannot hold is cut to what it can,
// named, and kept whole beside it.
func (im *run) importKeys(ctx context.Context, entries []Entry) error {
	var records []*keyRecord
	for _, e := range entries {
		if _, isID := parseID(e.ID); !isID {
			if err := im.refuse(ctx, e, "its id is no UUID"); err != nil {
				return err
			}
			continue
		}
		records = append(records, im.keyRecord(e))
	}
	for len(records) > 0 {
		again, err := im.writeKeys(ctx, records)
		if err != nil {
			return err
		}
		records = again
	}
	return nil
}

// writeKeys gives the records that were refused and have been mended.
func (im *run) writeKeys(ctx context.Context, records []*keyRecord) (again []*keyRecord, err error) {
	keys := make([]apikeys.Imported, len(records))
	for i, r := range records {
		keys[i] = r.key
	}
	outcomes, err := im.putKeys(ctx, keys)
	if err != nil {
		return nil, err
	}
	for i, o := range outcomes {
		r := records[i]
		switch {
		case o.Err == nil:
			err = im.keyDone(ctx, r, o)
		case r.mend(o.Err):
			again = append(again, r)
		default:
			err = im.refuse(ctx, r.entry, reason(o.Err))
		}
		if err != nil {
			return nil, err
		}
	}
	return again, nil
}

func (im *run) putKeys(ctx context.Context, keys []apikeys.Imported) ([]apikeys.ImportOutcome, error) {
	if !im.DryRun {
		return im.client.APIKeys.Import(ctx, keys)
	}
	outcomes := make([]apikeys.ImportOutcome, len(keys))
	for i := range keys {
		outcomes[i].Err = keys[i].Check()
	}
	return outcomes, nil
}

// reason tells an error without its code.
func reason(err error) string {
	e := result.From(err)
	if field, ok := e.Details["field"].(string); ok && !strings.Contains(e.Message, field) {
		return field + ": " + e.Message
	}
	return e.Message
}

func (im *run) keyDone(ctx context.Context, r *keyRecord, o apikeys.ImportOutcome) error {
	im.report.Imported[legacy.APIKey]++
	if o.Written {
		im.report.Written++
	}
	id, _ := parseID(r.entry.ID)
	info := im.keys[id]
	info.read, info.created, info.deleted = true, r.key.CreatedAt, !r.key.DeletedAt.IsZero()
	info.legacy, info.native = r.key.LegacyHash, r.key.NativeHash
	im.keys[id] = info
	if o.Newer {
		r.faults = append(r.faults, "has changed here since; left as it is here")
	}
	whole := slices.ContainsFunc(r.faults, func(f string) bool { return strings.HasPrefix(f, "field ") })
	r.faults = append(r.faults, im.dangling(&r.key)...)
	for _, fault := range r.faults {
		if err := im.report.skip(legacy.APIKey, r.entry.ID, fault); err != nil {
			return err
		}
	}
	if whole {
		return im.object(ctx, r.entry)
	}
	return nil
}

// dangling names the bindings whose account or group is not there.
func (im *run) dangling(k *apikeys.Imported) (faults []string) {
	for _, b := range []struct{ field, to string }{
		{"claudeAccountId", k.ClaudeAccountID}, {"claudeConsoleAccountId", k.ClaudeConsoleAccountID},
		{"geminiAccountId", k.GeminiAccountID}, {"openaiAccountId", k.OpenAIAccountID},
		{"azureOpenaiAccountId", k.AzureOpenAIAccountID}, {"bedrockAccountId", k.BedrockAccountID},
		{"droidAccountId", k.DroidAccountID}, {"ccrAccountId", k.CCRAccountID},
	} {
		if b.to == "" {
			continue
		}
		if group, ok := strings.CutPrefix(b.to, "group:"); ok {
			if !im.groups[group] {
				faults = append(faults, b.field+" names a group that is not there")
			}
			continue
		}
		account := strings.TrimPrefix(strings.TrimPrefix(b.to, "responses:"), "api:")
		id, _ := parseID(account)
		if _, ok := im.accounts[id]; !ok {
			faults = append(faults, b.field+" names an account that is not there")
		}
	}
	return faults
}

// keyRecord reads a key's hash.
func (im *run) keyRecord(e Entry) *keyRecord {
	k, faults := legacy.ParseKey(e.ID, e.Fields)
	r := &keyRecord{entry: e}
	if text := e.Fields[legacy.FieldHash]; im.isPlaintext(text) {
		k.NativeHash, k.LegacyHash = apikeys.HashPlaintext(text), legacy.KeyHash(text, im.EncryptionKey)
		faults = slices.DeleteFunc(faults, func(f string) bool { return f == legacy.FieldHash })
		r.entry.Fields = maps.Clone(e.Fields)
		r.entry.Fields[legacy.FieldHash] = k.LegacyHash // what is kept shows no plaintext
	}
	for _, f := range faults {
		r.faults = append(r.faults, "field "+f+" has not the service's form")
	}
	on := k.EnableOpenAIResponsesCodexAdaptation
	r.key = apikeys.Imported{
		NativeHash: k.NativeHash, LegacyHash: k.LegacyHash,
		APIKey: apikeys.APIKey{
			IsActive: k.IsActive && !k.IsDeleted, ActivatedAt: k.Activated(), LastUsedAt: k.LastUsedAt, CreatedAt: k.CreatedAt,
			KeyData: apikeys.KeyData{
				ID: strings.ToLower(e.ID), Name: k.Name, Description: k.Description, Icon: k.Icon, Tags: k.Tags,
				CreatedBy: k.CreatedBy, UserID: k.UserID, UserUsername: k.UserUsername,
				TokenLimit: k.TokenLimit, ConcurrencyLimit: k.ConcurrencyLimit,
				RateLimitWindow: k.RateLimitWindow, RateLimitRequests: k.RateLimitRequests,
				RateLimitCost: result.NewMoney(k.RateLimitCost), DailyCostLimit: result.NewMoney(k.DailyCostLimit),
				TotalCostLimit: result.NewMoney(k.TotalCostLimit), WeeklyOpusCostLimit: result.NewMoney(k.WeeklyOpusCostLimit),
				WeeklyResetDay: int(k.WeeklyResetDay), WeeklyResetHour: int(k.WeeklyResetHour),
				ExpiresAt: k.ExpiresAt, ExpirationMode: k.ExpirationMode, ActivationDays: k.ActivationDays, ActivationUnit: k.ActivationUnit,
				ClaudeAccountID: k.ClaudeAccountID, ClaudeConsoleAccountID: k.ClaudeConsoleAccountID,
				GeminiAccountID: k.GeminiAccountID, OpenAIAccountID: k.OpenAIAccountID, AzureOpenAIAccountID: k.AzureOpenAIAccountID,
				BedrockAccountID: k.BedrockAccountID, DroidAccountID: k.DroidAccountID, CCRAccountID: k.CCRAccountID,
				EnableModelRestriction: k.EnableModelRestriction, RestrictedModels: k.RestrictedModels,
				EnableClientRestriction: k.EnableClientRestriction, AllowedClients: k.AllowedClients,
				EnableOpenAIResponsesCodexAdaptation: &on, EnableOpenAIResponsesPayloadRules: k.EnableOpenAIResponsesPayloadRules,
				OpenAIResponsesPayloadRules: k.OpenAIResponsesPayloadRules, Extra: k.ExtraDocument(),
			},
		},
	}
	for service, rate := range k.ServiceRates {
		if r.key.ServiceRates == nil {
			r.key.ServiceRates = make(map[string]result.Money)
		}
		r.key.ServiceRates[service] = result.NewMoney(rate)
	}
	r.permit(k.Permissions)
	r.date(&k)
	return r
}

// isPlaintext tells the API keys that people have written into an export.
func (im *run) isPlaintext(text string) bool {
	_, isFile := im.source.(*File)
	return isFile && text != "" && !strings.HasSuffix(text, "[REDACTED]") && !isHash.MatchString(text)
}

var isHash = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// permit takes the platforms that there are. A key that may use none of them is
// disabled: it has to grant something here.
func (r *keyRecord) permit(words []string) {
	if len(words) == 0 {
		return // all
	}
	var known []string
	for _, w := range words {
		if slices.Contains(apikeys.Platforms, w) {
			known = append(known, w)
		} else {
			r.faults = append(r.faults, "field permissions has a word that is no platform's")
		}
	}
	if len(known) == 0 {
		r.key.IsActive = false
		r.faults = append(r.faults, "field permissions grants nothing: the key is disabled")
		return
	}
	r.key.Permissions = strings.Join(known, ",")
}

// date gives the key the times that its row needs. UpdatedAt is when the service last
// changed it in any way that it tells of.
func (r *keyRecord) date(k *legacy.Key) {
	restored, _ := legacy.ParseTime(k.Extra["restoredAt"])
	changed := k.CreatedAt
	for _, t := range []time.Time{k.UpdatedAt, k.DeletedAt, restored, k.ActivatedAt} {
		if t.After(changed) {
			changed = t
		}
	}
	if r.key.CreatedAt.IsZero() {
		r.faults = append(r.faults, "field createdAt is missing")
		if r.key.CreatedAt = changed; changed.IsZero() {
			r.key.CreatedAt = time.Unix(0, 0).UTC()
		}
	}
	if r.key.UpdatedAt = changed; changed.IsZero() {
		r.key.UpdatedAt = r.key.CreatedAt
	}
	if k.IsDeleted {
		if r.key.DeletedAt = k.DeletedAt; k.DeletedAt.IsZero() {
			r.key.DeletedAt = r.key.UpdatedAt
		}
	}
}

// mend changes the field that was refused to what its column can hold. What guards the
// key's use cannot be left out: the key is disabled then.
func (r *keyRecord) mend(err error) bool {
	e := result.From(err)
	field, _ := e.Details["field"].(string)
	if !errors.Is(err, result.InvalidQuery) || slices.ContainsFunc(r.faults, func(f string) bool { return strings.HasPrefix(f, "field "+field+" is cut") }) {
		return false
	}
	d := &r.key.KeyData
	switch field {
	case "name", "description", "createdBy", "userId", "userUsername", "tags", "icon":
		cutTexts(d, field)
	case "restrictedModels", "allowedClients":
		d.RestrictedModels, d.AllowedClients = cutList(d.RestrictedModels), cutList(d.AllowedClients)
		r.key.IsActive = false
	case "tokenLimit", "concurrencyLimit", "rateLimitWindow", "rateLimitRequests", "weeklyResetDay", "weeklyResetHour", "activationDays":
		cutNumbers(d)
	case "serviceRates":
		d.ServiceRates = nil
	case "openaiResponsesPayloadRules":
		d.OpenAIResponsesPayloadRules, r.key.IsActive = nil, false
	case "extra":
		d.Extra = nil
	case "expiresAt":
		r.key.IsActive, d.ExpiresAt = false, time.Time{}
	default:
		return false
	}
	r.faults = append(r.faults, "field "+field+" is cut: "+e.Message)
	return true
}

func cutTexts(d *apikeys.KeyData, field string) {
	switch field {
	case "tags":
		d.Tags = cutList(d.Tags)
	case "icon":
		d.Icon = ""
	}
	d.Name, d.Description = cut(d.Name, 255), cut(d.Description, 4096)
	d.CreatedBy, d.UserID, d.UserUsername = cut(d.CreatedBy, 255), cut(d.UserID, 255), cut(d.UserUsername, 255)
}

func cutNumbers(d *apikeys.KeyData) {
	const most = 1<<53 - 1
	for _, n := range []*int64{&d.TokenLimit, &d.ConcurrencyLimit, &d.RateLimitWindow, &d.RateLimitRequests} {
		*n = min(max(*n, 0), most)
	}
	d.WeeklyResetDay, d.WeeklyResetHour = min(max(d.WeeklyResetDay, 1), 7), min(max(d.WeeklyResetHour, 0), 23)
	d.ActivationDays = min(max(d.ActivationDays, 0), 36500)
}

// cut keeps the first characters, without what PostgreSQL cannot hold.
func cut(text string, limit int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit])
	}
	return text
}

func cutList(list []string) []string {
	kept := list[:0:0]
	for _, text := range list {
		if text = cut(text, 128); text != "" && len(kept) < 100 {
			kept = append(kept, text)
		}
	}
	return kept
}

// matchHashes compares the service's map of hashes with what its keys say, and adds
// native hashes that only the map has.
func (im *run) matchHashes(ctx context.Context) error {
	some := false
	err := im.source.Hashes(ctx, func(part map[string]string) error {
		some = true
		for hash, text := range part {
			if err := im.matchHash(ctx, hash, text); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil || !some {
		return err
	}
	im.report.Imported[legacy.HashMap] = im.report.Found[legacy.HashMap]
	for id, info := range im.keys {
		if info.read && !info.deleted && !info.mapped {
			why := "the service does not find the key until its next start: its hash is not in apikey:hash_map"
			if err := im.report.skip(legacy.HashMap, id.String(), why); err != nil {
				return err
			}
		}
	}
	return nil
}

func (im *run) matchHash(ctx context.Context, hash, text string) error {
	id, isID := parseID(text)
	info, known := im.keys[id]
	switch {
	case !isID || !known || !info.read:
		return im.report.skip(legacy.HashMap, text, "a hash names a key that is not there")
	case info.deleted:
		return im.report.skip(legacy.HashMap, text, "a hash names a deleted key")
	case hash == info.legacy:
		info.mapped = true
		im.keys[id] = info
		return nil
	case hash == info.native:
		return nil
	case info.native != "":
		return im.report.skip(legacy.HashMap, text, "a hash names the key that is none of its own")
	}
	return im.addNative(ctx, id, info, hash)
}

func (im *run) addNative(ctx context.Context, id uuid.UUID, info keyInfo, hash string) error {
	info.native = hash
	im.keys[id] = info
	if im.DryRun {
		return nil
	}
	err := im.client.APIKeys.AddNativeHash(ctx, id.String(), hash)
	if errors.Is(err, result.InvalidQuery) || errors.Is(err, result.DuplicateKey) {
		return im.report.skip(legacy.HashMap, id.String(), "a further hash of the key: "+reason(err))
	}
	return err
}
