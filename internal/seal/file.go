package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// maxFile bounds a keyset's JSON; a key takes about 300 bytes.
const maxFile = 1 << 20

// Generate makes a keyset of one new AES-256-GCM key.
func Generate() (*keyset.Handle, error) { return keyset.NewHandle(aead.AES256GCMKeyTemplate()) }

// Parse reads a keyset in Tink's JSON form, or gives ErrKeyset.
func Parse(text []byte) (*keyset.Handle, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, ErrKeyset // the cause may quote the text
	}
	if _, err := New(h); err != nil {
		return nil, err
	}
	return h, nil
}

// ReadFile reads a keyset's file, which nobody but its owner may read.
func ReadFile(path string) (*keyset.Handle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others than its owner (mode %04o): chmod 600 it", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	h, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// CreateFile writes a keyset to a new file; one that exists is fs.ErrExist.
func CreateFile(path string, h *keyset.Handle) error {
	return write(path, h, os.Link) // Link refuses to replace, Rename does not
}

// ReplaceFile writes a keyset over its file at once: a reader sees the older or the
// newer one, whatever dies meanwhile. A link stays one.
func ReplaceFile(path string, h *keyset.Handle) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	return write(path, h, os.Rename)
}

func write(path string, h *keyset.Handle, place func(from, to string) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if gone := os.Remove(f.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	err = insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(f))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
