// Package testprovider is a provider's OAuth 2.0 endpoint for tests, and the proxies
// that lead to it.
//
// Like the strictest of the real ones, it gives a new refresh token with each refresh,
// and when an old one is used again it refuses that and ends the whole authorisation.
// A test tells it how to fail:
//
//	p := testprovider.Start(t)
//	access, refresh := p.Authorise()
//	p.Answer(testprovider.Says(500, "broken"))
package testprovider
