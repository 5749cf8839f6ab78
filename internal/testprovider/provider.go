package testprovider

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Lifetime is how many seconds an access token lives.
const Lifetime = 3600

// ClientID is the one that the provider knows.
const ClientID = "test-client"

// Provider is a running endpoint. It is safe for concurrent use.
type Provider struct {
	*httptest.Server

	mu      sync.Mutex
	grants  map[string]*grant // by each refresh token that it ever had
	answer  Answer
	calls   int
	reused  int
	request Request
}

// grant is one authorisation: its newest tokens are good, unless it is revoked.
type grant struct {
	access, refresh string
	revoked         bool
}

// Request is what a call has sent.
type Request struct {
	ContentType, UserAgent string
	Parameters             map[string]string
}

// Start runs a provider until the test ends.
func Start(t testing.TB) *Provider {
	t.Helper()
	p := New()
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	return p
}

// New makes a provider that nobody serves yet.
func New() *Provider { return &Provider{grants: make(map[string]*grant), answer: Rotates} }

// Authorise gives the tokens of a new authorisation.
func (p *Provider) Authorise() (access, refresh string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := &grant{}
	p.renew(g)
	return g.access, g.refresh
}

// Works tells whether an access token is the newest of an authorisation in force.
func (p *Provider) Works(access string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.grants {
		if g.access == access {
			return !g.revoked
		}
	}
	return false
}

// Calls is how often the provider was called, whatever it answered.
func (p *Provider) Calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// Reused is how often a refresh token came that was used up.
func (p *Provider) Reused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reused
}

// Last is what the last call has sent.
func (p *Provider) Last() Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.request
}

// Answer tells how to answer from now on.
func (p *Provider) Answer(a Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = a
}

func (p *Provider) renew(g *grant) {
	g.access, g.refresh = "sk-access-"+rand.Text(), "sk-refresh-"+rand.Text()
	p.grants[g.refresh] = g
}

// ServeHTTP takes a call.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := read(r)
	p.mu.Lock()
	p.calls++
	p.request = request
	answer := p.answer
	p.mu.Unlock()
	answer(w, r, func(w http.ResponseWriter) { p.refresh(w, request.Parameters) })
}

func read(r *http.Request) Request {
	body, _ := io.ReadAll(r.Body) // what is cut off is no request
	parameters := make(map[string]string)
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		_ = json.Unmarshal(body, &parameters)
	} else if form, err := url.ParseQuery(string(body)); err == nil {
		for name := range form {
			parameters[name] = form.Get(name)
		}
	}
	return Request{r.Header.Get("Content-Type"), r.UserAgent(), parameters}
}

func (p *Provider) refresh(w http.ResponseWriter, given map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.grants[given["refresh_token"]]
	switch {
	case given["client_id"] != ClientID || given["grant_type"] != "refresh_token":
		write(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	case g == nil || g.revoked || g.refresh != given["refresh_token"]:
		p.reused++
		if g != nil {
			g.revoked = true
		}
		write(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "refresh token " + given["refresh_token"] + " is used up"})
		return
	}
	p.renew(g)
	write(w, http.StatusOK, map[string]any{
		"access_token": g.access, "refresh_token": g.refresh, "token_type": "Bearer", "expires_in": Lifetime, "scope": "user:inference user:profile",
	})
}

func write(w http.ResponseWriter, status int, doc any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc) // who is gone hears nothing
}
