package oauth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/seed14a526e0/relaystore/repo/accounts"
)

// exchange is the way of one request, and what is seen on it.
type exchange struct {
	endpoint  Endpoint
	next      *http.Transport
	connected atomic.Bool
	status    int
}

// RoundTrip sends the form as the endpoint wants it.
func (x *exchange) RoundTrip(form *http.Request) (*http.Response, error) {
	req := form.Clone(form.Context())
	req.Header.Set("Accept", "application/json")
	if x.endpoint.UserAgent != "" {
		req.Header.Set("User-Agent", x.endpoint.UserAgent)
	}
	if x.endpoint.JSON {
		if err := toJSON(req); err != nil {
			return nil, err
		}
	}
	answer, err := x.next.RoundTrip(req)
	if err == nil {
		x.status = answer.StatusCode
		if plain, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); plain == "text/plain" {
			answer.Header.Set("Content-Type", "application/json") // what was asked for; x/oauth2 would read a form
		}
	}
	return answer, err
}

func toJSON(req *http.Request) error {
	form, err := io.ReadAll(req.Body)
	if err != nil {
		return err
	}
	values, err := url.ParseQuery(string(form))
	if err != nil {
		return err
	}
	object := make(map[string]string, len(values))
	for name := range values {
		object[name] = values.Get(name)
	}
	doc, err := json.Marshal(object)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Body, req.ContentLength, req.GetBody = io.NopCloser(bytes.NewReader(doc)), int64(len(doc)), nil
	return nil
}

// grants are the words for a refresh token that is not taken any more: RFC 6749's, and
// those of OpenAI's endpoint.
var grants = map[string]bool{
	"invalid_grant": true, "refresh_token_expired": true, "refresh_token_reused": true, "refresh_token_invalidated": true,
}

// words are the other ones of RFC 6749, section 5.2. No other text of a provider is
// shown.
var words = map[string]bool{
	"invalid_request": true, "invalid_client": true, "unauthorized_client": true, "unsupported_grant_type": true, "invalid_scope": true,
}

// failure tells what an error means.
func (x *exchange) failure(ctx context.Context, err error) *accounts.RefreshError {
	e := &accounts.RefreshError{Kind: accounts.RefreshUnavailable, Status: x.status, NotSent: !x.connected.Load()}
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer):
		classify(e, answer)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		e.Reason = "timeout"
	case x.status != 0:
		e.Kind = accounts.RefreshMalformed
	}
	return e
}

func classify(e *accounts.RefreshError, answer *oauth2.RetrieveError) {
	e.RetryAfter = accounts.RetryAfter(answer.Response.Header)
	word := cmp.Or(answer.ErrorCode, nestedWord(answer.Body))
	if grants[word] || words[word] {
		e.Reason = word
	}
	switch {
	case e.Status == http.StatusTooManyRequests:
		e.Kind = accounts.RefreshRateLimited
	case e.Status >= http.StatusInternalServerError || e.Status == http.StatusRequestTimeout:
		e.Kind = accounts.RefreshUnavailable
	case grants[word]:
		e.Kind = accounts.RefreshInvalidGrant
	default:
		e.Kind = accounts.RefreshRefused
	}
}

// nestedWord reads {"error":{"code":…}}, which OpenAI's endpoint answers.
func nestedWord(body []byte) string {
	var doc struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &doc) // a proxy's page is none
	return doc.Error.Code
}
