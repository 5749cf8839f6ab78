package apikeys

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const hashBytes = sha256.Size

// HashPlaintext gives the hash that ValidateAPIKey takes: SHA-256 of the
// plaintext as 64 lowercase hex digits.
func HashPlaintext(plaintext string) string {
	sum := sha256.Sum256([]byte(plaintext))
	return hex.EncodeToString(sum[:])
}

// LegacyHash gives the hash that the legacy service stores: SHA-256 of plaintext
// and ENCRYPTION_KEY, one behind the other (claude-relay-service v1.1.314,
// apiKeyService.js).
func LegacyHash(plaintext, encryptionKey string) string {
	return legacy.KeyHash(plaintext, encryptionKey)
}

// newPlaintext makes a key of 256 random bits. The form is the legacy service's,
// which its clients may check: prefix and 64 hex digits.
func newPlaintext(prefix string) string {
	var secret [32]byte
	rand.Read(secret[:]) //nolint:errcheck // never fails: crypto/rand documents it
	return prefix + hex.EncodeToString(secret[:])
}

// parseHash reads 64 hex digits without allocating; what is no digit is found at
// the end, so that the loop has no branch (a quarter of a hit's time otherwise).
func parseHash(text string) (hash cache.Key, err error) {
	if len(text) != hex.EncodedLen(hashBytes) {
		return hash, errHash
	}
	var seen byte
	for i := range hash {
		high, low := nibbles[text[2*i]], nibbles[text[2*i+1]]
		seen |= high | low
		hash[i] = high<<4 | low
	}
	if seen > 0xf {
		return cache.Key{}, errHash
	}
	return hash, nil
}

var errHash = result.Invalid("hashedKey", "not %d hex digits", hex.EncodedLen(hashBytes))

// nibbles gives a hex digit's value; above 0xf it is none.
var nibbles = func() (t [256]byte) {
	for c := range t {
		t[c] = 0xff
	}
	for c := range byte(10) {
		t['0'+c] = c
	}
	for c := range byte(6) {
		t['a'+c], t['A'+c] = 10+c, 10+c
	}
	return t
}()
