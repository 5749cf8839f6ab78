package legacy

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

// The service's default ENCRYPTION_KEY; the expected texts were computed by Node.js.
const defaultKey = "CHANGE-THIS-32-CHARACTER-KEY-NOW"

func TestKeyHash(t *testing.T) {
	t.Parallel()
	require.Equal(t, "1b32d67e8a87653fca450cfe9bf7ae56f321813a9ddf416940a921f66d9a6cae", KeyHash("cr_test", defaultKey))
}

func TestCipherIsTheServices(t *testing.T) {
	t.Parallel()
	c := NewCipher(defaultKey)
	for platform, want := range map[string]string{
		Claude: "6bc19eafb4ba064c8c75601131fe8c2d790380763c2e2fa72e1c13372c9e024f",
		Gemini: "0abd80f25a58582eae198c1bca26b5c4f6d2403a800bcb7d62965c725d2f8276",
	} {
		key, err := c.key(platform)
		require.NoError(t, err)
		require.Equal(t, want, hex.EncodeToString(key))
	}
	iv := bytes.Repeat([]byte{1}, 16)
	for _, v := range []struct{ platform, text, sealed string }{
		{Claude, "sk-ant-oat01-test", "01010101010101010101010101010101:4ec87a8893e5908be959722611f738415725c2777ed7fe08c83f64a350e4e47d"},
		{Bedrock, `{"token":"t1"}`, `{"encrypted":"a9f7901ac2c0798b57439ef95fbc6367","iv":"01010101010101010101010101010101"}`},
	} {
		sealed, err := c.sealWith(v.platform, v.text, iv)
		require.NoError(t, err)
		require.Equal(t, v.sealed, sealed)
		opened, err := c.Open(v.platform, sealed)
		require.NoError(t, err)
		require.Equal(t, v.text, opened)
	}
	opened, err := c.Open(Claude, "d95ef94a6d0c5d0ac01b6c9313d46f78b8306e996684fda5eb8b1d678c2fc65f")
	require.NoError(t, err, "the old form")
	require.Equal(t, "sk-ant-oat01-test", opened)
}

func TestCipherOpensWhatItSealed(t *testing.T) {
	t.Parallel()
	c := NewCipher("another key, of no particular length")
	for _, p := range platforms[:10] {
		for _, text := range []string{"", "x", "sixteen bytes ok", `{"é":"世"}`} {
			sealed, err := c.Seal(p.word, text)
			require.NoError(t, err)
			opened, err := c.Open(p.word, sealed)
			require.NoError(t, err)
			require.Equal(t, text, opened)
		}
	}
}

func TestCipherRefuses(t *testing.T) {
	t.Parallel()
	c := NewCipher(defaultKey)
	_, err := c.Seal("nobody", "x")
	require.ErrorIs(t, err, ErrPlatform)
	for text, want := range map[string]error{
		"sk-ant-oat01-plain": ErrNotSealed,
		"[object Object]":    ErrNotSealed,
		"ab:cd":              ErrNotSealed,
		"01010101010101010101010101010101:4ec87a88":                         ErrUnopened, // cut short
		"01010101010101010101010101010101:00000000000000000000000000000000": ErrUnopened,
	} {
		_, err := c.Open(Claude, text)
		require.ErrorIs(t, err, want, text)
	}
	_, err = c.Open(Bedrock, `{"accessKeyId":"AKIA"}`)
	require.ErrorIs(t, err, ErrNotSealed)
}
