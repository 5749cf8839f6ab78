package seal

import (
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Key is what may be shown of a key.
type Key struct {
	ID uint32 `json:"id"`
	// Status is enabled, disabled or destroyed.
	Status string `json:"status"`
	// Primary is the key that seals; the others only open.
	Primary bool `json:"primary"`
}

// Keys lists a keyset's keys, the newest last.
func Keys(h *keyset.Handle) []Key {
	info := h.KeysetInfo()
	keys := make([]Key, 0, h.Len())
	for _, k := range info.GetKeyInfo() {
		keys = append(keys, Key{k.GetKeyId(), strings.ToLower(k.GetStatus().String()), k.GetKeyId() == info.GetPrimaryKeyId()})
	}
	return keys
}

// AddKey adds a new AES-256-GCM key, which does not seal yet, and gives its id.
func AddKey(m *keyset.Manager) (uint32, error) { return m.Add(aead.AES256GCMKeyTemplate()) }
