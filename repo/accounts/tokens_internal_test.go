package accounts

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// keyed is a Repo whose keyset a test may rotate.
type keyed struct {
	*Repo
	keys *keyset.Handle
}

// readTokens opens an account's secrets, with the version that storeTokens takes.
func (r *Repo) readTokens(ctx context.Context, c db.DBTX, id uuid.UUID) (t texts, version int64, err error) {
	row, err := r.queries.AccountGetCredentials(ctx, c, id)
	if err != nil {
		return t, 0, err
	}
	t, err = r.open(id, &newRecord(row).Sealed)
	return t, row.CredentialsVersion, err
}

func internalRepo(t *testing.T) *keyed {
	t.Helper()
	t.Parallel()
	keys, err := seal.Generate()
	require.NoError(t, err)
	sealer, err := seal.New(keys)
	require.NoError(t, err)
	primary := &strategy.Postgres{Pool: testdb.Pool(t, testdb.URL(t)), OpTimeout: time.Minute}
	return &keyed{New(Config{Primary: primary, Sealer: sealer}), keys}
}

func (r *Repo) refreshed(t *testing.T, id uuid.UUID, version int64, o OAuthData) (stored bool) {
	t.Helper()
	require.NoError(t, r.write(t.Context(), id, func(ctx context.Context, tx db.DBTX) (err error) {
		stored, err = r.storeTokens(ctx, tx, id, version, o)
		return err
	}))
	return stored
}

func TestStoreTokensComparesTheVersion(t *testing.T) {
	r := internalRepo(t)
	created, err := r.CreateAccount(t.Context(), AccountData{
		Platform: Claude, Name: "n", OAuthData: &OAuthData{AccessToken: "a1", RefreshToken: "r1", Scopes: []string{"s"}},
	}).Get()
	require.NoError(t, err)
	id := uuid.MustParse(created.ID)
	read := func() (access, refresh string, version int64) {
		require.NoError(t, r.Primary.Read(t.Context(), func(ctx context.Context, c db.DBTX) error {
			found, v, err := r.readTokens(ctx, c, id)
			access, refresh, version = found[accessToken], found[refreshToken], v
			return err
		}))
		return access, refresh, version
	}
	_, _, version := read()
	expires := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	require.True(t, r.refreshed(t, id, version, OAuthData{AccessToken: "a2", ExpiresAt: expires}))
	access, refresh, next := read()
	require.Equal(t, []string{"a2", "r1"}, []string{access, refresh}, "a provider that gives no new refresh token keeps the old one")
	require.Equal(t, version+1, next)
	c, err := r.GetCredentials(t.Context(), created.ID).Get()
	require.NoError(t, err)
	require.Equal(t, []string{"s"}, c.Scopes)
	require.Equal(t, expires, c.ExpiresAt)

	require.False(t, r.refreshed(t, id, version, OAuthData{AccessToken: "late", RefreshToken: "late"}))
	require.NoError(t, r.SetCredentials(t.Context(), created.ID, CredentialsPatch{OAuthData: result.Set(OAuthData{AccessToken: "a3", RefreshToken: "r3"})}).Err())
	require.False(t, r.refreshed(t, id, next, OAuthData{AccessToken: "late", RefreshToken: "late"}), "authorised anew meanwhile")
	access, refresh, _ = read()
	require.Equal(t, []string{"a3", "r3"}, []string{access, refresh})

	_, _, err = r.readTokens(t.Context(), r.Primary.Pool, uuid.New())
	require.ErrorIs(t, err, pgx.ErrNoRows)
}

// promote lets a new key seal, beside the older ones.
func (r *keyed) promote(t *testing.T) {
	t.Helper()
	m := keyset.NewManagerFromHandle(r.keys)
	newest, err := seal.AddKey(m)
	require.NoError(t, err)
	require.NoError(t, m.SetPrimary(newest))
	r.keys, err = m.Handle()
	require.NoError(t, err)
	r.Sealer, err = seal.New(r.keys)
	require.NoError(t, err)
}

// A reseal between a refresh's reading and its storing takes nothing from it.
func TestAResealKeepsTheVersion(t *testing.T) {
	r := internalRepo(t)
	created, err := r.CreateAccount(t.Context(), AccountData{Platform: Claude, Name: "n", OAuthData: &OAuthData{AccessToken: "a1", RefreshToken: "r1"}}).Get()
	require.NoError(t, err)
	id := uuid.MustParse(created.ID)
	_, version, err := r.readTokens(t.Context(), r.Primary.Pool, id)
	require.NoError(t, err)
	r.promote(t)
	rep, err := r.Reseal(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []int{1, 0}, []int{rep.Accounts, rep.Remaining})
	require.True(t, r.refreshed(t, id, version, OAuthData{AccessToken: "a2"}))
}

// A writer between a reseal's reading and its storing is not overwritten.
func TestAResealStoresNothingOverAWriter(t *testing.T) {
	r := internalRepo(t)
	created, err := r.CreateAccount(t.Context(), AccountData{Platform: CCR, Name: "n", APIKey: "old"}).Get()
	require.NoError(t, err)
	r.promote(t)
	run := &resealing{Repo: r.Repo, prefix: r.Sealer.PrimaryPrefix()}
	rows, err := r.queries.AccountResealList(t.Context(), r.Primary.Pool, db.AccountResealListParams{Prefix: run.prefix, RowLimit: 10})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.NoError(t, r.SetCredentials(t.Context(), created.ID, CredentialsPatch{APIKey: result.Set("new")}).Err())
	require.NoError(t, run.batch(t.Context(), rows))
	require.Zero(t, run.Accounts)
	c, err := r.GetCredentials(t.Context(), created.ID).Get()
	require.NoError(t, err)
	require.Equal(t, "new", c.APIKey)
}
