package importer_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/importer"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

func (d *deployment) importFile(t *testing.T, doc string) (report, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup")
	require.NoError(t, os.WriteFile(path, []byte(doc), 0o600))
	source, err := importer.OpenFile(path)
	if err != nil {
		return report{}, err
	}
	return d.importWith(t, source, importer.Options{EncryptionKey: fixtureKey, OffsetHours: 8})
}

// transfer makes an export of version 2.0 of what the service holds.
func (s *service) transfer(t *testing.T, version string, decrypted bool) string {
	t.Helper()
	var keys, accounts []any
	for name, fields := range s.hashes {
		switch n := legacy.ParseName(name); n.Kind {
		case legacy.APIKey:
			element := make(map[string]any)
			for field, text := range fields {
				element[field] = text
			}
			element["usageStats"] = s.usageStats(n.ID)
			keys = append(keys, element)
		case legacy.Account:
			fields = maps.Clone(fields)
			if decrypted {
				var err error
				fields["accessToken"], err = s.cipher.Open(n.Platform, fields["accessToken"])
				require.NoError(t, err)
			}
			accounts = append(accounts, fields)
		}
	}
	doc, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"version": version, "decrypted": decrypted, "sanitized": false},
		"data":     map[string]any{"apiKeys": keys, "claudeAccounts": accounts, "geminiAccounts": []any{}, "admins": []any{map[string]string{"username": "admin"}}},
	})
	require.NoError(t, err)
	return string(doc)
}

func (s *service) usageStats(id string) map[string]any {
	tiers := map[legacy.Resolution]string{legacy.Hour: "hourly", legacy.Day: "daily", legacy.Month: "monthly"}
	stats := map[string]any{"total": s.hashes["usage:"+id], "costTotal": s.texts["usage:cost:total:"+id]}
	into := func(of map[string]any, member, bucket string, v any) {
		if of[member] == nil {
			of[member] = map[string]any{}
		}
		of[member].(map[string]any)[bucket] = v
	}
	models := map[string]any{}
	for name, fields := range s.hashes {
		n := legacy.ParseName(name)
		switch {
		case n.ID != id || tiers[n.Resolution] == "":
		case n.Kind == legacy.KeyUsage:
			into(stats, tiers[n.Resolution], n.Bucket, fields)
		case n.Kind == legacy.KeyModelUsage && n.Resolution != legacy.Hour:
			into(models, n.Model, tiers[n.Resolution], map[string]any{})
		}
	}
	for name, fields := range s.hashes {
		if n := legacy.ParseName(name); n.ID == id && n.Kind == legacy.KeyModelUsage && (n.Resolution == legacy.Day || n.Resolution == legacy.Month) {
			into(models[n.Model].(map[string]any), tiers[n.Resolution], n.Bucket, fields)
		}
	}
	stats["models"] = models
	for name, text := range s.texts {
		if n := legacy.ParseName(name); n.ID == id && n.Kind == legacy.KeyCost && tiers[n.Resolution] != "" {
			word := tiers[n.Resolution]
			into(stats, "cost"+strings.ToUpper(word[:1])+word[1:], n.Bucket, text)
		}
	}
	return stats
}

func TestTransferFiles(t *testing.T) {
	t.Parallel()
	for version, decrypted := range map[string]bool{"1.0": false, "2.0": true} {
		d, s := deploy(t), newService()
		keys := []string{s.key("one", nil), s.key("two", map[string]string{"apiKey": "two"})} // the second by hand
		account := s.account(t)
		s.traffic(seeded(3), keys, nil, 80, time.Now(), 40)
		rep, err := d.importFile(t, s.transfer(t, version, decrypted))
		require.NoError(t, err)
		require.Zero(t, rep.Unexplained)
		require.Equal(t, 2, rep.Imported["apikey"])
		require.Len(t, rep.Skipped, 1, "the administrator: %v", rep.Skipped)
		d.requireTruth(t, s, usage.ScopeKey, keys)
		for i, plaintext := range []string{"one", "two"} {
			v, err := d.client.APIKeys.ValidatePlaintext(t.Context(), plaintext).Get()
			require.NoError(t, err)
			require.Equal(t, keys[i], v.ID)
		}
		require.NoError(t, d.client.APIKeys.ValidateAPIKey(t.Context(), apikeys.HashPlaintext("two")).Err())
		c, err := d.client.Accounts.GetCredentials(t.Context(), account).Get()
		require.NoError(t, err)
		require.Equal(t, "token of "+account, c.AccessToken)
	}
}

func TestSyncExport(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	doc := `{"success":true,"data":{"exportedAt":"2026-11-20T00:00:00.000Z",
		"claudeAccounts":[{"kind":"claude-account","id":"62fb7d37-3303-4cb9-937c-ed2996748a4c","name":"one","isActive":true,"priority":7,"status":"active",
			"proxy":{"protocol":"socks5","host":"127.0.0.1","port":1080,"password":"p"},
			"credentials":{"access_token":"at","refresh_token":"rt","expires_at":"2026-11-21T00:00:00.000Z","scope":"a b"},"extra":{"crs_id":"x"}}],
		"openaiResponsesAccounts":[{"kind":"openai-responses-account","id":"a46d426e-9c5e-4e41-9945-7b859fac5115","name":"two","isActive":false,
			"credentials":{"api_key":"ak","base_url":"https://example.com"}}, {"kind":"of tomorrow","id":"x"}]}}`
	rep, err := d.importFile(t, doc)
	require.NoError(t, err)
	require.Equal(t, 2, rep.Imported["account"])
	require.Len(t, rep.Skipped, 1)
	c, err := d.client.Accounts.GetCredentials(t.Context(), "62fb7d37-3303-4cb9-937c-ed2996748a4c").Get()
	require.NoError(t, err)
	require.Equal(t, "at rt p", fmt.Sprint(c.AccessToken, " ", c.RefreshToken, " ", c.ProxyConfig.Password))
	a, err := d.client.Accounts.GetAccount(t.Context(), "a46d426e-9c5e-4e41-9945-7b859fac5115").Get()
	require.NoError(t, err)
	require.Equal(t, "https://example.com", a.Details.BaseAPI)
	require.Equal(t, "inactive", a.Status)
	again, err := d.importFile(t, doc)
	require.NoError(t, err)
	require.Zero(t, again.written)
}

func TestFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	for doc, why := range map[string]string{
		"\ufeffID,名称,描述\n1,a,b\n": "CSV",
		"":                        "not a JSON object",
		"{":                       "not valid JSON",
		`{"a":1}`:                 "not an export",
		`{"metadata":{"version":"3.0"},"data":{}}`:            "version",
		`{"metadata":{"version":"1.0","sanitized":true}}`:     "sanitized",
		`{"metadata":{"version":"1.0"},"data":{"apiKeys":1}}`: "not an export",
	} {
		_, err := d.importFile(t, doc)
		require.ErrorIs(t, err, result.InvalidQuery, doc)
		require.ErrorContains(t, err, why)
	}
}

// A dump gives what the Redis gave that it was made of.
func TestDump(t *testing.T) {
	t.Parallel()
	d, s := deploy(t), newService()
	keys := []string{s.key("one", nil)}
	s.traffic(seeded(4), keys, nil, 30, time.Now(), 3)
	s.into(t, d)
	d.do(t, "SAVE")
	dir, err := d.do(t, "CONFIG", "GET", "dir").AsStrMap()
	require.NoError(t, err)
	source, err := importer.OpenDump(t.Context(), filepath.Join(dir["dir"], "dump.rdb"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, source.Close()) })
	rep, err := d.importWith(t, source, importer.Options{EncryptionKey: fixtureKey, OffsetHours: 8})
	require.NoError(t, err)
	require.Zero(t, rep.Unexplained)
	d.requireTruth(t, s, usage.ScopeKey, keys)
}
