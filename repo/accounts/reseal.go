package accounts

import (
	"context"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
)

const (
	// resealBatch bounds what one transaction seals anew, and so how long a writer of
	// one of its accounts waits.
	resealBatch = 100
	// resealPasses is how often accounts are tried that were written meanwhile.
	resealPasses = 10
	// maxUnopened bounds the list of what does not open.
	maxUnopened = 100
)

// Resealed is what Reseal has done.
type Resealed struct {
	// KeyID is the primary's.
	KeyID uint32 `json:"keyId"`
	// Accounts counts those that were sealed anew.
	Accounts int `json:"accounts"`
	// Remaining counts those that, at the end, still hold a text of another key.
	Remaining int `json:"remaining"`
	// Unopened are the ids of those that no key of the keyset opens: the first 100.
	Unopened []string `json:"unopened"`
}

// Reseal seals every secret anew that was not sealed by the keyset's primary key,
// while gateways run: in batches of 100 accounts, each only if nobody has written it
// meanwhile. It may be cut off at any time and called again. At the end it counts
// what is left; 0 means that no secret needs an older key any more. progress, which
// may be nil, hears how many of how many accounts are done. Inside a transaction,
// and where accounts are in Redis, whose cipher has one key, it is InvalidQuery.
func (r *Repo) Reseal(ctx context.Context, progress func(done, of int)) (Resealed, error) {
	switch {
	case r.Primary.InTx():
		return Resealed{}, errResealInTx
	case r.Place.Redis() != nil:
		return Resealed{}, errResealOnRedis
	case r.Sealer == nil:
		return Resealed{}, errNoKeyset
	}
	run := &resealing{Repo: r, prefix: r.Sealer.PrimaryPrefix(), progress: progress}
	run.KeyID = r.Sealer.Primary()
	err := run.all(ctx)
	run.Unopened = []string{}
	for _, id := range run.unopened[:min(len(run.unopened), maxUnopened)] {
		run.Unopened = append(run.Unopened, id.String())
	}
	return run.Resealed, err
}

type resealing struct {
	*Repo
	Resealed

	prefix   []byte
	of       int
	unopened []uuid.UUID // in this pass
	progress func(done, of int)
}

func (r *resealing) all(ctx context.Context) (err error) {
	if err = r.count(ctx); err != nil {
		return err
	}
	r.of = r.Remaining
	for pass := 0; pass < resealPasses && r.Remaining > len(r.unopened); pass++ {
		if err = r.pass(ctx); err != nil {
			return err
		}
		if err = r.count(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *resealing) count(ctx context.Context) error {
	return r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) error {
		n, err := r.queries.AccountResealCount(ctx, c, r.prefix)
		r.Remaining = int(n)
		return err
	})
}

// pass goes once through the accounts in the order of their ids.
func (r *resealing) pass(ctx context.Context) error {
	r.unopened = nil
	for after := uuid.Nil; ; {
		var rows []db.AccountResealListRow
		err := r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
			rows, err = r.queries.AccountResealList(ctx, c, db.AccountResealListParams{After: after, Prefix: r.prefix, RowLimit: resealBatch})
			return err
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := r.batch(ctx, rows); err != nil {
			return err
		}
		after = rows[len(rows)-1].ID
	}
}

// batch stores rows in their order, so that two of them never wait crosswise.
func (r *resealing) batch(ctx context.Context, rows []db.AccountResealListRow) error {
	next := r.anew(rows)
	done := 0
	err := r.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		done = 0
		for _, p := range next {
			n, err := r.queries.AccountReseal(ctx, tx, p)
			if err != nil {
				return err
			}
			done += int(n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.Accounts += done
	if r.progress != nil {
		r.progress(min(r.Accounts, r.of), r.of)
	}
	return nil
}

// anew opens and seals; an account that does not open hurts no other one.
func (r *resealing) anew(rows []db.AccountResealListRow) []db.AccountResealParams {
	next := make([]db.AccountResealParams, 0, len(rows))
	for _, row := range rows {
		s := sealed{row.AccessToken, row.RefreshToken, row.APIKey, row.OtherSecrets, row.ProxyPassword}
		t, err := r.open(row.ID, &s)
		if err == nil {
			s, err = r.seal(row.ID, t)
		}
		if err != nil {
			r.unopened = append(r.unopened, row.ID)
			continue
		}
		next = append(next, db.AccountResealParams{
			ID: row.ID, Version: row.CredentialsVersion, AccessToken: s[accessToken], RefreshToken: s[refreshToken],
			APIKey: s[apiKey], OtherSecrets: s[otherSecrets], ProxyPassword: s[proxyPassword],
		})
	}
	return next
}
