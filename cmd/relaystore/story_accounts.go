package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

func (s *story) accounts(ctx context.Context, c *repo.Client, _ []client) error {
	s.step("Adding upstream accounts, their tokens sealed")
	var ids []string
	for i, name := range []string{"main", "spare", "pool"} {
		created, err := c.Accounts.CreateClaudeAccount(ctx, accounts.AccountData{
			Name: name, Priority: 10 * (i + 1),
			OAuthData: &accounts.OAuthData{
				AccessToken: "tok-access-0", RefreshToken: "tok-refresh-0", Scopes: []string{"user:inference"}, ExpiresAt: time.Now().Add(-time.Minute),
			},
		}).Get()
		if err != nil {
			return err
		}
		ids = append(ids, created.ID)
	}
	if err := s.available(ctx, c, "available, best first: "); err != nil {
		return err
	}
	if err := s.limit(ctx, c, ids[0]); err != nil {
		return err
	}
	return s.refresh(ctx, c, ids[0])
}

func (s *story) available(ctx context.Context, c *repo.Client, text string) error {
	list, err := c.Accounts.GetAvailableAccounts(ctx, accounts.AvailableFilters{}).Get()
	if err != nil {
		return err
	}
	var names []string
	for _, a := range list {
		names = append(names, a.Name)
	}
	s.note("%s%s", text, strings.Join(names, ", "))
	return nil
}

// limit shows that an account comes back by the clock alone.
func (s *story) limit(ctx context.Context, c *repo.Client, id string) error {
	resets := time.Now().Add(time.Second)
	err := c.Accounts.UpdateAccountStatus(ctx, id, accounts.RateLimited, accounts.StatusMetadata{RateLimitResetAt: resets}).Err()
	if err != nil {
		return err
	}
	if err := s.available(ctx, c, "the provider said 429 to main; available: "); err != nil {
		return err
	}
	select {
	case <-time.After(time.Until(resets)):
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.available(ctx, c, "its limit has passed, nobody wrote that; available: ")
}

func (s *story) refresh(ctx context.Context, c *repo.Client, id string) error {
	s.step("Refreshing an expired OAuth token, for all callers at once")
	group, running := errgroup.WithContext(ctx)
	for range storyCallers {
		group.Go(func() error { return c.Accounts.RefreshOAuthToken(running, id).Err() })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.note("%d callers got one new token, the provider was called %d time", storyCallers, s.provider.calls.Load())
	credentials, err := c.Accounts.GetCredentials(ctx, id).Get()
	if err != nil {
		return err
	}
	s.note("printed or logged, credentials are %v", credentials)
	return nil
}

func (s *story) sessions(ctx context.Context, c *repo.Client, _ []client) error {
	s.step("Opening a session, changing it, logging out")
	created, err := c.Sessions.CreateSession(ctx, sessions.Data{
		UserID: "alice", UserType: sessions.User, SessionData: json.RawMessage(`{"theme":"light"}`), TTL: 8 * time.Hour,
	}).Get()
	if err != nil {
		return err
	}
	s.note("%s…  (shown once, stored as a hash)", created.SessionToken[:8])
	dark := sessions.Patch{SessionData: json.RawMessage(`{"theme":"dark"}`)}
	if err := c.Sessions.UpdateSession(ctx, created.SessionToken, dark).Err(); err != nil {
		return err
	}
	v, err := c.Sessions.ValidateSession(ctx, created.SessionToken).Get()
	if err != nil {
		return err
	}
	s.note("✓ %s, %s, %s", v.UserID, v.UserType, v.SessionData)
	if err := c.Sessions.DeleteSession(ctx, created.SessionToken).Err(); err != nil {
		return err
	}
	err = c.Sessions.ValidateSession(ctx, created.SessionToken).Err()
	if !errors.Is(err, result.RecordNotFound) {
		return errors.Join(err, errors.New("the session goes on"))
	}
	s.note("✗ after the log-out: %s", result.RecordNotFound)
	return nil
}
