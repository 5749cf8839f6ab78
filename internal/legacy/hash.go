package legacy

import (
	"crypto/sha256"
	"encoding/hex"
)

// KeyHash is what the service stores of an API key: SHA-256 of the plaintext and
// ENCRYPTION_KEY, one behind the other, as 64 lowercase hex digits
// (apiKeyService.js).
func KeyHash(plaintext, encryptionKey string) string {
	sum := sha256.Sum256([]byte(plaintext + encryptionKey))
	return hex.EncodeToString(sum[:])
}
