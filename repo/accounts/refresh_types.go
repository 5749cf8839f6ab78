package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// TokenRefresher asks a provider for new tokens; package oauth has one for OAuth 2.0.
// It is safe for concurrent use.
type TokenRefresher interface {
	// Refresh uses the refresh token once: a second call with it may end the
	// authorisation. ctx ends after 20 seconds. A failure is a [*RefreshError];
	// anything else counts as RefreshUnavailable, and its text is shown nowhere.
	Refresh(ctx context.Context, req RefreshRequest) (Tokens, error)
}

// RefreshRequest is what a refresh may need of an account.
type RefreshRequest struct {
	hidden

	AccountID    string
	Platform     string
	RefreshToken string
	Scopes       []string
	// Proxy is the account's own way to the provider; nil is none.
	Proxy   *ProxyConfig
	Details Details
}

// Tokens are what a provider gives.
type Tokens struct {
	hidden

	AccessToken string
	// RefreshToken is empty where the old one goes on.
	RefreshToken string
	// ExpiresAt is the zero time where the provider does not tell.
	ExpiresAt time.Time
	// Scopes are nil where the provider does not tell.
	Scopes []string
}

// RefreshFailure says what kind of failure a [RefreshError] is.
type RefreshFailure string

// Kinds of failures.
const (
	// RefreshInvalidGrant: the refresh token is used up, revoked or expired. The account
	// must be authorised anew.
	RefreshInvalidGrant RefreshFailure = "invalid_grant"
	// RefreshRefused: the provider refuses the request, and the token is not to blame.
	RefreshRefused RefreshFailure = "refused"
	// RefreshRateLimited: the provider wants fewer requests.
	RefreshRateLimited RefreshFailure = "rate_limited"
	// RefreshUnavailable: no answer, or one that says that the provider has a defect.
	RefreshUnavailable RefreshFailure = "unavailable"
	// RefreshMalformed: an answer that holds no tokens.
	RefreshMalformed RefreshFailure = "malformed"
)

// RefreshError tells why a provider gave no tokens.
type RefreshError struct {
	Kind RefreshFailure
	// Reason is a word that says more, such as RFC 6749's invalid_client: at most 64
	// of a to z, digits and _. Other texts are not shown.
	Reason string
	// Status is the HTTP status, 0 without an answer.
	Status int
	// RetryAfter is how long the provider wants no further request, 0 is unknown.
	RetryAfter time.Duration
	// NotSent tells that the provider cannot have seen the refresh token.
	NotSent bool
}

// Error gives the kind, the reason and the status.
func (e *RefreshError) Error() string {
	return fmt.Sprintf("the provider gave no tokens: %s (%s, HTTP status %d)", e.Kind, e.reason(), e.Status)
}

var reasonWord = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

func (e *RefreshError) reason() string {
	if reasonWord.MatchString(e.Reason) {
		return e.Reason
	}
	return string(e.Kind)
}

// resolved tells that the failure has left the refresh token as it was.
func (e *RefreshError) resolved() bool {
	return e.NotSent || e.Kind == RefreshRefused || e.Kind == RefreshRateLimited
}

var refreshMessages = map[RefreshFailure]string{
	RefreshInvalidGrant: "the provider does not take the refresh token any more: the account must be authorised anew",
	RefreshRefused:      "the provider refuses to refresh the token",
	RefreshRateLimited:  "the provider wants fewer refreshes",
	RefreshUnavailable:  "the provider did not answer the refresh",
	RefreshMalformed:    "the provider's answer to the refresh holds no tokens",
}

// result gives the failure's envelope.
func (e *RefreshError) result() *result.Error {
	why := e.reason()
	if e.Status != 0 {
		why += ", HTTP status " + strconv.Itoa(e.Status)
	}
	r := result.New(result.UpstreamRefreshFailed, "%s (%s)", refreshMessages[e.Kind], why).With("reason", e.reason())
	if e.Status != 0 {
		r = r.With("status", e.Status)
	}
	if e.RetryAfter > 0 {
		r = r.With("retryAfterSeconds", int64((e.RetryAfter+time.Second-1)/time.Second))
	}
	return r
}

// maxRetryAfter bounds what a provider may say.
const maxRetryAfter = 24 * time.Hour

// asRefreshError makes any error of a TokenRefresher a known one.
func asRefreshError(err error) *RefreshError {
	var e *RefreshError
	if !errors.As(err, &e) || refreshMessages[e.Kind] == "" {
		e = &RefreshError{Kind: RefreshUnavailable}
		if errors.Is(err, context.DeadlineExceeded) {
			e.Reason = "timeout"
		}
		return e
	}
	known := *e
	known.RetryAfter = min(max(known.RetryAfter, 0), maxRetryAfter)
	if known.Status < 100 || known.Status > 999 {
		known.Status = 0
	}
	known.Reason = known.reason()
	return &known
}

// normalise refuses tokens that cannot be stored. The rest is not worth losing them
// for: what does not fit of it counts as not told.
func (t *Tokens) normalise() error {
	o := OAuthData{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken}
	if t.AccessToken == "" || o.check("") != nil {
		return &RefreshError{Kind: RefreshMalformed}
	}
	if checkTime("", t.ExpiresAt) != nil {
		t.ExpiresAt = time.Time{}
	}
	t.ExpiresAt = t.ExpiresAt.UTC().Truncate(time.Microsecond)
	o.Scopes = t.Scopes
	if o.check("") != nil || len(t.Scopes) == 0 {
		t.Scopes = nil
	}
	return nil
}

// Refreshed is what RefreshOAuthToken gives.
type Refreshed struct {
	hidden

	AccessToken string `json:"accessToken"`
	// ExpiresAt is when the access token stops working; the zero time is unknown.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// RefreshedAt is when it was stored.
	RefreshedAt time.Time `json:"refreshedAt"`
}

// RevealJSON gives the token, and times as JavaScript prints them; MarshalJSON gives
// "[redacted]". The envelope of RefreshOAuthToken uses it.
func (r Refreshed) RevealJSON() ([]byte, error) {
	return json.Marshal(struct { //nolint:gosec // this is what it is for
		AccessToken string      `json:"accessToken"`
		ExpiresAt   result.Time `json:"expiresAt,omitzero"`
		RefreshedAt result.Time `json:"refreshedAt"`
	}{r.AccessToken, result.Time(r.ExpiresAt), result.Time(r.RefreshedAt)})
}
