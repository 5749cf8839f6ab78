package sessions

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	tokenBytes = 32
	// maxToken is longer than any token that a client may hold of somebody else's.
	maxToken = 1024
)

// newToken makes 256 random bits. The form is the legacy service's, which suits a
// cookie and a header: 64 lowercase hex digits.
func newToken() string {
	var secret [tokenBytes]byte
	rand.Read(secret[:]) //nolint:errcheck // never fails: crypto/rand documents it
	return hex.EncodeToString(secret[:])
}

// keyOf gives what a session is known by: the SHA-256 of its token. A text that is
// no token of ours is errUnknown and asks nobody.
func keyOf(token string) (cache.Key, error) {
	if isToken(token) {
		return sha256.Sum256([]byte(token)), nil
	}
	if token == "" {
		return cache.Key{}, result.Invalid("sessionToken", "required")
	}
	if err := result.CheckText("sessionToken", token, maxToken); err != nil {
		return cache.Key{}, err
	}
	return cache.Key{}, errUnknown
}

func isToken(text string) bool {
	if len(text) != hex.EncodedLen(tokenBytes) {
		return false
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// errUnknown is made once: a stranger's token must cost no more than a client's.
var errUnknown = result.From(result.RecordNotFound)
