package accounts_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/scrypt"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
)

// serviceKey is the legacy service's ENCRYPTION_KEY.
const serviceKey = "fixture-encryption-key-32-chars!"

// onRedis makes accounts' primary a Redis of the test's own. No keyset is needed.
func onRedis(t *testing.T) func(*repo.Config) {
	t.Helper()
	url := testclient.LegacyRedis(t)
	return func(c *repo.Config) { c.PrimaryRedisURL, c.LegacyEncryptionKey = url, serviceKey }
}

// service is what the legacy service sees and does in that Redis, by its layout's
// description alone.
type service struct {
	testing.TB
	rueidis.Client
}

func (b *bundle) service() service { return service{b.T, testdb.RedisAt(b.T, b.cfg.PrimaryRedisURL)} }

func (s service) do(words ...string) rueidis.RedisMessage {
	s.Helper()
	m, err := s.Do(s.Context(), s.B().Arbitrary(words[0]).Args(words[1:]...).Build()).ToMessage()
	if !rueidis.IsRedisNil(err) {
		require.NoError(s, err, words[0])
	}
	return m
}

func (s service) text(words ...string) string {
	s.Helper()
	m := s.do(words...)
	if m.IsNil() {
		return ""
	}
	text, err := m.ToString()
	require.NoError(s, err)
	return text
}

func (s service) hash(key string) map[string]string {
	s.Helper()
	fields, err := s.Do(s.Context(), s.B().Hgetall().Key(key).Build()).AsStrMap()
	require.NoError(s, err)
	return fields
}

func (s service) set(key string) []string {
	s.Helper()
	members, err := s.Do(s.Context(), s.B().Smembers().Key(key).Build()).AsStrSlice()
	require.NoError(s, err)
	return members
}

func (s service) keys() []string {
	s.Helper()
	keys, err := s.Do(s.Context(), s.B().Keys().Pattern("*").Build()).AsStrSlice()
	require.NoError(s, err)
	return keys
}

// dump is all that the Redis holds.
func (s service) dump() map[string]string {
	s.Helper()
	all := make(map[string]string)
	for _, key := range s.keys() {
		switch s.text("TYPE", key) {
		case "hash":
			all[key] = marshal(s.TB, s.hash(key))
		case "set":
			all[key] = marshal(s.TB, slices.Sorted(slices.Values(s.set(key))))
		default:
			all[key] = s.text("GET", key)
		}
	}
	return all
}

// layout is where a platform's accounts are and how they are closed.
type layout struct{ prefix, salt, shared string }

var layouts = map[string]layout{
	accounts.Claude:          {"claude:account:", "salt", ""},
	accounts.ClaudeConsole:   {"claude_console_account:", "claude-console-salt", "shared_claude_console_accounts"},
	accounts.CCR:             {"ccr_account:", "ccr-account-salt", "shared_ccr_accounts"},
	accounts.Bedrock:         {"bedrock_account:", "", ""},
	accounts.Gemini:          {"gemini_account:", "gemini-account-salt", "shared_gemini_accounts"},
	accounts.GeminiAPI:       {"gemini_api_account:", "gemini-api-salt", "shared_gemini_api_accounts"},
	accounts.OpenAI:          {"openai:account:", "openai-account-salt", "shared_openai_accounts"},
	accounts.OpenAIResponses: {"openai_responses_account:", "openai-responses-salt", "shared_openai_responses_accounts"},
	accounts.AzureOpenAI:     {"azure_openai:account:", "azure-openai-account-default-salt", "shared_azure_openai_accounts"},
	accounts.Droid:           {"droid:account:", "droid-account-salt", ""},
}

func (s service) key(salt string) cipher.Block {
	s.Helper()
	sum := sha256.Sum256([]byte(serviceKey))
	key := sum[:]
	if salt != "" {
		var err error
		key, err = scrypt.Key([]byte(serviceKey), []byte(salt), 16384, 8, 1, 32)
		require.NoError(s, err)
	}
	block, err := aes.NewCipher(key)
	require.NoError(s, err)
	return block
}

func (s service) decrypt(salt, iv, closed string) string {
	s.Helper()
	start, err := hex.DecodeString(iv)
	require.NoError(s, err)
	text, err := hex.DecodeString(closed)
	require.NoError(s, err)
	cipher.NewCBCDecrypter(s.key(salt), start).CryptBlocks(text, text)
	pad := int(text[len(text)-1])
	require.True(s, pad >= 1 && pad <= aes.BlockSize)
	return string(text[:len(text)-pad])
}

// open gives the text of "iv:closed"; "" is open.
func (s service) open(salt, text string) string {
	s.Helper()
	if text == "" {
		return ""
	}
	iv, closed, found := strings.Cut(text, ":")
	require.True(s, found)
	return s.decrypt(salt, iv, closed)
}

// close closes a text, under an IV that is not random.
func (s service) close(salt, text string) string {
	s.Helper()
	iv := []byte("0123456789abcdef")
	pad := aes.BlockSize - len(text)%aes.BlockSize
	closed := []byte(text + strings.Repeat(string(rune(pad)), pad))
	cipher.NewCBCEncrypter(s.key(salt), iv).CryptBlocks(closed, closed)
	return hex.EncodeToString(iv) + ":" + hex.EncodeToString(closed)
}

// document reads JSON.
func (s service) document(text string) (doc map[string]any) {
	s.Helper()
	require.NoError(s, json.Unmarshal([]byte(text), &doc), text)
	return doc
}
