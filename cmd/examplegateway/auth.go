package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// authenticated lets requests with a good key through. Most validations cost no network;
// a key that is disabled or deleted anywhere is refused here at once.
func (g *gateway) authenticated(next func(http.ResponseWriter, *http.Request, apikeys.Validation)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, err := g.client.APIKeys.ValidatePlaintext(r.Context(), sentKey(r.Header)).Get()
		switch {
		case errors.Is(err, result.RecordNotFound), err == nil && !key.IsActive:
			unauthorized.write(w) // unknown, disabled or expired: which one is not a stranger's business
		case err != nil:
			g.warn("a key could not be validated", err)
			unavailable.write(w)
		case key.Permissions != "all" && !slices.Contains(strings.Split(key.Permissions, ","), accounts.Claude):
			forbidden.write(w)
		default:
			next(w, r, key)
		}
	}
}

// sentKey is the key in either of the headers that clients use.
func sentKey(h http.Header) string {
	if scheme, token, _ := strings.Cut(h.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return token
	}
	return h.Get("X-Api-Key")
}

// refusal is an error in the provider's own shape, which its clients understand. The texts
// are constant: what failed in here is for the log.
type refusal struct {
	status        int
	retryAfter    string // seconds
	kind, message string
}

var (
	unauthorized = &refusal{http.StatusUnauthorized, "", "authentication_error", "invalid API key"}
	forbidden    = &refusal{http.StatusForbidden, "", "permission_error", "the API key may not use this provider"}
	badRequest   = &refusal{http.StatusBadRequest, "", "invalid_request_error", "the body must be a JSON object with a model"}
	tooLarge     = &refusal{http.StatusRequestEntityTooLarge, "", "request_too_large", "the request is too large"}
	noAccount    = &refusal{http.StatusTooManyRequests, "15", "rate_limit_error", "no upstream account is available"}
	upstreamDown = &refusal{http.StatusBadGateway, "", "api_error", "the upstream provider has failed"}
	unavailable  = &refusal{http.StatusServiceUnavailable, "1", "overloaded_error", "the gateway is not available"}
)

func (f *refusal) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if f.retryAfter != "" {
		w.Header().Set("Retry-After", f.retryAfter)
	}
	w.WriteHeader(f.status)
	fmt.Fprintf(w, `{"type":"error","error":{"type":%q,"message":%q}}`, f.kind, f.message) //nolint:gosec // constants
}
