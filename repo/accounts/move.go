package accounts

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// mover copies accounts between the primaries, their secrets and the refreshes that are
// under way included. What a primary cannot hold is an error with details.accountId and
// nothing of that account is written; a copy may be begun anew.
type mover struct{ repo *Repo }

var _ strategy.Mover = mover{}

// Mover copies accounts when their primary is switched. It seals them with the Repo's
// keyset: without one, accounts with secrets do not go to PostgreSQL, and none comes from
// there.
func (r *Repo) Mover() strategy.Mover { return mover{r} }

// at gives the accounts of a move's Redis.
func (m mover) at(redis *strategy.Redis) *legacyAccounts { return m.repo.legacyAt(redis) }

// moved is an account as both primaries have it; its columns are not sealed.
type moved struct {
	db.Account

	texts   texts
	refresh underway
}

// underway is a refresh whose lease holds, or whose outcome nobody knows.
type underway struct {
	holder        uuid.UUID // uuid.Nil is none
	lease, intent time.Time
}

// moving names the account in a failure.
func moving(id uuid.UUID, err error) error {
	if err == nil {
		return nil
	}
	return result.From(err).With("accountId", id.String())
}

// ToRedis makes Redis hold what PostgreSQL holds.
func (m mover) ToRedis(ctx context.Context, mv strategy.Move) error {
	l := m.at(mv.Redis)
	gone := make(map[uuid.UUID]bool)
	err := l.each(ctx, func(f *found, _ int) error {
		gone[f.id] = true
		return nil
	})
	if err != nil {
		return err
	}
	total, err := m.count(ctx, mv.Postgres)
	if err != nil {
		return err
	}
	var done int64
	err = m.fromPostgres(ctx, mv, func(a *moved) error {
		delete(gone, a.ID)
		if err := l.replace(ctx, a); err != nil {
			return moving(a.ID, err)
		}
		done++
		mv.Progress(done, total)
		return nil
	})
	for id := range gone {
		if err == nil && mv.First {
			err = strategy.ErrForeign.With("accountId", id.String())
		}
		if err == nil {
			err = moving(id, l.delete(ctx, id))
		}
	}
	return err
}

// ToPostgres makes PostgreSQL hold what Redis holds.
func (m mover) ToPostgres(ctx context.Context, mv strategy.Move) error {
	l := m.at(mv.Redis)
	there := make(map[uuid.UUID]bool)
	err := l.each(ctx, func(f *found, total int) error {
		a, err := l.moved(ctx, f)
		if err == nil {
			err = m.insert(ctx, mv.Postgres, a)
		}
		there[f.id] = true
		mv.Progress(int64(len(there)), int64(total))
		return err
	})
	if err != nil {
		return err
	}
	return m.rows(ctx, mv, func(rows []db.Account) error {
		for _, row := range rows {
			if there[row.ID] {
				continue
			}
			err := mv.Postgres.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
				_, err := m.repo.queries.AccountDelete(ctx, tx, db.AccountDeleteParams{ID: row.ID, Now: m.repo.tick()})
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Compare counts the accounts that differ, or that one primary has not.
func (m mover) Compare(ctx context.Context, mv strategy.Move) (differ int64, err error) {
	l := m.at(mv.Redis)
	there := make(map[uuid.UUID]*moved)
	err = l.each(ctx, func(f *found, _ int) (err error) {
		there[f.id], err = l.moved(ctx, f)
		return err
	})
	if err != nil {
		return 0, err
	}
	err = m.fromPostgres(ctx, mv, func(a *moved) error {
		if b := there[a.ID]; b == nil || !reflect.DeepEqual(a.canonical(), b.canonical()) {
			differ++
		}
		delete(there, a.ID)
		return nil
	})
	return differ + int64(len(there)), err
}

func (m mover) count(ctx context.Context, p *strategy.Postgres) (n int64, err error) {
	err = p.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		n, err = m.repo.queries.AccountCount(ctx, c, db.AccountCountParams{})
		return err
	})
	return n, err
}

// rows gives the accounts of PostgreSQL page by page.
func (m mover) rows(ctx context.Context, mv strategy.Move, take func([]db.Account) error) error {
	for after := uuid.Nil; ; {
		var rows []db.Account
		err := mv.Postgres.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
			rows, err = m.repo.queries.AccountCopyList(ctx, c, db.AccountCopyListParams{After: after, RowLimit: listedAtOnce})
			return err
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := take(rows); err != nil {
			return err
		}
		after = rows[len(rows)-1].ID
	}
}

func (m mover) fromPostgres(ctx context.Context, mv strategy.Move, take func(*moved) error) error {
	return m.rows(ctx, mv, func(rows []db.Account) error {
		refreshes, err := m.refreshes(ctx, mv, rows)
		if err != nil {
			return err
		}
		for _, row := range rows {
			a := &moved{Account: row, refresh: refreshes[row.ID]}
			a.texts, err = m.repo.open(row.ID, &sealed{row.AccessToken, row.RefreshToken, row.APIKey, row.OtherSecrets, row.ProxyPassword})
			if err != nil {
				return moving(row.ID, err)
			}
			if err := take(a); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m mover) refreshes(ctx context.Context, mv strategy.Move, rows []db.Account) (map[uuid.UUID]underway, error) {
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	found := make(map[uuid.UUID]underway)
	err := mv.Postgres.Read(ctx, func(ctx context.Context, c db.DBTX) error {
		list, err := m.repo.queries.AccountCopyRefreshList(ctx, c, ids)
		for _, f := range list {
			found[f.AccountID] = underway{f.Holder, f.LeaseExpiresAt, utc(f.IntentAt)}
		}
		return err
	})
	return found, err
}

// insert checks what the database's own checks would refuse, which name no field.
func (m mover) insert(ctx context.Context, p *strategy.Postgres, a *moved) error {
	d := a.data()
	if err := d.normalise(); err != nil {
		return err
	}
	if err := result.CheckText("errorMessage", a.ErrorMessage, maxMessage); err != nil {
		return err
	}
	s, err := m.repo.seal(a.ID, a.texts)
	if err != nil {
		return err
	}
	return p.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		version, err := m.repo.queries.AccountCopyUpsert(ctx, tx, db.AccountCopyUpsertParams{
			ID: a.ID, Platform: a.Platform, Name: a.Name, Description: a.Description, AccountType: a.AccountType,
			Priority: a.Priority, Schedulable: a.Schedulable, Status: a.Status, ErrorMessage: a.ErrorMessage,
			RateLimitResetAt: a.RateLimitResetAt, TokensRemaining: a.TokensRemaining, LastUsedAt: a.LastUsedAt,
			Scopes: list(a.Scopes), TokenExpiresAt: a.TokenExpiresAt,
			ProxyType: a.ProxyType, ProxyHost: a.ProxyHost, ProxyPort: a.ProxyPort, ProxyUsername: a.ProxyUsername,
			AccessToken: s[accessToken], RefreshToken: s[refreshToken], APIKey: s[apiKey],
			OtherSecrets: s[otherSecrets], ProxyPassword: s[proxyPassword],
			Details: a.Details, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, StatusAt: a.StatusAt,
		})
		if err != nil || a.refresh.holder == uuid.Nil {
			return err
		}
		copied := db.AccountCopyRefreshParams{AccountID: a.ID, Holder: a.refresh.holder, LeaseExpiresAt: a.refresh.lease}
		if !a.refresh.intent.IsZero() {
			copied.IntentAt, copied.IntentVersion = &a.refresh.intent, &version
		}
		return m.repo.queries.AccountCopyRefresh(ctx, tx, copied)
	})
}

// data is what the account would be created with.
func (a *moved) data() AccountData {
	d := AccountData{
		ID: a.ID.String(), Platform: a.Platform, Name: a.Name, Description: a.Description, AccountType: a.AccountType,
		Priority: int(a.Priority), Schedulable: &a.Schedulable, APIKey: a.texts[apiKey], Secrets: parseSecrets(a.texts[otherSecrets]),
		ProxyConfig: proxy(a.ProxyType, a.ProxyHost, a.ProxyPort, a.ProxyUsername, a.texts[proxyPassword]),
	}
	if a.texts[accessToken] != "" || a.texts[refreshToken] != "" {
		d.OAuthData = &OAuthData{AccessToken: a.texts[accessToken], RefreshToken: a.texts[refreshToken], Scopes: a.Scopes, ExpiresAt: utc(a.TokenExpiresAt)}
	}
	if json.Unmarshal(a.Details, &d.Details) != nil {
		d.Details = Details{Extra: json.RawMessage(a.Details)}
	}
	return d
}

// canonical is what is equal where two say the same: in whole milliseconds, without
// what is closed, and with details that are values.
func (a *moved) canonical() any {
	type same struct {
		Account db.Account
		Texts   texts
		Details any
		Times   [5]int64
	}
	c := same{Account: a.Account, Texts: a.texts}
	d := a.data().Details
	if isEmptyDocument(d.SupportedModels) {
		d.SupportedModels = nil
	}
	_ = json.Unmarshal(d.stored(), &c.Details) // stored marshals
	for i, t := range []time.Time{utc(a.RateLimitResetAt), utc(a.LastUsedAt), utc(a.TokenExpiresAt), a.CreatedAt, a.UpdatedAt} {
		if !t.IsZero() {
			c.Times[i] = t.UnixMilli()
		}
	}
	n := &c.Account
	n.AccessToken, n.RefreshToken, n.APIKey, n.OtherSecrets, n.ProxyPassword = nil, nil, nil, nil, nil
	n.RateLimitResetAt, n.LastUsedAt, n.TokenExpiresAt, n.CreatedAt, n.UpdatedAt = nil, nil, nil, time.Time{}, time.Time{}
	n.Details, n.CredentialsVersion, n.Scopes, n.StatusAt = nil, 0, list(n.Scopes), nil
	return c
}
