// Package apikeys keeps the API keys of a gateway's clients: the contract's
// ApiKeyInterface.
//
// # Hashes
//
// A key's plaintext is shown once, by CreateAPIKey, and never stored. A key is
// known by the SHA-256 of its plaintext ([HashPlaintext]) and, where it comes
// from the legacy service, by the SHA-256 of plaintext and ENCRYPTION_KEY
// ([LegacyHash]). Either finds it.
//
// # Validation
//
// [Repo.ValidateAPIKey] judges by the clock of the call: a disabled or expired
// key is a success whose IsActive is false, an unknown or deleted one is
// result.RecordNotFound. Answers come from the cache; after a delete or an
// update has returned, this process never gives an older one.
//
// # Updates
//
// [Repo.UpdateAPIKey] merges a [Patch] into the stored key under its row's lock,
// so that concurrent updates of different fields both survive.
package apikeys
