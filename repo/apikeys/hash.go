package apikeys

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

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
	return HashPlaintext(plaintext + encryptionKey)
}

// newPlaintext makes a key of 256 random bits. The form is the legacy service's,
// which its clients may check: prefix and 64 hex digits.
func newPlaintext(prefix string) string {
	var secret [32]byte
	rand.Read(secret[:]) //nolint:errcheck // never fails: crypto/rand documents it
	return prefix + hex.EncodeToString(secret[:])
}

func parseHash(text string) ([]byte, error) {
	hash, err := hex.DecodeString(text)
	if err != nil || len(hash) != hashBytes {
		return nil, result.Invalid("hashedKey", "not %d hex digits", 2*hashBytes)
	}
	return hash, nil
}
