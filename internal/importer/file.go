package importer

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// maxFile bounds an export, which is read into memory.
const maxFile = 1 << 30

// File is an export, as the keys that the service would have it in.
type File struct {
	entries map[string]Entry
	// problems are what could not become an entry.
	problems []Skipped
	open     bool // secrets are plain
}

// OpenFile reads an export: JSON of data-transfer.js ("1.0") or of
// data-transfer-enhanced.js ("2.0"), or the answer of /admin/sync/export-accounts. CSV,
// which loses what it prints, is InvalidQuery, and so is a sanitized export.
func OpenFile(path string) (*File, error) {
	in, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	doc, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(doc) > maxFile:
		return nil, result.Invalid("file", "larger than %d bytes", maxFile)
	}
	return readFile(doc)
}

func readFile(doc []byte) (*File, error) {
	text := strings.TrimLeft(strings.TrimPrefix(string(doc), "\ufeff"), " \t\r\n")
	if !strings.HasPrefix(text, "{") {
		if first, _, _ := strings.Cut(text, "\n"); strings.Contains(first, ",") {
			return nil, result.Invalid("file", "a CSV export has lost what an import needs; export as JSON")
		}
		return nil, result.Invalid("file", "not a JSON object")
	}
	var head struct {
		Metadata *struct {
			Version   string `json:"version"`
			Sanitized bool   `json:"sanitized"`
			Decrypted bool   `json:"decrypted"`
		} `json:"metadata"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal([]byte(text), &head); err != nil {
		return nil, result.Invalid("file", "not valid JSON")
	}
	f := &File{entries: make(map[string]Entry)}
	switch m := head.Metadata; {
	case m == nil:
		return f, f.readSync(head.Data)
	case m.Sanitized:
		return nil, result.Invalid("file", "the export is sanitized: it has neither hashes nor secrets")
	case m.Version != "1.0" && m.Version != "2.0":
		return nil, result.Invalid("file", "an export of version %.20q; 1.0 and 2.0 are known", m.Version)
	default:
		f.open = m.Decrypted
	}
	return f, f.readTransfer(head.Data)
}

var errFile = result.Invalid("file", "not an export of the legacy service")

func (f *File) readTransfer(doc json.RawMessage) error {
	var data struct {
		APIKeys        []json.RawMessage          `json:"apiKeys"`
		ClaudeAccounts []json.RawMessage          `json:"claudeAccounts"`
		GeminiAccounts []json.RawMessage          `json:"geminiAccounts"`
		Admins         []json.RawMessage          `json:"admins"`
		Global         map[string]json.RawMessage `json:"globalModelStats"`
	}
	if json.Unmarshal(doc, &data) != nil {
		return errFile
	}
	for _, key := range data.APIKeys {
		f.key(key)
	}
	for _, a := range data.ClaudeAccounts {
		f.record(legacy.Name{Kind: legacy.Account, Platform: legacy.Claude}, a)
	}
	for _, a := range data.GeminiAccounts {
		f.record(legacy.Name{Kind: legacy.Account, Platform: legacy.Gemini}, a)
	}
	if len(data.Admins) > 0 {
		f.problem(legacy.Admin, "", "an administrator, whom no import can take from an export")
	}
	f.global(data.Global)
	return nil
}

func (f *File) problem(kind legacy.Kind, id, why string) {
	f.problems = append(f.problems, Skipped{string(kind), id, why})
}

func (f *File) put(n legacy.Name, e Entry) {
	e.Key = n.Key()
	e.Name = n
	e.Type = wanted(n)
	f.entries[e.Key] = e
}

// record takes an element that is a hash of the service's Redis.
func (f *File) record(n legacy.Name, doc json.RawMessage) (id string, members map[string]json.RawMessage) {
	if json.Unmarshal(doc, &members) != nil {
		f.problem(n.Kind, "", "an element is no JSON object")
		return "", nil
	}
	fields := make(map[string]string, len(members))
	for name, raw := range members {
		fields[name] = legacy.TextOf(raw)
	}
	n.ID = fields["id"]
	if n.ID == "" || strings.Contains(n.ID, ":") {
		f.problem(n.Kind, cut(n.ID, 100), "an element without an id")
		return "", nil
	}
	delete(fields, "usageStats")
	f.put(n, Entry{Fields: fields})
	return n.ID, members
}

// key takes an API key with what the export says of its usage.
func (f *File) key(doc json.RawMessage) {
	id, members := f.record(legacy.Name{Kind: legacy.APIKey}, doc)
	stats, ok := members["usageStats"]
	if !ok || string(stats) == "null" {
		return
	}
	if err := f.stats(id, stats); err != nil {
		f.problem(legacy.KeyUsage, id, "usageStats is not what an export has")
	}
}

// counters are figures by bucket.
type counters map[string]map[string]json.RawMessage

func (f *File) stats(id string, doc json.RawMessage) error {
	var s struct {
		Total   map[string]json.RawMessage `json:"total"`
		Daily   counters                   `json:"daily"`
		Monthly counters                   `json:"monthly"`
		Hourly  counters                   `json:"hourly"`
		Models  map[string]struct {
			Daily   counters `json:"daily"`
			Monthly counters `json:"monthly"`
		} `json:"models"`
		CostTotal   json.RawMessage            `json:"costTotal"`
		CostDaily   map[string]json.RawMessage `json:"costDaily"`
		CostMonthly map[string]json.RawMessage `json:"costMonthly"`
		CostHourly  map[string]json.RawMessage `json:"costHourly"`
		OpusTotal   json.RawMessage            `json:"opusTotal"`
		OpusWeekly  map[string]json.RawMessage `json:"opusWeekly"`
	}
	if err := json.Unmarshal(doc, &s); err != nil {
		return err
	}
	key := legacy.Name{Kind: legacy.KeyUsage, ID: id}
	if len(s.Total) > 0 {
		f.counter(key, legacy.Total, "", s.Total)
	}
	f.tiers(key, map[legacy.Resolution]counters{legacy.Hour: s.Hourly, legacy.Day: s.Daily, legacy.Month: s.Monthly})
	for model, m := range s.Models {
		f.tiers(legacy.Name{Kind: legacy.KeyModelUsage, ID: id, Model: model}, map[legacy.Resolution]counters{legacy.Day: m.Daily, legacy.Month: m.Monthly})
	}
	cost := legacy.Name{Kind: legacy.KeyCost, ID: id}
	for res, tier := range map[legacy.Resolution]map[string]json.RawMessage{
		legacy.Total: {"": s.CostTotal}, legacy.Hour: s.CostHourly, legacy.Day: s.CostDaily, legacy.Month: s.CostMonthly,
	} {
		f.costs(cost, res, tier)
	}
	opus := legacy.Name{Kind: legacy.KeyOpusCost, ID: id}
	f.costs(opus, legacy.Total, map[string]json.RawMessage{"": s.OpusTotal})
	f.costs(opus, legacy.Week, s.OpusWeekly)
	return nil
}

func (f *File) tiers(n legacy.Name, all map[legacy.Resolution]counters) {
	for res, tier := range all {
		for bucket, fields := range tier {
			f.counter(n, res, bucket, fields)
		}
	}
}

func (f *File) counter(n legacy.Name, res legacy.Resolution, bucket string, members map[string]json.RawMessage) {
	n.Resolution, n.Bucket = res, bucket
	fields := make(map[string]string, len(members))
	for name, raw := range members {
		fields[name] = legacy.TextOf(raw)
	}
	f.put(n, Entry{Fields: fields})
}

func (f *File) costs(n legacy.Name, res legacy.Resolution, tier map[string]json.RawMessage) {
	for bucket, raw := range tier {
		if text := legacy.TextOf(raw); len(raw) > 0 && text != "" {
			n.Resolution, n.Bucket = res, bucket
			f.put(n, Entry{Text: text})
		}
	}
}

// global takes the figures of models over all keys.
func (f *File) global(all map[string]json.RawMessage) {
	for member, res := range map[string]legacy.Resolution{"daily": legacy.Day, "monthly": legacy.Month, "hourly": legacy.Hour} {
		var tier map[string]counters
		if json.Unmarshal(all[member], &tier) == nil {
			for bucket, models := range tier {
				for model, fields := range models {
					f.counter(legacy.Name{Kind: legacy.ModelUsage, Model: model}, res, bucket, fields)
				}
			}
		}
	}
	for member, res := range map[string]legacy.Resolution{"globalDaily": legacy.Day, "globalMonthly": legacy.Month} {
		var tier counters
		if json.Unmarshal(all[member], &tier) == nil {
			f.tiers(legacy.Name{Kind: legacy.GlobalUsage}, map[legacy.Resolution]counters{res: tier})
		}
	}
	var total map[string]json.RawMessage
	if json.Unmarshal(all["globalTotal"], &total) == nil && len(total) > 0 {
		f.counter(legacy.Name{Kind: legacy.GlobalUsage}, legacy.Total, "", total)
	}
}

// Names gives all of them, in a fixed order.
func (f *File) Names(_ context.Context, yield func([]string) error) error {
	for part := range slices.Chunk(slices.Sorted(maps.Keys(f.entries)), scanBatch) {
		if err := yield(part); err != nil {
			return err
		}
	}
	return nil
}

// Read gives entries.
func (f *File) Read(_ context.Context, keys []string) ([]Entry, error) {
	entries := make([]Entry, 0, len(keys))
	for _, key := range keys {
		if e, ok := f.entries[key]; ok {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// Hashes gives none: an export has no map.
func (f *File) Hashes(context.Context, func(map[string]string) error) error { return nil }

// Events gives none.
func (f *File) Events(context.Context, func([]string) error) error { return nil }

// Opener takes what is not sealed as plain where the export says that it is; some of it
// may be sealed all the same, since the service leaves what it could not open.
func (f *File) Opener(c *legacy.Cipher) legacy.Opener {
	if f.open {
		return plainOpener{c}
	}
	return c
}

type plainOpener struct{ *legacy.Cipher }

func (p plainOpener) Open(platform, text string) (string, error) {
	opened, err := p.Cipher.Open(platform, text)
	if errors.Is(err, legacy.ErrNotSealed) {
		return text, nil
	}
	return opened, err
}
