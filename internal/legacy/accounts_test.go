package legacy

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sealed(t *testing.T, c *Cipher, platform, text string) string {
	t.Helper()
	s, err := c.Seal(platform, text)
	require.NoError(t, err)
	return s
}

func TestDecodeAccountClaude(t *testing.T) {
	t.Parallel()
	c := NewCipher(defaultKey)
	a := DecodeAccount(Claude, "a1", map[string]string{
		"id": "a1", "name": "one", "isActive": "true", "schedulable": "", "priority": "30", "accountType": "dedicated",
		"accessToken": sealed(t, c, Claude, "at"), "refreshToken": "",
		"claudeAiOauth": sealed(t, c, Claude, `{"accessToken":"older","refreshToken":"rt","isMax":true}`),
		"expiresAt":     "1795055400000", "scopes": "user:inference user:profile", "status": "active",
		"proxy":          `"{\"type\":\"socks5\",\"host\":\"127.0.0.1\",\"port\":\"1080\",\"password\":\"p@ss:word\"}"`,
		"maxConcurrency": "3", "autoStopOnWarning": "true", "extInfo": `{"a":1}`, "stoppedReason": "none of ours", "lastUsedAt": "undefined",
	}, c)
	require.Empty(t, a.Faults)
	require.Equal(t, "at", a.AccessToken)
	require.Equal(t, "rt", a.RefreshToken, "from the OAuth answer")
	require.True(t, a.Schedulable)
	require.True(t, a.ExpiresAt.Equal(time.UnixMilli(1795055400000)))
	require.Equal(t, &Proxy{Type: "socks5", Host: "127.0.0.1", Port: 1080, Password: "p@ss:word"}, a.Proxy)
	require.Equal(t, map[string]any{
		"maxConcurrency": int64(3), "autoStopOnWarning": true, "extInfo": json.RawMessage(`{"a":1}`), "stoppedReason": "none of ours",
	}, a.Details)
}

func TestDecodeAccountBedrockAndDroid(t *testing.T) {
	t.Parallel()
	c := NewCipher(defaultKey)
	for _, aws := range []string{`{"accessKeyId":"AKIA","secretAccessKey":"s"}`, sealed(t, c, Bedrock, `{"accessKeyId":"AKIA","secretAccessKey":"s"}`)} {
		fields, err := BedrockFields(`{"id":"b1","name":"b","isActive":true,"priority":7,"subscriptionExpiresAt":null,"region":"us-east-1","awsCredentials":` + aws + `}`)
		require.NoError(t, err)
		b := DecodeAccount(Bedrock, "b1", fields, c)
		require.Empty(t, b.Faults)
		require.Equal(t, &AWSCredentials{AccessKeyID: "AKIA", SecretAccessKey: "s"}, b.AWS)
		require.Equal(t, 7, b.Priority)
		require.Equal(t, map[string]any{"region": "us-east-1"}, b.Details)
	}
	entries, _ := json.Marshal([]map[string]string{{"id": "1", "encryptedKey": sealed(t, c, Droid, "dk")}})
	require.Equal(t, []string{"dk"}, DecodeAccount(Droid, "d1", map[string]string{"apiKeys": string(entries)}, c).APIKeys)
}

// Whatever is damaged is named, and nothing of what it holds is told.
func TestDecodeAccountFaults(t *testing.T) {
	t.Parallel()
	other := NewCipher("another key, that was used before")
	a := DecodeAccount(Claude, "a1", map[string]string{
		"accessToken": "sk-ant-plain", "claudeAiOauth": "[object Object]", "email": "01010101010101010101010101010101:00",
		"expiresAt": "soon", "priority": "first", "isActive": "maybe", "proxy": "socks5://h:1", "supportedModels": "a,b", "maxConcurrency": "-1",
	}, other)
	var fields []string
	for _, f := range a.Faults {
		fields = append(fields, f.Field)
	}
	require.ElementsMatch(t, []string{
		"accessToken", "claudeAiOauth", "email", "expiresAt", "priority", "isActive", "proxy", "supportedModels", "maxConcurrency",
	}, fields)
	require.Equal(t, "sk-ant-plain", a.AccessToken, "the service uses it as it stands")
}
