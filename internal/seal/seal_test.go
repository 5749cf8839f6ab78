package seal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/internal/seal"
)

func sealer(t *testing.T) (*seal.Sealer, *keyset.Handle) {
	t.Helper()
	h, err := seal.Generate()
	require.NoError(t, err)
	s, err := seal.New(h)
	require.NoError(t, err)
	return s, h
}

func TestSealOpensInItsPlaceOnly(t *testing.T) {
	t.Parallel()
	s, _ := sealer(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		row, other := uuid.New(), uuid.New()
		column := rapid.SampledFrom([]string{"access_token", "refresh_token", "api_key"}).Draw(t, "column")
		sealed, err := s.Seal(row, column, text)
		require.NoError(t, err)
		if text == "" {
			require.Nil(t, sealed)
			return
		}
		opened, err := s.Open(row, column, sealed)
		require.NoError(t, err)
		require.Equal(t, text, opened)
		id, ok := seal.KeyID(sealed)
		require.True(t, ok)
		require.Equal(t, s.Primary(), id)
		require.Equal(t, s.PrimaryPrefix(), sealed[:seal.PrefixSize])

		var bad *seal.OpenError
		_, err = s.Open(other, column, sealed)
		require.ErrorAs(t, err, &bad)
		_, err = s.Open(row, column+"x", sealed)
		require.ErrorAs(t, err, &bad)
		at := rapid.IntRange(0, len(sealed)-1).Draw(t, "at")
		sealed[at] ^= 1
		_, err = s.Open(row, column, sealed)
		require.ErrorAs(t, err, &bad)
		require.Equal(t, column, bad.Column)
	})
}

func TestSealingTwiceDiffers(t *testing.T) {
	t.Parallel()
	s, _ := sealer(t)
	row := uuid.New()
	one, err := s.Seal(row, "c", "secret")
	require.NoError(t, err)
	two, err := s.Seal(row, "c", "secret")
	require.NoError(t, err)
	require.NotEqual(t, one, two)
}

func TestOlderKeysOpen(t *testing.T) {
	t.Parallel()
	old, h := sealer(t)
	row := uuid.New()
	sealed, err := old.Seal(row, "c", "secret")
	require.NoError(t, err)

	m := keyset.NewManagerFromHandle(h)
	id, err := seal.AddKey(m)
	require.NoError(t, err)
	added := handle(t, m)
	both, err := seal.New(added)
	require.NoError(t, err)
	require.Equal(t, old.Primary(), both.Primary(), "a new key does not seal before it is promoted")
	require.NoError(t, m.SetPrimary(id))
	promoted, err := seal.New(handle(t, m))
	require.NoError(t, err)
	require.Equal(t, id, promoted.Primary())
	text, err := promoted.Open(row, "c", sealed)
	require.NoError(t, err)
	require.Equal(t, "secret", text)

	fresh, err := promoted.Seal(row, "c", "secret")
	require.NoError(t, err)
	_, err = both.Open(row, "c", fresh)
	require.NoError(t, err, "who has the key opens what it seals, before it is promoted here")
	_, err = old.Open(row, "c", fresh)
	var bad *seal.OpenError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, id, bad.KeyID)
}

func handle(t *testing.T, m *keyset.Manager) *keyset.Handle {
	t.Helper()
	h, err := m.Handle()
	require.NoError(t, err)
	return h
}

func TestKeysetsThatCannotSeal(t *testing.T) {
	t.Parallel()
	for name, template := range map[string]func() (*keyset.Handle, error){
		"no AEAD":   func() (*keyset.Handle, error) { return keyset.NewHandle(mac.HMACSHA256Tag128KeyTemplate()) },
		"no prefix": func() (*keyset.Handle, error) { return keyset.NewHandle(aead.AES256GCMNoPrefixKeyTemplate()) },
		"none":      func() (*keyset.Handle, error) { return nil, nil },
		"empty":     func() (*keyset.Handle, error) { return &keyset.Handle{}, nil },
	} {
		h, err := template()
		require.NoError(t, err)
		_, err = seal.New(h)
		require.ErrorIs(t, err, seal.ErrKeyset, name)
	}
	for _, text := range []string{"", "{}", "[", "hunter2", `{"primaryKeyId":1,"key":[]}`, `{"hunter2":1}`} {
		_, err := seal.Parse([]byte(text))
		require.ErrorIs(t, err, seal.ErrKeyset, text)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	_, h := sealer(t)
	path := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, seal.CreateFile(path, h))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	again, err := seal.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, seal.Keys(h), seal.Keys(again))

	_, other := sealer(t)
	require.ErrorIs(t, seal.CreateFile(path, other), fs.ErrExist)
	require.NoError(t, seal.ReplaceFile(path, other))
	again, err = seal.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, seal.Keys(other), seal.Keys(again))
	link := path + ".link"
	require.NoError(t, os.Symlink(path, link))
	require.NoError(t, seal.ReplaceFile(link, other))
	info, err = os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&fs.ModeSymlink)
	require.NoError(t, os.Remove(link))
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no half file stays")

	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o601, 0o644} {
		require.NoError(t, os.Chmod(path, mode))
		_, err = seal.ReadFile(path)
		require.ErrorContains(t, err, "chmod 600", mode)
	}
	require.NoError(t, os.Chmod(path, 0o400))
	_, err = seal.ReadFile(path)
	require.NoError(t, err)
	_, err = seal.ReadFile(filepath.Dir(path))
	require.ErrorContains(t, err, "no regular file")
	_, err = seal.ReadFile(path + "x")
	require.ErrorIs(t, err, fs.ErrNotExist)
}
