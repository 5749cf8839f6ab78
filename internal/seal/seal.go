package seal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// PrefixSize is how many bytes before the ciphertext name its key: Tink's version
// byte and the key's id (tink-go v2, core/cryptofmt).
const PrefixSize = 5

const tinkVersion = 1

// ErrKeyset means that a keyset cannot seal. Its text holds nothing of the keyset.
var ErrKeyset = errors.New("not a keyset of AEAD keys with Tink's prefix")

// Sealer seals and opens with one keyset. It is safe for concurrent use.
type Sealer struct {
	aead    tink.AEAD
	primary uint32
}

// New makes a Sealer, or gives ErrKeyset. Keys without a prefix are refused: what
// they seal does not tell by which key.
func New(h *keyset.Handle) (*Sealer, error) {
	if h == nil || h.Len() == 0 {
		return nil, ErrKeyset
	}
	for _, key := range h.KeysetInfo().GetKeyInfo() {
		if key.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK {
			return nil, ErrKeyset
		}
	}
	primary, err := h.Primary()
	if err != nil {
		return nil, ErrKeyset
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, ErrKeyset
	}
	return &Sealer{a, primary.KeyID()}, nil
}

// Seal gives the sealed text for a column of a row. An empty text is nil.
func (s *Sealer) Seal(row uuid.UUID, column, text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	return s.aead.Encrypt([]byte(text), place(row, column))
}

// Open gives back what Seal took. A text that was sealed by a key that is not in
// the keyset, for another place, or that was changed, is an [*OpenError].
func (s *Sealer) Open(row uuid.UUID, column string, sealed []byte) (string, error) {
	if len(sealed) == 0 {
		return "", nil
	}
	text, err := s.aead.Decrypt(sealed, place(row, column))
	if err != nil {
		id, _ := KeyID(sealed)
		return "", &OpenError{Column: column, KeyID: id}
	}
	return string(text), nil
}

// Primary is the id of the key that seals.
func (s *Sealer) Primary() uint32 { return s.primary }

// PrimaryPrefix is what everything begins with that the primary has sealed.
func (s *Sealer) PrimaryPrefix() []byte {
	return binary.BigEndian.AppendUint32([]byte{tinkVersion}, s.primary)
}

// KeyID tells which key sealed a text.
func KeyID(sealed []byte) (id uint32, ok bool) {
	if len(sealed) < PrefixSize || sealed[0] != tinkVersion {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:PrefixSize]), true
}

// OpenError tells what does not open.
type OpenError struct {
	Column string
	// KeyID is the key that the text names; 0 is none.
	KeyID uint32
}

// Error names the column and the key.
func (e *OpenError) Error() string {
	return fmt.Sprintf("%s does not open: it was sealed by a key that the keyset lacks (id %d), or for another place", e.Column, e.KeyID)
}

// place is the associated data: id and name cannot be taken for other ones, since
// an id has a fixed length.
func place(row uuid.UUID, column string) []byte { return append(row[:len(row):len(row)], column...) }
