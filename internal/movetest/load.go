package movetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/strategy"
)

// load is how the records of a data type are written and looked at.
type load interface {
	// story gives a new record, and what is done with it.
	story(i int) (record string, steps []step)
	// wrong gives what the primary holds against the book.
	wrong(ctx context.Context, b *book) ([]string, error)
}

// step brings a record into a state.
type step struct {
	state string
	do    func(context.Context) (handle string, err error)
}

// loads take what the parent gives.
var loads = map[strategy.DataType]func(c *repo.Client, given string) load{
	strategy.APIKey:  func(c *repo.Client, _ string) load { return keys{c} },
	strategy.Account: func(c *repo.Client, _ string) load { return accountsLoad{c} },
	strategy.Session: func(c *repo.Client, _ string) load { return sessionsLoad{c} },
	strategy.Usage:   newUsage,
}

// mortal ends the story of every second record.
func mortal(i int, steps []step, remove func(context.Context) error) []step {
	if i%2 == 0 {
		steps = append(steps, step{gone, func(ctx context.Context) (string, error) { return "", remove(ctx) }})
	}
	return steps
}

// keys are named by what is written into them. A hash leads to each.
type keys struct{ *repo.Client }

func (l keys) story(i int) (string, []step) {
	id := uuid.NewString()
	update := func(p apikeys.Patch) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) { return "", l.APIKeys.UpdateAPIKey(ctx, id, p).Err() }
	}
	steps := []step{
		{"/true", func(ctx context.Context) (string, error) {
			k, err := l.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{ID: id, Name: "k", Tags: []string{"t"}}).Get()
			return k.HashedKey, err
		}},
		{"1/true", update(apikeys.Patch{Description: result.Set("1")})},
		{"1/false", update(apikeys.Patch{IsActive: result.Set(false)})},
	}
	return id, mortal(i, steps, func(ctx context.Context) error { return l.APIKeys.DeleteAPIKey(ctx, id).Err() })
}

func (l keys) wrong(ctx context.Context, b *book) ([]string, error) {
	found := make(map[string]string)
	for {
		page, err := l.APIKeys.GetAllAPIKeys(ctx, apikeys.Filters{Limit: 1000, Offset: len(found)}).Get()
		if err != nil {
			return nil, err
		}
		for _, k := range page.Keys {
			found[k.ID] = k.Description + "/" + strconv.FormatBool(k.IsActive)
		}
		if len(found) >= page.Total || len(page.Keys) == 0 {
			break
		}
	}
	wrong := b.compare(found)
	for id, hash := range b.handles() {
		v, err := l.APIKeys.ValidateAPIKey(ctx, hash).Get()
		state, there := found[id]
		if missing := errors.Is(err, result.RecordNotFound); err != nil && !missing {
			return nil, err
		} else if missing == there || there && v.IsActive != (state == "/true" || state == "1/true") {
			wrong = append(wrong, fmt.Sprintf("%s is %s, and validates as %v (%v)", id, state, v.IsActive, err))
		}
	}
	return wrong, nil
}

type accountsLoad struct{ *repo.Client }

// story takes a status last: new secrets would cure an error.
func (l accountsLoad) story(i int) (string, []step) {
	id := uuid.NewString()
	status := accounts.Statuses[i%len(accounts.Statuses)]
	m := accounts.StatusMetadata{}
	switch status {
	case accounts.InError:
		m.ErrorMessage = "m" + strconv.Itoa(i)
	case accounts.RateLimited:
		m.RateLimitResetAt = time.Now().Add(time.Hour)
	}
	steps := []step{
		{"active//0", func(ctx context.Context) (string, error) {
			d := accounts.AccountData{ID: id, Platform: accounts.CCR, Name: "a", APIKey: "0"}
			return "", l.Accounts.CreateAccount(ctx, d).Err()
		}},
		{"active//1", func(ctx context.Context) (string, error) {
			return "", l.Accounts.SetCredentials(ctx, id, accounts.CredentialsPatch{APIKey: result.Set("1")}).Err()
		}},
		{status + "/" + m.ErrorMessage + "/1", func(ctx context.Context) (string, error) {
			return "", l.Accounts.UpdateAccountStatus(ctx, id, status, m).Err()
		}},
	}
	return id, mortal(i, steps, func(ctx context.Context) error { return l.Accounts.DeleteAccount(ctx, id).Err() })
}

func (l accountsLoad) wrong(ctx context.Context, b *book) ([]string, error) {
	found := make(map[string]string)
	for {
		page, err := l.Accounts.ListAccounts(ctx, accounts.ListFilters{Limit: 1000, Offset: len(found)}).Get()
		if err != nil {
			return nil, err
		}
		for _, a := range page.Accounts {
			secrets, err := l.Accounts.GetCredentials(ctx, a.ID).Get()
			if err != nil {
				return nil, err
			}
			found[a.ID] = a.Status + "/" + a.ErrorMessage + "/" + secrets.APIKey
		}
		if len(found) >= page.Total || len(page.Accounts) == 0 {
			return b.compare(found), nil
		}
	}
}

// sessionsLoad names a session by its user. The token leads to what it holds.
type sessionsLoad struct{ *repo.Client }

func (l sessionsLoad) story(i int) (string, []step) {
	user, token := uuid.NewString(), ""
	update := func(n string) step {
		return step{n, func(ctx context.Context) (string, error) {
			return "", l.Sessions.UpdateSession(ctx, token, sessions.Patch{SessionData: []byte(n)}).Err()
		}}
	}
	steps := []step{
		{`{"n":0}`, func(ctx context.Context) (string, error) {
			d := sessions.Data{UserID: user, UserType: sessions.User, SessionData: []byte(`{"n":0}`)}
			s, err := l.Sessions.CreateSession(ctx, d).Get()
			token = s.SessionToken
			return token, err
		}},
		update(`{"n":1}`), update(`{"n":2}`),
	}
	return user, mortal(i, steps, func(ctx context.Context) error { return l.Sessions.DeleteSession(ctx, token).Err() })
}

func (l sessionsLoad) wrong(ctx context.Context, b *book) (wrong []string, err error) {
	found, handles := make(map[string]string), b.handles()
	for before := ""; ; {
		page, err := l.Sessions.ListSessions(ctx, sessions.Filters{Limit: 1000, Before: before}).Get()
		if err != nil {
			return nil, err
		}
		for _, s := range page.Sessions {
			if before = s.ID; found[s.UserID] != "" {
				wrong = append(wrong, s.UserID+" has two sessions")
			}
			found[s.UserID] = `{"n":0}` // where nobody has the token
		}
		if len(page.Sessions) < 1000 {
			break
		}
	}
	for user, token := range handles {
		v, err := l.Sessions.ValidateSession(ctx, token).Get()
		state, there := found[user]
		if missing := errors.Is(err, result.RecordNotFound); err != nil && !missing {
			return nil, err
		} else if missing == there {
			wrong = append(wrong, fmt.Sprintf("%s is %s, and validates as %v (%v)", user, state, v.IsValid, err))
		}
		if there {
			var data struct{ N int }
			if err := json.Unmarshal(v.SessionData, &data); err != nil {
				return nil, err
			}
			found[user] = fmt.Sprintf(`{"n":%d}`, data.N)
		}
	}
	return append(wrong, b.compare(found)...), nil
}
