package legacy

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" //nolint:gosec // the service's old form derives its key with it
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/crypto/scrypt"
)

var (
	// ErrNotSealed tells that a text has not the form of the cipher: it may be plain.
	ErrNotSealed = errors.New("not in the legacy cipher's form")
	// ErrUnopened tells that a sealed text does not open: another ENCRYPTION_KEY closed
	// it, or it is damaged.
	ErrUnopened = errors.New("does not open with this ENCRYPTION_KEY")
	// ErrPlatform tells that the service has no such type of account.
	ErrPlatform = errors.New("no platform of the legacy service")
)

// The service's scrypt parameters are those that Node.js defaults to.
const (
	scryptN, scryptR, scryptP = 16384, 8, 1
	cipherKeyBytes            = 32
)

// Cipher closes and opens the secrets of accounts as the service does: AES-256-CBC
// under a key from ENCRYPTION_KEY and a salt a platform. It has no MAC: a wrong key is
// found out by the padding, one text in 256 slips through; what it then gives is
// refused as far as it is not UTF-8. Safe for concurrent use.
type Cipher struct {
	encryptionKey string

	mu   sync.Mutex
	keys map[string][]byte // by salt: deriving one takes about 50 ms
}

// NewCipher takes ENCRYPTION_KEY as text, as the service does.
func NewCipher(encryptionKey string) *Cipher {
	return &Cipher{encryptionKey: encryptionKey, keys: make(map[string][]byte)}
}

// Seal closes a text under a new random IV. An empty text stays empty. Bedrock's
// text is a JSON document, and so is what is given for it.
func (c *Cipher) Seal(platform, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	var iv [aes.BlockSize]byte
	rand.Read(iv[:]) //nolint:errcheck // never fails: crypto/rand documents it
	return c.sealWith(platform, text, iv[:])
}

func (c *Cipher) sealWith(platform, text string, iv []byte) (string, error) {
	key, err := c.key(platform)
	if err != nil {
		return "", err
	}
	pad := aes.BlockSize - len(text)%aes.BlockSize
	padded := append([]byte(text), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block(key), iv).CryptBlocks(padded, padded)
	if platform == Bedrock {
		doc, err := json.Marshal(bedrockForm{hex.EncodeToString(padded), hex.EncodeToString(iv)})
		return string(doc), err
	}
	return hex.EncodeToString(iv) + ":" + hex.EncodeToString(padded), nil
}

// bedrockForm is how Bedrock's service stores a sealed document.
type bedrockForm struct {
	Encrypted string `json:"encrypted"`
	IV        string `json:"iv"`
}

// Open gives the text that Seal, or the service, closed. An empty text is open. A
// Bedrock document that is not sealed is ErrNotSealed as well.
func (c *Cipher) Open(platform, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	key, err := c.key(platform)
	if err != nil {
		return "", err
	}
	iv, closed, err := parts(platform, text)
	if err != nil {
		return "", err
	}
	if iv == nil {
		key, iv = c.oldKey()
	}
	cipher.NewCBCDecrypter(block(key), iv).CryptBlocks(closed, closed)
	return unpad(closed)
}

// parts reads a sealed text; the IV is nil in the form of old versions, which only
// Claude's accounts have.
func parts(platform, text string) (iv, closed []byte, err error) {
	first, second, found := strings.Cut(text, ":")
	switch {
	case platform == Bedrock:
		var form bedrockForm
		if json.Unmarshal([]byte(text), &form) != nil {
			return nil, nil, ErrNotSealed
		}
		first, second = form.IV, form.Encrypted
	case !found && platform == Claude:
		if closed, err = hex.DecodeString(text); err != nil || !wholeBlocks(closed) {
			return nil, nil, ErrNotSealed
		}
		return nil, closed, nil
	}
	iv, ivErr := hex.DecodeString(first)
	closed, err = hex.DecodeString(second)
	switch {
	case ivErr != nil || len(iv) != aes.BlockSize:
		return nil, nil, ErrNotSealed
	case err != nil || !wholeBlocks(closed):
		return nil, nil, fmt.Errorf("%w: its end is damaged", ErrUnopened)
	}
	return iv, closed, nil
}

func wholeBlocks(closed []byte) bool { return len(closed) > 0 && len(closed)%aes.BlockSize == 0 }

func unpad(padded []byte) (string, error) {
	pad := int(padded[len(padded)-1])
	if pad == 0 || pad > aes.BlockSize {
		return "", ErrUnopened
	}
	text, padding := padded[:len(padded)-pad], padded[len(padded)-pad:]
	if !bytes.Equal(padding, bytes.Repeat([]byte{byte(pad)}, pad)) || !utf8.Valid(text) {
		return "", ErrUnopened
	}
	return string(text), nil
}

// key gives the platform's key.
func (c *Cipher) key(platform string) ([]byte, error) {
	p, ok := platformOf(platform)
	if !ok {
		return nil, ErrPlatform
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := c.keys[p.salt]
	if key == nil {
		var err error
		if key, err = c.derive(p.salt); err != nil {
			return nil, err
		}
		c.keys[p.salt] = key
	}
	return key, nil
}

func (c *Cipher) derive(salt string) ([]byte, error) {
	if salt == "" {
		sum := sha256.Sum256([]byte(c.encryptionKey))
		return sum[:], nil
	}
	return scrypt.Key([]byte(c.encryptionKey), []byte(salt), scryptN, scryptR, scryptP, cipherKeyBytes)
}

// oldKey is what OpenSSL's EVP_BytesToKey makes of ENCRYPTION_KEY with MD5, one round
// and no salt: Node's createCipher, which old versions used.
func (c *Cipher) oldKey() (key, iv []byte) {
	var made, last []byte
	for len(made) < cipherKeyBytes+aes.BlockSize {
		sum := md5.Sum(append(last, c.encryptionKey...)) //nolint:gosec // not ours to choose
		last = sum[:]
		made = append(made, last...)
	}
	return made[:cipherKeyBytes], made[cipherKeyBytes:]
}

func block(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil { // every key has 32 bytes
		panic(err)
	}
	return b
}
