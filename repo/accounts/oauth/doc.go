// Package oauth refreshes the tokens of accounts by OAuth 2.0 (RFC 6749, section 6),
// each through its account's own proxy.
//
// A refresh token may be good for one use, and a second use may end the whole
// authorisation. So a request is sent once, whatever happens: no retry, no redirect,
// no guess at how the endpoint wants its client's id.
package oauth
