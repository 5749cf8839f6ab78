package importer

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// account writes one account, paused. What cannot be carried is named, and the whole
// is kept beside it.
func (im *run) account(ctx context.Context, e Entry) error {
	fields, err := accountFields(e)
	if err != nil {
		return im.refuse(ctx, e, err.Error())
	}
	id, isID := parseID(e.ID)
	if !isID {
		return im.refuse(ctx, e, "its id is no UUID")
	}
	rec := legacy.DecodeAccount(e.Platform, e.ID, fields, im.source.Opener(im.cipher))
	var faults []string
	for _, f := range rec.Faults {
		faults = append(faults, "field "+f.Field+" "+f.Reason)
	}
	outcome, more, err := im.putAccount(ctx, &rec)
	if errors.Is(err, result.InvalidQuery) {
		return im.refuse(ctx, e, reason(err))
	}
	if err != nil {
		return err
	}
	im.accounts[id] = rec.CreatedAt
	im.report.Imported[legacy.Account]++
	if outcome.Written {
		im.report.Written++
	}
	if faults = append(faults, more...); len(faults) > 0 {
		if err := im.object(ctx, e); err != nil {
			return err
		}
	}
	if outcome.Newer {
		faults = append(faults, "has changed here since; left as it is here")
	}
	for _, fault := range faults {
		if err := im.report.skip(legacy.Account, e.ID, fault); err != nil {
			return err
		}
	}
	if len(rec.Rest) > 0 {
		return im.keep(ctx, "account_rest", e.ID, rec.Rest)
	}
	return nil
}

// putAccount leaves out field by field what is refused; faults name them.
func (im *run) putAccount(ctx context.Context, rec *legacy.AccountRecord) (o accounts.ImportOutcome, faults []string, err error) {
	for range maxMends {
		a := imported(rec)
		if im.DryRun {
			err = a.Check()
		} else {
			o, err = im.client.Accounts.Import(ctx, a)
		}
		e := result.From(err)
		field := ""
		if err != nil {
			field, _ = e.Details["field"].(string)
		}
		if err == nil || !mendAccount(rec, field) {
			return o, faults, err
		}
		faults = append(faults, "field "+field+" is left out: "+e.Message)
	}
	return o, faults, err
}

// maxMends is more fields than an account has that can be refused.
const maxMends = 30

// mendAccount makes the field that was refused one that can be taken.
func mendAccount(rec *legacy.AccountRecord, field string) bool {
	if detail, ok := strings.CutPrefix(field, "details."); ok {
		_, known := rec.Details[detail]
		delete(rec.Details, detail)
		before := len(rec.Details)
		if detail == "extra" {
			maps.DeleteFunc(rec.Details, isExtra)
		}
		return known || len(rec.Details) < before
	}
	if strings.HasPrefix(field, "proxyConfig") {
		had := rec.Proxy != nil
		rec.Proxy = nil
		return had
	}
	before := rec.Name + rec.Description + rec.ErrorMessage + rec.AccountType
	switch field {
	case "name", "description", "errorMessage":
		rec.Name, rec.Description, rec.ErrorMessage = cut(rec.Name, 255), cut(rec.Description, 4096), cut(rec.ErrorMessage, 4096)
		if rec.Name == "" {
			rec.Name = rec.Platform
		}
	case "accountType":
		rec.AccountType = "shared"
	case "priority":
		changed := rec.Priority != 0
		rec.Priority = 0
		return changed
	case "oauthData.scopes":
		changed := len(rec.Scopes) > 0
		rec.Scopes = nil
		return changed
	}
	return rec.Name+rec.Description+rec.ErrorMessage+rec.AccountType != before
}

// isExtra tells the members that accounts.Details has no field for.
func isExtra(name string, value any) bool {
	var d accounts.Details
	doc, err := json.Marshal(map[string]any{name: value})
	return err == nil && json.Unmarshal(doc, &d) == nil && len(d.Extra) > 0
}

// imported gives the account as it is written here: paused, whatever it was.
func imported(rec *legacy.AccountRecord) accounts.Imported {
	paused := false
	a := accounts.Imported{
		AccountData: accounts.AccountData{
			ID: strings.ToLower(rec.ID), Platform: rec.Platform, Name: rec.Name, Description: rec.Description,
			AccountType: rec.AccountType, Priority: rec.Priority, Schedulable: &paused, APIKey: rec.APIKey,
			Secrets: accounts.Secrets{
				IDToken: rec.IDToken, Email: rec.Email, Password: rec.Password, BearerToken: rec.BearerToken, APIKeys: rec.APIKeys,
			},
			Details: details(rec),
		},
		ErrorMessage: rec.ErrorMessage, RateLimitResetAt: rec.RateLimitResetAt, LastUsedAt: rec.LastUsedAt,
		CreatedAt: rec.CreatedAt, UpdatedAt: changedAt(rec),
	}
	if a.CreatedAt.IsZero() {
		a.CreatedAt = a.UpdatedAt
	}
	a.Status = status(rec)
	if a.Status == accounts.InError && a.ErrorMessage == "" {
		a.ErrorMessage = rec.Status
	}
	if rec.AccessToken != "" || rec.RefreshToken != "" {
		a.OAuthData = &accounts.OAuthData{
			AccessToken: rec.AccessToken, RefreshToken: rec.RefreshToken, Scopes: rec.Scopes, ExpiresAt: rec.ExpiresAt,
		}
	}
	if k := rec.AWS; k != nil {
		a.Secrets.AWS = &accounts.AWSCredentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}
	}
	if p := rec.Proxy; p != nil {
		a.ProxyConfig = &accounts.ProxyConfig{Type: p.Type, Host: p.Host, Port: p.Port, Username: p.Username, Password: p.Password}
	}
	return a
}

// status gives the library's word for the service's.
func status(rec *legacy.AccountRecord) string {
	switch {
	case !rec.IsActive:
		return accounts.Inactive
	case rec.RateLimited || rec.Status == "quota_exceeded":
		return accounts.RateLimited
	case rec.Status == "" || rec.Status == "active" || rec.Status == "created":
		return accounts.Active
	}
	return accounts.InError
}

// changedAt is when the service last changed the account in any way that it tells of.
// A pause and a refresh are such.
func changedAt(rec *legacy.AccountRecord) time.Time {
	changed := time.Unix(0, 0).UTC()
	times := []time.Time{rec.CreatedAt, rec.UpdatedAt}
	for _, name := range []string{"lastRefreshAt", "lastRefresh"} {
		if text, ok := rec.Details[name].(string); ok {
			t, _ := legacy.ParseTime(text)
			times = append(times, t)
		}
	}
	for _, t := range times {
		if t.After(changed) {
			changed = t
		}
	}
	return changed
}

// details gives what has no field among the extras, with what the service said of the
// account's state where the library's words say less.
func details(rec *legacy.AccountRecord) (d accounts.Details) {
	members := maps.Clone(rec.Details)
	if rec.Status != "" && rec.Status != status(rec) {
		members["legacyStatus"] = rec.Status
	}
	members["legacySchedulable"] = rec.Schedulable
	doc, err := json.Marshal(members)
	if err != nil {
		return d
	}
	_ = json.Unmarshal(doc, &d) // the decoder has checked the types
	return d
}
