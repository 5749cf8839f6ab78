package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	maxPlaces  = 1024 // for requests and unwritten records together: without a database, soon for neither
	maxBody    = 8 << 20
	maxAnswer  = 64 << 20
	maxSilence = 90 * time.Second // of the provider
	ioTimeout  = 30 * time.Second // for a client that neither reads nor writes
	recordTime = 15 * time.Second // for a record while the database is away
	maxTries   = 3                // accounts that a request is sent with
	tokenLeft  = 30 * time.Second // a token that ends during the call is no use
)

type gateway struct {
	client   *repo.Client
	upstream string
	http     *http.Client
	seldom   rate.Sometimes
	places   *semaphore.Weighted
	stopping atomic.Bool
	lost     atomic.Int64 // records
}

func newGateway(client *repo.Client, upstream string) *gateway {
	return &gateway{client: client, upstream: upstream, http: accounts.NewHTTPClient(), seldom: rate.Sometimes{Interval: time.Second}, places: semaphore.NewWeighted(maxPlaces)}
}

// failed tells whether there is an error, and logs it, once a second at most. The store's
// errors hold no secret; an HTTP client's may.
func (g *gateway) failed(message string, err error) bool {
	if err != nil {
		g.seldom.Do(func() { slog.Warn(message, "error", err) })
	}
	return err != nil
}

// authenticated lets requests with a good key through. Most validations cost no network;
// a key that is disabled or deleted anywhere is refused here at once.
func (g *gateway) authenticated(next func(http.ResponseWriter, *http.Request, apikeys.Validation)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, err := g.client.APIKeys.ValidatePlaintext(r.Context(), apikeys.Sent(r.Header)).Get()
		switch {
		case errors.Is(err, result.RecordNotFound), err == nil && !key.IsActive:
			unauthorized.write(w) // unknown, disabled or expired: which one is not a stranger's business
		case g.failed("a key could not be validated", err):
			unavailable.write(w)
		case !key.Allows(accounts.Claude):
			forbidden.write(w)
		default:
			next(w, r, key)
		}
	}
}

// messages relays one request.
func (g *gateway) messages(w http.ResponseWriter, r *http.Request, key apikeys.Validation) {
	if g.stopping.Load() || !g.places.TryAcquire(1) {
		unavailable.write(w)
		return
	}
	x := &exchange{keyID: key.ID, requestID: uuid.NewString()}
	defer g.settle(r.Context(), x)
	ctx, cancel := context.WithCancel(r.Context()) // a client that hangs up ends the provider's work
	defer cancel()
	var answer *http.Response
	body, refused := x.read(w, r)
	silence := time.AfterFunc(maxSilence, cancel)
	defer silence.Stop()
	if refused == nil {
		answer, refused = g.call(ctx, r.Header, body, x)
	}
	if refused != nil {
		refused.write(w)
		return
	}
	defer answer.Body.Close()                    //nolint:errcheck // it is only read
	x.began = answer.StatusCode == http.StatusOK // a refusal of the provider's costs nothing
	w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
	w.Header().Set("Request-Id", x.requestID)
	w.WriteHeader(answer.StatusCode)
	if err := x.pass(w, http.MaxBytesReader(nil, answer.Body, maxAnswer), silence); !errors.Is(err, io.EOF) {
		panic(http.ErrAbortHandler) // the client must see that the answer is not whole
	}
}

// read gives the body, and notes its model: a name that the ledger would refuse is refused.
func (x *exchange) read(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(ioTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // the connection is watched for a hang-up from here on
	switch large, wanted := (*http.MaxBytesError)(nil), (struct{ Model *string }{&x.model}); {
	case errors.As(err, &large):
		return nil, tooLarge
	case err != nil, json.Unmarshal(body, &wanted) != nil, x.model == "", result.CheckText("model", x.model, 255) != nil:
		return nil, badRequest
	}
	return body, nil
}

// call sends the request with the best account that takes it.
func (g *gateway) call(ctx context.Context, header http.Header, body []byte, x *exchange) (*http.Response, *refusal) {
	available, err := g.client.Accounts.GetAvailableAccounts(ctx, accounts.AvailableFilters{RateLimitAvailable: new(true), Limit: 100}).Get()
	if g.failed("no account could be looked up", err) {
		return nil, unavailable
	}
	refused := noAccount
	for i, tries := 0, 0; i < len(available) && tries < maxTries; i++ {
		account := available[i]
		c, err := g.client.Accounts.GetFreshCredentials(ctx, account.ID, tokenLeft).Get()
		if g.failed("an account could not be used", err) || !c.IsActive {
			refused = unavailable // why is no client's concern
			continue
		}
		tries++
		g.failed("an account's use could not be noted", g.client.Accounts.TouchAccount(ctx, account.ID).Err())
		answer, err := g.send(ctx, header, body, c)
		if err != nil { // it may have been heard: another try could be paid for twice
			return nil, upstreamDown
		}
		x.accountID = account.ID
		if s := answer.StatusCode; s != http.StatusTooManyRequests && s != http.StatusUnauthorized && s != http.StatusForbidden && s < 500 {
			return answer, nil
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusTooManyRequests { // a client would take it for trouble of its own
			return nil, upstreamDown
		}
		limited := g.client.Accounts.LimitAccount(context.WithoutCancel(ctx), account.ID, accounts.RetryAfter(answer.Header)).Err()
		g.failed("an account's limit could not be noted", limited)
	}
	g.failed("no account took a request", errors.New(refused.message))
	return nil, refused
}

// send goes through the account's own proxy.
func (g *gateway) send(ctx context.Context, header http.Header, body []byte, c accounts.Credentials) (*http.Response, error) {
	req, err := http.NewRequestWithContext(accounts.WithProxy(ctx, c.ProxyConfig), http.MethodPost, g.upstream+"/v1/messages", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{"Content-Type": header["Content-Type"], "Anthropic-Version": header["Anthropic-Version"], "Anthropic-Beta": header["Anthropic-Beta"]}
	if c.AccessToken != "" {
		req.Header.Set("Authorization", "Bearer "+c.AccessToken)
	} else {
		req.Header.Set("X-Api-Key", c.APIKey)
	}
	return g.http.Do(req)
}

// pass passes the answer on, a stream's lines as they come. io.EOF is the answer's end.
func (x *exchange) pass(w http.ResponseWriter, answer io.Reader, silence *time.Timer) error {
	control, in := http.NewResponseController(w), bufio.NewReader(answer)
	for {
		line, end := in.ReadBytes('\n')
		silence.Reset(maxSilence)
		x.note(bytes.TrimPrefix(line, []byte("data:")))
		_ = control.SetWriteDeadline(time.Now().Add(ioTimeout))
		if _, err := w.Write(line); err != nil {
			return err
		}
		if in.Buffered() == 0 {
			_ = control.Flush() // that the client is gone shows with the next line
		}
		if end != nil {
			return end
		}
	}
}

// refusal is an error in the provider's own shape; what failed in here is for the log.
type refusal struct {
	status        int
	retryAfter    []string // seconds
	kind, message string
}

var (
	unauthorized = &refusal{401, nil, "authentication_error", "invalid API key"}
	forbidden    = &refusal{403, nil, "permission_error", "the API key may not use this provider"}
	badRequest   = &refusal{400, nil, "invalid_request_error", "the body must be a JSON object with a model"}
	tooLarge     = &refusal{413, nil, "request_too_large", "the request is too large"}
	noAccount    = &refusal{429, []string{"15"}, "rate_limit_error", "no upstream account is available"}
	upstreamDown = &refusal{502, nil, "api_error", "the upstream provider has failed"}
	unavailable  = &refusal{503, []string{"1"}, "overloaded_error", "the gateway is not available"}
)

func (f *refusal) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header()["Retry-After"] = f.retryAfter
	w.WriteHeader(f.status)
	fmt.Fprintf(w, `{"type":"error","error":{"type":%q,"message":%q}}`, f.kind, f.message) //nolint:gosec // constants
}
