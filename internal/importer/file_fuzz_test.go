package importer

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Whatever a file holds, it is refused with a typed error or read to its end.
func FuzzReadFile(f *testing.F) {
	for _, doc := range []string{
		`{"metadata":{"version":"2.0","decrypted":true},"data":{"apiKeys":[{"id":"62fb7d37-3303-4cb9-937c-ed2996748a4c","apiKey":"x","usageStats":
			{"total":{"totalRequests":1e3},"daily":{"2026-11-11":{"requests":"[object Object]"}},"models":{"a:b":{"monthly":{"2026-11":null}}},"costTotal":"1e-7"}},7,null,{"id":{}}],
			"claudeAccounts":[{"id":"a","proxy":{"host":[]},"accessToken":"00:00"}],"globalModelStats":{"daily":{"x":{"m":{"requests":[]}}},"globalTotal":3}}}`,
		`{"success":true,"data":{"exportedAt":9,"claudeAccounts":[{"kind":"claude-account","id":"x:y","credentials":{"expires_at":{},"model_mapping":[[]]},"proxy":3,"extra":{"":""}}],"x":{}}}`,
		"ID,name\n1,2\n", `{"metadata":null,"data":null}`, "\ufeff {}", `{"metadata":{"version":2}}`,
	} {
		f.Add([]byte(doc))
	}
	cipher := legacy.NewCipher("key")
	f.Fuzz(func(t *testing.T, doc []byte) {
		file, err := readFile(doc)
		if err != nil {
			require.ErrorIs(t, err, result.InvalidQuery)
			return
		}
		require.NoError(t, file.Names(context.Background(), func(names []string) error {
			entries, err := file.Read(context.Background(), names)
			for _, e := range entries {
				n := legacy.ParseName(e.Key)
				switch n.Kind {
				case legacy.Account:
					fields, err := accountFields(e)
					if err == nil {
						legacy.DecodeAccount(e.Platform, e.ID, fields, file.Opener(cipher))
					}
				case legacy.APIKey:
					legacy.ParseKey(n.ID, e.Fields)
				}
			}
			return errors.Join(err)
		}))
	})
}
